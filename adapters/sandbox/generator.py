"""Generated market: indices, equities, futures and whole option chains that move by themselves.

The same seed, start and steps give the same prices; with a memory the market goes on where its last
life ended. Options are Black-76 on the moving forward with
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
from adapters.sandbox.lived import Lived
from adapters.sandbox.memory import MarketMemory
from adapters.sandbox.past import Past
from adapters.sandbox.pauses import pause_steps
from adapters.sandbox.price_source import Level, Quote, ladder
from adapters.sandbox.scenarios import Scenario, scenario_of
from adapters.sandbox.walk import NAMES, NIGHT_S, Walk
from domain.brokers import HistoryBar
from domain.calendar import ExchangeCalendar
from domain.clock import (
    EXCHANGE_OFFSET,
    NS_PER_MINUTE,
    NS_PER_S,
    exchange_time,
    seconds,
)
from domain.errors import StorageFailure
from domain.instruments import InstrumentIndex, Listing

STEPS_MAX = 2_000  # of one advance: longer is a pause, and moves in coarser steps
LISTING_DAYS = 100  # longer than any contract is listed
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
        scenario: str | Scenario = "calm",
        always_open: bool = False,
        calendars: Mapping[str, ExchangeCalendar] | None = None,
        memory: MarketMemory | None = None,
    ) -> None:
        plan = scenario if isinstance(scenario, Scenario) else scenario_of(scenario)
        self._calendars = calendars or shipped_calendars()
        self._memory = memory
        saved = memory.load() if memory else None
        self._now_ns = saved.now_ns if saved else start_ns
        self._past = Past(
            seed,
            saved.origin_ns if saved else start_ns,
            scenario=plan,
            calendar=self._calendars["NFO"],
            always_open=always_open,
            history_dir=history_dir,
        )
        self.warnings = self._past.warnings + (memory.warnings if memory else [])
        self._never_closes = always_open
        self._interval_ns = seconds(tick_interval_s)
        self._walk = Walk(seed, plan, self._past.levels(), always_open=always_open)
        self._lived = Lived()
        self._saved_ns = 0
        if saved:
            self._lived = Lived(saved.minutes_ns, saved.minutes)
            self._walk.restore(saved.walk)
            self._live_through(start_ns)
        elif memory:
            memory.begin(start_ns)
        self._day = self._contract_day(self._now_ns)
        listings = listings_of(self._day, self._listed_around(), self._calendars)
        self.index = InstrumentIndex(listings)
        self._contracts = Contracts(listings, self._calendars)
        self._board = Board(listings)
        self._watched = self._contracts.ids
        self._lived.keep(self._now_ns, self._walk.levels())
        self._save()
        today = exchange_time(self._now_ns).date()
        self._close_yesterday(today)
        self._open_today(today)

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
        if due > STEPS_MAX:
            self._pause(self._now_ns + (due - 1) * self._interval_ns)
            due = 1
        batches = [self._step() for _ in range(due)]
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
            first = max(first, self._day - timedelta(days=LISTED_DAYS))
        minutes = self._minutes(listing, first, last)
        if interval != DAILY:
            return minute_bars(minutes, interval)
        known = {} if listing.expiry else self._past.daily.get(listing.name, {})
        made = {bar.start_ns: bar for bar in daily_bars(minutes)}
        made.update({bar.start_ns: bar for bar in bars_between(known, first, last)})
        return [made[start_ns] for start_ns in sorted(made)]

    def close(self) -> None:
        """Saves the market as it stands and lets go of its file."""
        if self._memory:
            self._save()
            self._memory.close()

    def _close_yesterday(self, day: date) -> None:
        """The prices before that day, then those of now."""
        everything = self._contracts.ids
        before = self._lived.close_before(midnight_ns(day))
        if before is None:
            before = self._past.close_before(day)
        day_ns = 24 * 60 * NS_PER_MINUTE
        yesterday = self._contracts.price(everything, before, self._now_ns - day_ns)
        self._board.close_day(everything, yesterday[0])
        self._price(everything)

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

    def _step(self) -> np.ndarray:
        before = exchange_time(self._now_ns).date()
        self._now_ns += self._interval_ns
        levels = self._walk.step(self._interval_ns / 1e9)
        if exchange_time(self._now_ns).date() != before:
            self._board.new_day()
        if self._lived.keep(self._now_ns, levels):
            self._save()
        self._price(self._watched)
        return self._board.ticks(self._watched, self._now_ns)

    def _price(self, ids: np.ndarray) -> None:
        rows = self._contracts.price(ids, self._walk.levels(), self._now_ns)
        self._board.post(ids, rows, self._now_ns)

    def _pause(self, to_ns: int) -> None:
        """A pause of a running market: nobody hears of its prices but through its history."""
        before = exchange_time(self._now_ns).date()
        self._live_through(to_ns)
        self._save()
        day = exchange_time(to_ns).date()
        if day != before:
            self._board.new_day()
            self._close_yesterday(day)

    def _live_through(self, to_ns: int) -> None:
        """Moves the walk to a later time in coarse steps; an earlier one is where it stands."""
        calendar = None if self._never_closes else self._calendars["NFO"]
        steps = list(pause_steps(self._now_ns, to_ns, calendar))
        lengths = np.array([ends_ns - from_ns for from_ns, ends_ns, _ in steps])
        minutes_left = lengths[::-1].cumsum()[::-1] / NS_PER_MINUTE
        for (from_ns, ends_ns, is_rested), left in zip(steps, minutes_left, strict=True):
            if not is_rested:
                self._lived.keep(from_ns, self._walk.levels())
            trade_s = (ends_ns - from_ns) / NS_PER_S + NIGHT_S * is_rested
            self._lived.keep(from_ns, self._walk.step(trade_s, minutes_left=left))
        self._now_ns = max(self._now_ns, to_ns)

    def _listed_around(self) -> dict[str, tuple[float, float]]:
        """The lowest and highest level of each name at which a listed contract may have begun."""
        since_ns = self._now_ns - LISTING_DAYS * 24 * 60 * NS_PER_MINUTE
        low, high = self._lived.range_since(since_ns, self._walk.levels())
        return dict(zip(NAMES, zip(low.tolist(), high.tolist(), strict=True), strict=True))

    def _save(self) -> None:
        """Prices go on without a disk; what is wrong with it is told once."""
        if self._memory is None:
            return
        minutes = self._lived.since(self._saved_ns)
        try:
            self._memory.save(self._now_ns, self._walk.state(), minutes)
        except StorageFailure as failure:
            if str(failure) not in self.warnings:
                self.warnings.append(str(failure))
            return
        self._saved_ns = minutes[-1][0] if minutes else self._saved_ns

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
        live = self._lived.of(NAMES.index(name))
        from_ns, to_ns = midnight_ns(first), midnight_ns(last + timedelta(days=1))
        return self._past.minutes(name, from_ns, to_ns).then(live.between(from_ns, to_ns))

    def _in_session(self, start_ns: np.ndarray, calendar: ExchangeCalendar) -> np.ndarray:
        """True for minutes the segment traded in, and for all that were lived through."""
        days = _ordinals(start_ns)
        inside = start_ns >= min(self._lived.begins_ns, self._past.unbroken_ns)
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
