"""Generated market: indices, equities, futures and whole option chains that move by themselves.

The same seed, start and steps give the same prices. Options are Black-76 on the moving forward with
a smile, so that parity and greeks agree across a chain (`openalgo.md` 11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np

from adapters.sandbox.board import Board
from adapters.sandbox.contracts import Contracts
from adapters.sandbox.history import (
    DAILY,
    INTERVAL_MINUTES,
    Minutes,
    bars_between,
    daily_bars,
    daily_start_ns,
    minute_bars,
)
from adapters.sandbox.hours import HOME_EXCHANGE, midnight_ns, shipped_calendars
from adapters.sandbox.instruments import listings_of
from adapters.sandbox.past import Past
from adapters.sandbox.price_source import Level, Quote, ladder
from adapters.sandbox.scenarios import scenario_of
from adapters.sandbox.walk import NAMES, Walk
from domain.brokers import HistoryBar
from domain.calendar import ExchangeCalendar
from domain.clock import (
    EXCHANGE_OFFSET,
    NS_PER_MINUTE,
    exchange_time,
    seconds,
)
from domain.instruments import InstrumentIndex, Listing

STEPS_MAX = 2_000  # of one advance: a longer gap moves in coarser steps
LISTED_DAYS = 90  # a contract has no history before that
DERIVED = ("prices", "spread", "depth", "volume", "open_interest", "volatility_index", "history")


class GeneratedMarket:
    """A market of its own; see PriceSource for its verbs."""

    derived = DERIVED
    counts: Mapping[str, int] = MappingProxyType({})
    ended = False

    def __init__(
        self,
        seed: int,
        start_ns: int,
        *,
        tick_interval_s: float = 1.0,
        history_dir: Path | None = None,
        scenario: str = "calm",
        always_open: bool = False,
        calendars: Mapping[str, ExchangeCalendar] | None = None,
    ) -> None:
        plan = scenario_of(scenario)
        self._calendars = calendars or shipped_calendars()
        self._past = Past(
            seed,
            start_ns,
            scenario=plan,
            calendar=self._calendars["NFO"],
            always_open=always_open,
            history_dir=history_dir,
        )
        self.warnings = self._past.warnings
        levels = self._past.levels()
        day = self._contract_day(start_ns)
        listings = listings_of(day, dict(zip(NAMES, levels, strict=True)), self._calendars)
        self.index = InstrumentIndex(listings)
        self._interval_ns = seconds(tick_interval_s)
        self._now_ns = start_ns
        self._walk = Walk(seed, plan, levels, always_open=always_open)
        self._contracts = Contracts(listings, self._calendars)
        self._board = Board(listings)
        self._live: list[tuple[int, np.ndarray]] = []  # minute start; open, high, low, close
        self._watched = self._contracts.ids
        self._begin(levels)

    def next_ns(self) -> int:
        """The next step of the grid that the start began."""
        return self._now_ns + self._interval_ns

    def watch(self, listing_ids: Iterable[int]) -> None:
        """Only these tick from now on; the others are priced when asked for."""
        wanted = sorted(set(listing_ids) & self.index.by_id.keys())
        self._watched = np.array(wanted, dtype=np.int64)

    def advance(self, to_ns: int) -> np.ndarray:
        """All ticks up to that time; an earlier time gives none."""
        due = max(to_ns - self._now_ns, 0) // self._interval_ns
        stride = max(-(-due // STEPS_MAX), 1)
        batches = [self._step(stride) for _ in range(due // stride)]
        if due % stride:
            batches.append(self._step(due % stride))
        return np.concatenate(batches) if batches else self._board.none()

    def quote(self, listing_id: int) -> Quote | None:
        """The listing now; it and its chain are priced when they were not yet at this step."""
        listing = self.index.by_id.get(listing_id)
        if listing is None:
            return None
        if self._board.priced_ns[listing_id] != self._now_ns:
            self._price(self._contracts.chain_of(listing_id))
        return self._board.quote(listing_id)

    def depth(self, listing_id: int) -> tuple[list[Level], list[Level]]:
        """Five levels made around the quote."""
        quote = self.quote(listing_id)
        return ladder(quote, self.index.by_id[listing_id]) if quote else ([], [])

    def history(self, listing: Listing, interval: str, first: date, last: date) -> list[HistoryBar]:
        """Bars that end in the live path; see PriceSource."""
        if interval not in (*INTERVAL_MINUTES, DAILY):
            raise ValueError(f"interval {interval} is none of 1m, 15m, D")
        if listing.expiry:
            first = max(first, self._past.start_day - timedelta(days=LISTED_DAYS))
        minutes = self._minutes(listing, first, last)
        if interval != DAILY:
            return minute_bars(minutes, interval)
        known = {} if listing.expiry else self._past.daily.get(listing.name, {})
        made = {bar.start_ns: bar for bar in daily_bars(minutes)}
        made.update({bar.start_ns: bar for bar in bars_between(known, first, last)})
        return [made[start_ns] for start_ns in sorted(made)]

    def _begin(self, levels: np.ndarray) -> None:
        """Yesterday's closes, then the first prices of the day."""
        day = exchange_time(self._now_ns).date()
        everything = self._contracts.ids
        before = self._past.close_before(day)
        day_ns = 24 * 60 * NS_PER_MINUTE
        yesterday = self._contracts.price(everything, before, self._now_ns - day_ns)
        self._board.close_day(everything, yesterday[0])
        self._keep_minute(levels)
        self._price(everything)
        self._open_today(day)

    def _open_today(self, day: date) -> None:
        """What the history says of today and of the close before, where there is history."""
        for name in NAMES:
            listing = self.index.underlying(name)
            if listing is None:
                continue
            bars = self.history(listing, DAILY, day - timedelta(days=10), day)
            before = [bar for bar in bars if bar.start_ns < daily_start_ns(day)]
            if before:
                self._board.prev_close[listing.listing_id] = before[-1].close
            if bars and bars[-1] not in before:
                self._board.widen_day(listing.listing_id, bars[-1])

    def _step(self, stride: int) -> np.ndarray:
        before = exchange_time(self._now_ns).date()
        self._now_ns += stride * self._interval_ns
        levels = self._walk.step(stride * self._interval_ns / 1e9)
        if exchange_time(self._now_ns).date() != before:
            self._board.new_day()
        self._keep_minute(levels)
        self._price(self._watched)
        return self._board.ticks(self._watched, self._now_ns)

    def _price(self, ids: np.ndarray) -> None:
        rows = self._contracts.price(ids, self._walk.levels(), self._now_ns)
        self._board.post(ids, rows, self._now_ns)

    def _keep_minute(self, levels: np.ndarray) -> None:
        start_ns = self._now_ns // NS_PER_MINUTE * NS_PER_MINUTE
        if self._live and self._live[-1][0] == start_ns:
            bar = self._live[-1][1]
            np.maximum(bar[1], levels, out=bar[1])
            np.minimum(bar[2], levels, out=bar[2])
            bar[3] = levels
        else:
            self._live.append((start_ns, np.array([levels] * 4)))

    def _minutes(self, listing: Listing, first: date, last: date) -> Minutes:
        minutes = self._underlying(listing.name, first, last)
        calendar = self._calendars[HOME_EXCHANGE.get(listing.exchange, listing.exchange)]
        minutes = minutes.rows(self._in_session(minutes.start_ns, calendar))
        if listing.expiry is None or not len(minutes.start_ns):
            return minutes
        points = self._underlying(NAMES[0], first, last)
        level = np.interp(minutes.start_ns, points.start_ns, points.close)
        return self._contracts.minutes_of(listing, minutes, level)

    def _underlying(self, name: str, first: date, last: date) -> Minutes:
        past = self._past.minutes(name)
        place = NAMES.index(name)
        opens, high, low, close = np.array([bar[:, place] for _start, bar in self._live]).T
        starts = np.array([start for start, _bar in self._live], dtype=np.int64)
        none = np.zeros(len(starts), dtype=np.int64)
        live = Minutes(starts, opens, high, low, close, none)
        from_ns, to_ns = midnight_ns(first), midnight_ns(last + timedelta(days=1))
        return past.between(from_ns, to_ns).then(live.between(from_ns, to_ns))

    def _in_session(self, start_ns: np.ndarray, calendar: ExchangeCalendar) -> np.ndarray:
        """True for minutes the segment traded in, and for all that were lived through."""
        days = _ordinals(start_ns)
        inside = start_ns >= min(self._live[0][0], self._past.unbroken_ns)
        for ordinal in np.unique(days):
            session = calendar.session(date.fromordinal(int(ordinal)))
            if session:
                inside |= (start_ns >= session.opens_ns) & (start_ns < session.closes_ns)
        return inside

    def _contract_day(self, start_ns: int) -> date:
        """The date the master is made for: the next one once today's contracts have expired."""
        day = exchange_time(start_ns).date()
        session = self._calendars["NFO"].session(day)
        return day + timedelta(days=1) if session and start_ns >= session.closes_ns else day


def _ordinals(start_ns: np.ndarray) -> np.ndarray:
    offset = EXCHANGE_OFFSET.utcoffset(None)
    day_ns = 24 * 60 * NS_PER_MINUTE
    epoch = date(1970, 1, 1).toordinal()
    return (start_ns + seconds(offset.total_seconds())) // day_ns + epoch
