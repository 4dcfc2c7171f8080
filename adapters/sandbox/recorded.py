"""Recorded market: a recorded option chain let out at its own times, and daily history beside it.

The file gives prices, volumes and open interest. The order book and the volatility index are ours,
and `derived` says so. There is no intraday history before the first row.
"""

from __future__ import annotations

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
    INDEX_SEEDS,
    IndexSeed,
    index_listing,
    option_listing,
    volatility_listing,
)
from adapters.sandbox.posted import Posted, minutes_of
from adapters.sandbox.price_source import BOOK_LOTS, Level, Quote, book, ladder
from adapters.sandbox.recording import Recording, Row, read_recording
from adapters.sandbox.volatility_index import ChainPrices, volatility_index
from domain.brokers import HistoryBar
from domain.calendar import ExchangeCalendar
from domain.clock import NS_PER_MINUTE, exchange_time
from domain.errors import BadMarketData
from domain.instruments import InstrumentIndex, Listing
from domain.prices import MODE_DEPTH, TICK_DTYPE

DERIVED = ("spread", "depth", "volatility_index")
DEFAULT_UNDERLYING = "NIFTY"
UNKNOWN_VOLATILITY = 0.15  # only places a strike in the book's width when the file has no iv
NS_A_YEAR = 365 * 24 * 60 * NS_PER_MINUTE
VOLATILITY_ID, UNDERLYING_ID, FIRST_OPTION_ID = 1, 2, 3


class RecordedMarket:
    """One recorded session; see PriceSource for its verbs.

    `counts` and `warnings` say what of the files could not be used. Raises BadMarketData as
    read_recording and read_daily do.
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
        recording = read_recording(Path(path))
        seed = _seed_of(Path(path), underlying)
        self.counts = recording.counts
        self._daily, history_warnings = read_daily(history_dir)
        self.warnings = recording.warnings + history_warnings
        self.start_ns, self.end_ns = recording.rows[0].at_ns, recording.rows[-1].at_ns
        self.day = exchange_time(self.start_ns).date()
        listings = _listings(recording, seed)
        self.index = InstrumentIndex(listings)
        closes = _closes(listings, calendars or shipped_calendars())
        self._ticks = _ticks(recording, listings, seed=seed, closes=closes)
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


def _seed_of(path: Path, underlying: str) -> IndexSeed:
    """The index named, else the one the file's name begins with, else the default."""
    named = underlying.upper() or path.name.split("-")[0].split(".")[0].upper()
    if underlying and named not in INDEX_SEEDS:
        raise BadMarketData(f"underlying {underlying} is none of {', '.join(INDEX_SEEDS)}")
    return INDEX_SEEDS.get(named, INDEX_SEEDS[DEFAULT_UNDERLYING])


def _listings(recording: Recording, seed: IndexSeed) -> list[Listing]:
    rows = [volatility_listing(VOLATILITY_ID), index_listing(seed, UNDERLYING_ID)]
    contracts = sorted({row.contract for row in recording.rows})
    for listing_id, contract in enumerate(contracts, start=FIRST_OPTION_ID):
        rows.append(option_listing(seed, listing_id, **contract._asdict()))
    return rows


def _ticks(
    recording: Recording, listings: list[Listing], *, seed: IndexSeed, closes: dict[date, int]
) -> np.ndarray:
    """Ticks of options, underlying and volatility index, in time order."""
    rows = recording.rows
    ids = {(row.expiry, row.strike, row.kind): row.listing_id for row in listings if row.expiry}
    options = np.zeros(len(rows), dtype=TICK_DTYPE)
    options["listing"] = [ids[row.contract] for row in rows]
    options["ts_ns"] = [row.at_ns for row in rows]
    options["ltp"] = [row.ltp for row in rows]
    options["volume"] = [row.volume * seed.lot_size for row in rows]
    options["open_interest"] = [row.open_interest * seed.lot_size for row in rows]
    options["iv"] = [row.iv for row in rows]
    _quote_books(options, rows, seed=seed, closes=closes)
    spots = _index_ticks({row.at_ns: row.spot for row in rows}, UNDERLYING_ID)
    points = _index_ticks(_volatility_points(rows, closes), VOLATILITY_ID)
    # The index first: who prices an option needs the spot of the same moment.
    ticks = np.concatenate((spots, points, options))
    ticks["mode"] = MODE_DEPTH
    ticks["received_ns"] = ticks["ts_ns"]
    return ticks[np.argsort(ticks["ts_ns"], kind="stable")]


def _closes(listings: list[Listing], calendars: Mapping[str, ExchangeCalendar]) -> dict[date, int]:
    """When the contracts of each expiry end."""
    by_expiry = {row.expiry: row for row in listings if row.expiry}
    return {expiry: closing_ns(row, calendars) for expiry, row in by_expiry.items()}


def _quote_books(
    ticks: np.ndarray, rows: list[Row], *, seed: IndexSeed, closes: dict[date, int]
) -> None:
    """A book around each recorded price: its width is ours, by price and distance."""
    expires_ns = np.array([closes[row.contract.expiry] for row in rows])
    years = np.maximum(expires_ns - ticks["ts_ns"], 0) / NS_A_YEAR
    forward = np.array([row.spot for row in rows]) * np.exp(surface.CARRY_RATE * years)
    strikes = np.array([float(row.contract.strike) for row in rows])
    volatility = np.where(np.isnan(ticks["iv"]), UNKNOWN_VOLATILITY, ticks["iv"])
    distance = surface.deviations(forward, strikes, years, volatility=volatility)
    tick_size = np.full(len(rows), 0.05)
    bid, ask = book(ticks["ltp"], distance, tick_size)
    size = np.ceil(BOOK_LOTS * np.exp(-0.5 * distance * distance)) * seed.lot_size
    ticks["bid"], ticks["ask"] = np.where(bid > 0, bid, np.nan), ask
    ticks["bid_quantity"], ticks["ask_quantity"] = np.where(bid > 0, size, 0), size


def _index_ticks(prices: dict[int, float], listing_id: int) -> np.ndarray:
    ticks = np.zeros(len(prices), dtype=TICK_DTYPE)
    ticks["listing"] = listing_id
    ticks["ts_ns"], ticks["ltp"] = list(prices), list(prices.values())
    ticks["bid"] = ticks["ask"] = ticks["iv"] = np.nan
    ticks["volume"] = ticks["open_interest"] = -1
    return ticks


def _volatility_points(rows: list[Row], closes: dict[date, int]) -> dict[int, float]:
    """The volatility index of each recorded moment that has enough of a chain."""
    moments: dict[int, dict[date, dict[Decimal, dict[str, float]]]] = {}
    for row in rows:
        expiry, strike, kind = row.contract
        chains = moments.setdefault(row.at_ns, {})
        chains.setdefault(expiry, {}).setdefault(strike, {})[kind] = row.ltp
    points = {}
    for at_ns, chains in moments.items():
        found = volatility_index(
            [_chain(chains[expiry], closes[expiry]) for expiry in sorted(chains)],
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
