"""Taped market: the ticks of a journaled run, let out when that run received them.

Everything is as it was heard: prices, best bid and ask, times. Deeper levels of the book are ours.
Of what the run never heard there is no price, and history is what the run read of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType

import numpy as np

from adapters.sandbox.history import DAILY, INTERVAL_MINUTES, daily_start_ns, minute_bars
from adapters.sandbox.posted import Posted, minutes_of
from adapters.sandbox.price_source import Level, Quote, ladder
from domain.brokers import HistoryBar
from domain.clock import NS_PER_MINUTE, exchange_time
from domain.instruments import InstrumentIndex, Listing
from domain.tape import TapedRun

# Ticks of a burst come some milliseconds apart, by socket and by thread; each would be a step of
# its own. A tenth of a second is far below what any agent decides by.
STEP_NS = 100_000_000
TIMEFRAMES = {"1m": "1m", "15m": "15m", DAILY: "1D"}  # of a broker's history, as bars name them


class TapedMarket:
    """One journaled run; see PriceSource for its verbs. Its first moment is the run's begin."""

    derived = ("depth",)
    counts: Mapping[str, int] = MappingProxyType({})

    def __init__(self, run: TapedRun) -> None:
        self.index = InstrumentIndex(run.listings)
        self.warnings = list(run.lost)
        self.day = exchange_time(run.begin_ns).date()
        known = np.isin(run.ticks["listing"], list(self.index.by_id))
        ticks = run.ticks[known]  # a copy
        # What came before the tree stood is there when it does.
        ticks["received_ns"] = np.maximum(ticks["received_ns"], run.begin_ns)
        slots = ticks["received_ns"] // STEP_NS
        order = np.argsort(slots, kind="stable")
        self._ticks, slots = ticks[order], slots[order]
        self._bars, self._begin_ns = run.bars, run.begin_ns
        firsts = np.flatnonzero(np.diff(slots, prepend=-1))
        self._times: list[int] = []
        self._ends: list[int] = []  # ticks let out up to each moment
        if len(firsts):
            self._times = np.maximum.reduceat(self._ticks["received_ns"], firsts).tolist()
            self._ends = [*firsts[1:].tolist(), len(slots)]
        if not self._times or run.begin_ns < self._times[0]:
            self._times.insert(0, run.begin_ns)
            self._ends.insert(0, 0)
        self._next = 0  # of the moments
        self._posted = Posted(self._close_before)

    @property
    def ended(self) -> bool:
        """True when the last moment was let out."""
        return self._next >= len(self._times)

    def next_ns(self) -> int | None:
        """The next moment in which something was received."""
        return None if self.ended else int(self._times[self._next])

    def watch(self, listing_ids: Iterable[int]) -> None:
        """What was heard once is let out, whoever listens."""

    def advance(self, to_ns: int) -> np.ndarray:
        """All ticks due by then; an earlier time gives none."""
        first = self._played
        while not self.ended and self._times[self._next] <= to_ns:
            self._next += 1
        batch = self._ticks[first : self._played]
        self._posted.post(batch)
        return batch.copy()

    def quote(self, listing_id: int) -> Quote | None:
        """The last tick let out."""
        return self._posted.quote(listing_id)

    def depth(self, listing_id: int) -> tuple[list[Level], list[Level]]:
        """Five levels made around the quote."""
        quote = self.quote(listing_id)
        return ladder(quote, self.index.by_id[listing_id]) if quote else ([], [])

    def history(self, listing: Listing, interval: str, first: date, last: date) -> list[HistoryBar]:
        """What the run read, and its own ticks where it read nothing; minutes up to now."""
        if interval not in (*INTERVAL_MINUTES, DAILY):
            raise ValueError(f"interval {interval} is none of 1m, 15m, D")
        bars = {bar.start_ns: bar for bar in self._read_bars(listing, interval)}
        if interval != DAILY:
            played = self._ticks[: self._played]
            own = played[played["listing"] == listing.listing_id]
            bars = {bar.start_ns: bar for bar in minute_bars(minutes_of(own), interval)} | bars
        days = {start_ns: exchange_time(start_ns).date() for start_ns in sorted(bars)}
        return [bars[start_ns] for start_ns, day in days.items() if first <= day <= last]

    def close(self) -> None:
        """A tape begins at its first moment again."""

    @property
    def _played(self) -> int:
        """Ticks let out so far."""
        return self._ends[self._next - 1] if self._next else 0

    def _read_bars(self, listing: Listing, interval: str) -> list[HistoryBar]:
        rows = self._bars.get(TIMEFRAMES[interval])
        if rows is None:
            return []
        # Of its own time the run made bars from the ticks that are here; the rest it read.
        is_read = rows["history"] | (rows["start_ns"] < self._begin_ns)
        rows = rows[(rows["listing"] == listing.listing_id) & is_read]
        now_ns = int(self._times[max(self._next - 1, 0)])
        if interval == DAILY:
            told = [row for row in rows if exchange_time(int(row["start_ns"])).date() < self.day]
        else:
            width_ns = INTERVAL_MINUTES[interval] * NS_PER_MINUTE
            told = list(rows[rows["start_ns"] + width_ns <= now_ns])
        return [_history_bar(row, is_day=interval == DAILY) for row in told]

    def _close_before(self, listing_id: int) -> float:
        bars = self._read_bars(self.index.by_id[listing_id], DAILY)
        return bars[-1].close if bars else 0.0


def _history_bar(row: np.void, *, is_day: bool) -> HistoryBar:
    start_ns = int(row["start_ns"])
    if is_day:
        start_ns = daily_start_ns(exchange_time(start_ns).date())
    return HistoryBar(
        start_ns,
        float(row["open"]),
        float(row["high"]),
        float(row["low"]),
        float(row["close"]),
        int(row["volume"]),
    )
