"""Intraday swings: the highs and lows a market turned at, on closed bars (`data_pipeline.md` 6).

A bar is confirmed as a high or low by two later bars that trade beyond it and close so; swings
alternate. A low that the market falls below is broken, and that is told once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

CONFIRMATIONS = 2
LOW, HIGH = "LOW", "HIGH"


@dataclass(frozen=True, slots=True)
class Swing:
    """A turning point. `index` counts the bars of the session; `vwap` stays that of the bar it was
    first found on, also when a new extreme moves the swing."""

    kind: str
    price: float
    start_ns: int
    index: int
    vwap: float
    high: float
    low: float
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Break:
    """A swing low gave way; `highest_high` is the top between it and the bar that broke it."""

    swing: Swing
    highest_high: float
    start_ns: int


class SwingTracker:
    """The swings of one symbol and session, bar by bar."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._highs: list[float] = []
        self._lows: list[float] = []
        self._closes: list[float] = []
        self._vwaps: list[float] = []
        self._low_watch: dict[int, int] = {}
        self._high_watch: dict[int, int] = {}
        self.swings: list[Swing] = []
        self.refused = 0

    @property
    def last(self) -> Swing | None:
        """The newest swing."""
        return self.swings[-1] if self.swings else None

    @property
    def last_start_ns(self) -> int:
        """Start of the newest bar taken, 0 before the first."""
        return self._starts[-1] if self._starts else 0

    def add(self, bar: np.void) -> Break | None:
        """Takes one closed bar (a row of BAR_DTYPE); gives the break it made, if any.

        A bar that does not come after the last one is refused and counted.
        """
        start_ns = int(bar["start_ns"])
        if self._starts and start_ns <= self._starts[-1]:
            self.refused += 1
            return None
        self._starts.append(start_ns)
        for column, name in (
            (self._highs, "high"),
            (self._lows, "low"),
            (self._closes, "close"),
            (self._vwaps, "vwap"),
        ):
            column.append(float(bar[name]))
        last = self.last
        # Tested against the price before this bar may move it, or a low would never break.
        broke = self._break(last) if last else None
        if last is None:
            self._find_first()
        elif not self._move(last):
            self._find_next(last)
        return broke

    def _break(self, last: Swing) -> Break | None:
        i = len(self._starts) - 1
        if last.kind != LOW or last.broken or self._lows[i] >= last.price:
            return None
        self.swings[-1] = broken = replace(last, broken=True)
        return Break(broken, max(self._highs[last.index :]), self._starts[i])

    def _move(self, last: Swing) -> bool:
        """A new extreme of the same kind takes the swing along."""
        i = len(self._starts) - 1
        price = self._lows[i] if last.kind == LOW else self._highs[i]
        if price >= last.price if last.kind == LOW else price <= last.price:
            return False
        self.swings[-1] = replace(
            self.swings[-1],
            price=price,
            start_ns=self._starts[i],
            index=i,
            high=self._highs[i],
            low=self._lows[i],
        )
        return True

    def _find_first(self) -> None:
        i = len(self._starts) - 1
        for j in range(i):
            if self._watches_low(j, i):
                return self._new(LOW, 0, i)
            if self._watches_high(j, i):
                return self._new(HIGH, 0, i)
        return None

    def _find_next(self, last: Swing) -> None:
        i = len(self._starts) - 1
        watches = self._watches_high if last.kind == LOW else self._watches_low
        for j in range(last.index + 1, i):
            if watches(j, i):
                return self._new(HIGH if last.kind == LOW else LOW, last.index + 1, i)
        return None

    def _watches_low(self, j: int, i: int) -> bool:
        if not (self._highs[i] > self._highs[j] and self._closes[i] > self._closes[j]):
            return False
        self._low_watch[j] = self._low_watch.get(j, 0) + 1
        return self._low_watch[j] >= CONFIRMATIONS

    def _watches_high(self, j: int, i: int) -> bool:
        if not (self._lows[i] < self._lows[j] and self._closes[i] < self._closes[j]):
            return False
        self._high_watch[j] = self._high_watch.get(j, 0) + 1
        return self._high_watch[j] >= CONFIRMATIONS

    def _new(self, kind: str, first: int, last: int) -> None:
        """The extreme of these bars, both ends included; the first of equal ones."""
        column = self._lows if kind == LOW else self._highs
        price = (min if kind == LOW else max)(column[first : last + 1])
        index = column.index(price, first, last + 1)
        swing = Swing(
            kind,
            price,
            self._starts[index],
            index,
            self._vwaps[index],
            self._highs[index],
            self._lows[index],
        )
        self.swings.append(swing)
        self._low_watch.clear()
        self._high_watch.clear()
