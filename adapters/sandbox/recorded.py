"""Recorded market: recorded option chains let out at their own times, daily history beside them.

The files give prices, volumes and open interest. The order book and the volatility index are ours,
and `derived` says so. There is no intraday history before the first row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np

from adapters.sandbox import surface
from adapters.sandbox.contracts import closing_ns
from adapters.sandbox.history import (
    DAILY,
    INTERVAL_MINUTES,
    bars_between,
    minute_bars,
    read_daily,
)
from adapters.sandbox.hours import shipped_calendars
from adapters.sandbox.instruments import (
    IndexSeed,
    index_listing,
    option_listing,
    share_listing,
    volatility_listing,
)
from adapters.sandbox.posted import Posted, minutes_of
from adapters.sandbox.price_source import BOOK_LOTS, Level, Quote, book, ladder
from adapters.sandbox.recording import Contract, Row
from adapters.sandbox.recordings import DEFAULT_UNDERLYING, Recorded, read_recordings
from adapters.sandbox.volatility_index import ChainPrices, volatility_index
from domain.brokers import HistoryBar
from domain.calendar import ExchangeCalendar
from domain.clock import NS_PER_MINUTE, exchange_time
from domain.instruments import InstrumentIndex, Listing
from domain.prices import MODE_DEPTH, TICK_DTYPE

DERIVED = ("spread", "depth", "volatility_index")
UNKNOWN_VOLATILITY = 0.15  # only places a strike in the book's width when the file has no iv
NS_A_YEAR = 365 * 24 * 60 * NS_PER_MINUTE
VOLATILITY_ID, FIRST_UNDERLYING_ID = 1, 2


class RecordedMarket:
    """One recorded session, of a file or of a folder of files; see PriceSource for its verbs.

    `counts` and `warnings` say what of the files could not be used. Raises BadMarketData as
    read_recordings and read_daily do.
    """

    derived = DERIVED

    def __init__(
        self,
        path: Path,
        *,
        calendars: Mapping[str, ExchangeCalendar] | None = None,
        history_dir: Path | None = None,
        underlying: str = "",
    ) -> None:
        recorded = read_recordings(Path(path), underlying)
        self.counts = sum((row.recording.counts for row in recorded), Counter())
        self._daily, history_warnings = read_daily(history_dir)
        self.warnings = [text for row in recorded for text in row.recording.warnings]
        self.warnings += history_warnings
        listings = _listings(recorded)
        self.index = InstrumentIndex(listings)
        closes = _closes(listings, calendars or shipped_calendars())
        self._ticks = _ticks(recorded, self.index, closes)
        self.start_ns, self.end_ns = (int(self._ticks["ts_ns"][at]) for at in (0, -1))
        self.day = exchange_time(self.start_ns).date()
        self._next = 0
        self._posted = Posted(self._close_before)

    @property
    def ended(self) -> bool:
        """True when the last row was let out."""
        return self._next >= len(self._ticks)

    def next_ns(self) -> int | None:
        """The time of the next row."""
        return None if self.ended else int(self._ticks["ts_ns"][self._next])

    def watch(self, listing_ids: Iterable[int]) -> None:
        """A recording is small: everything is let out, whoever listens."""

    def advance(self, to_ns: int) -> np.ndarray:
        """All rows due by then; an earlier time gives none."""
        first = self._next
        due = int(np.searchsorted(self._ticks["ts_ns"], to_ns, side="right"))
        self._next = max(first, due)
        batch = self._ticks[first : self._next]
        self._posted.post(batch)
        return batch.copy()

    def quote(self, listing_id: int) -> Quote | None:
        """The last row let out; the day's range is that of the rows so far."""
        return self._posted.quote(listing_id)

    def depth(self, listing_id: int) -> tuple[list[Level], list[Level]]:
        """Five levels made around the quote."""
        quote = self.quote(listing_id)
        return ladder(quote, self.index.by_id[listing_id]) if quote else ([], [])

    def history(self, listing: Listing, interval: str, first: date, last: date) -> list[HistoryBar]:
        """Days before the recorded one from the files; minutes of it as far as it was let out."""
        if interval == DAILY:
            rows = {} if listing.expiry else self._daily.get(listing.name, {})
            return [bar for bar in bars_between(rows, first, last) if _date(bar) < self.day]
        if interval not in INTERVAL_MINUTES:
            raise ValueError(f"interval {interval} is none of 1m, 15m, D")
        if not first <= self.day <= last:
            return []
        played = self._ticks[: self._next]
        return minute_bars(minutes_of(played[played["listing"] == listing.listing_id]), interval)

    def close(self) -> None:
        """A recording begins at its first row again."""

    def _close_before(self, listing_id: int) -> float:
        """The last daily close before the recorded day; 0 when the files know none."""
        listing = self.index.by_id[listing_id]
        bars = self.history(listing, DAILY, date.min, self.day)
        return bars[-1].close if bars else 0.0


def _listings(recorded: list[Recorded]) -> list[Listing]:
    rows = [volatility_listing(VOLATILITY_ID)]
    for listing_id, one in enumerate(recorded, start=FIRST_UNDERLYING_ID):
        rows.append(_underlying(one.seed, listing_id))
    for one in recorded:
        for contract in sorted({row.contract for row in one.recording.rows}):
            rows.append(option_listing(one.seed, len(rows) + 1, **contract._asdict()))
    return rows


def _underlying(seed: IndexSeed, listing_id: int) -> Listing:
    if seed.exchange == "NSE":
        return share_listing(seed.name, listing_id, level=seed.level)
    return index_listing(seed, listing_id)


def _ticks(
    recorded: list[Recorded], index: InstrumentIndex, closes: dict[tuple[str, date], int]
) -> np.ndarray:
    """Ticks of options, underlyings and volatility index, in time order."""
    spots, options = [], []
    for one in recorded:
        underlying = index.underlying(one.seed.name)
        assert underlying is not None  # listed above
        spot = {row.at_ns: row.spot for row in one.recording.rows}
        spots.append(_index_ticks(spot, underlying.listing_id))
        options.append(_option_ticks(one, index, closes))
    points = _index_ticks(_volatility_points(recorded, closes), VOLATILITY_ID)
    # The indices first: who prices an option needs the spot of the same moment.
    ticks = np.concatenate((*spots, points, *options))
    ticks["mode"] = MODE_DEPTH
    ticks["received_ns"] = ticks["ts_ns"]
    return ticks[np.argsort(ticks["ts_ns"], kind="stable")]


def _option_ticks(
    one: Recorded, index: InstrumentIndex, closes: dict[tuple[str, date], int]
) -> np.ndarray:
    rows, name, lot = one.recording.rows, one.seed.name, one.seed.lot_size
    ids = {
        Contract(expiry, listing.strike, listing.kind): listing.listing_id
        for expiry in {row.contract.expiry for row in rows}
        for listing in index.chain(name, expiry)
    }
    ticks = np.zeros(len(rows), dtype=TICK_DTYPE)
    ticks["listing"] = [ids[row.contract] for row in rows]
    ticks["ts_ns"] = [row.at_ns for row in rows]
    ticks["ltp"] = [row.ltp for row in rows]
    ticks["volume"] = [row.volume * lot for row in rows]
    ticks["open_interest"] = [row.open_interest * lot for row in rows]
    ticks["iv"] = [row.iv for row in rows]
    expires_ns = np.array([closes[name, row.contract.expiry] for row in rows])
    _quote_books(ticks, rows, lot_size=lot, expires_ns=expires_ns)
    return ticks


def _closes(
    listings: list[Listing], calendars: Mapping[str, ExchangeCalendar]
) -> dict[tuple[str, date], int]:
    """When the contracts of each underlying and expiry end."""
    by_expiry = {(row.name, row.expiry): row for row in listings if row.expiry}
    return {key: closing_ns(row, calendars) for key, row in by_expiry.items()}


def _quote_books(
    ticks: np.ndarray, rows: list[Row], *, lot_size: int, expires_ns: np.ndarray
) -> None:
    """A book around each recorded price: its width is ours, by price and distance."""
    years = np.maximum(expires_ns - ticks["ts_ns"], 0) / NS_A_YEAR
    forward = np.array([row.spot for row in rows]) * np.exp(surface.CARRY_RATE * years)
    strikes = np.array([float(row.contract.strike) for row in rows])
    volatility = np.where(np.isnan(ticks["iv"]), UNKNOWN_VOLATILITY, ticks["iv"])
    distance = surface.deviations(forward, strikes, years, volatility=volatility)
    tick_size = np.full(len(rows), 0.05)
    bid, ask = book(ticks["ltp"], distance, tick_size)
    size = np.ceil(BOOK_LOTS * np.exp(-0.5 * distance * distance)) * lot_size
    ticks["bid"], ticks["ask"] = np.where(bid > 0, bid, np.nan), ask
    ticks["bid_quantity"], ticks["ask_quantity"] = np.where(bid > 0, size, 0), size


def _index_ticks(prices: dict[int, float], listing_id: int) -> np.ndarray:
    ticks = np.zeros(len(prices), dtype=TICK_DTYPE)
    ticks["listing"] = listing_id
    ticks["ts_ns"], ticks["ltp"] = list(prices), list(prices.values())
    ticks["bid"] = ticks["ask"] = ticks["iv"] = np.nan
    ticks["volume"] = ticks["open_interest"] = -1
    return ticks


def _volatility_points(
    recorded: list[Recorded], closes: dict[tuple[str, date], int]
) -> dict[int, float]:
    """The volatility index of each recorded moment that has enough of its chain: NIFTY's, or the
    only one there is."""
    name = recorded[0].seed.name if len(recorded) == 1 else DEFAULT_UNDERLYING
    rows = [row for one in recorded if one.seed.name == name for row in one.recording.rows]
    moments: dict[int, dict[date, dict[Decimal, dict[str, float]]]] = {}
    for row in rows:
        expiry, strike, kind = row.contract
        chains = moments.setdefault(row.at_ns, {})
        chains.setdefault(expiry, {}).setdefault(strike, {})[kind] = row.ltp
    points = {}
    for at_ns, chains in moments.items():
        found = volatility_index(
            [_chain(chains[expiry], closes[name, expiry]) for expiry in sorted(chains)],
            at_ns,
            rate=surface.CARRY_RATE,
        )
        if found is not None:
            points[at_ns] = round(found, 2)
    return points


def _chain(prices: dict[Decimal, dict[str, float]], expires_ns: int) -> ChainPrices:
    strikes = sorted(prices)
    calls, puts = (
        np.array([prices[strike].get(kind, np.nan) for strike in strikes]) for kind in ("CE", "PE")
    )
    return ChainPrices(expires_ns, np.array([float(k) for k in strikes]), calls, puts)


def _date(bar: HistoryBar) -> date:
    return exchange_time(bar.start_ns).date()
