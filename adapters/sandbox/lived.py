"""Lived: the minutes a generated market lived through since it first began, as columns.

Minutes of long ago are kept as quarters of an hour: they fold into the same longer bars.
"""

from __future__ import annotations

import numpy as np

from adapters.sandbox.history import Minutes
from adapters.sandbox.walk import NAMES
from domain.clock import NS_PER_MINUTE

QUARTER_NS = 15 * NS_PER_MINUTE
FIELDS = 4  # open, high, low, close
NO_STARTS = np.zeros(0, dtype=np.int64)
NO_ROWS = np.zeros((0, FIELDS, len(NAMES)))


class Lived:
    """Rows of FIELDS prices a name, ascending by minute; earlier lives are handed in."""

    def __init__(self, starts_ns: np.ndarray = NO_STARTS, rows: np.ndarray = NO_ROWS) -> None:
        self._before_ns, self._before = starts_ns, rows
        self._now_ns: list[int] = []
        self._now: list[np.ndarray] = []

    @property
    def begins_ns(self) -> int:
        """The first minute."""
        return int(self._before_ns[0]) if len(self._before_ns) else self._now_ns[0]

    def keep(self, at_ns: int, levels: np.ndarray) -> bool:
        """Takes the levels of a moment into its minute; True when that minute begins with them."""
        start_ns = at_ns // NS_PER_MINUTE * NS_PER_MINUTE
        if not self._now_ns and len(self._before_ns) and self._before_ns[-1] == start_ns:
            self._now_ns.append(start_ns)
            self._now.append(self._before[-1].copy())
            self._before_ns, self._before = self._before_ns[:-1], self._before[:-1]
        if self._now_ns and self._now_ns[-1] == start_ns:
            row = self._now[-1]
            np.maximum(row[1], levels, out=row[1])
            np.minimum(row[2], levels, out=row[2])
            row[3] = levels
            return False
        self._now_ns.append(start_ns)
        self._now.append(np.array([levels] * FIELDS))
        return True

    def of(self, place: int) -> Minutes:
        """The minutes of one name; nothing of them was traded."""
        now = np.array([row[:, place] for row in self._now]).reshape(-1, FIELDS)
        opens, high, low, close = np.concatenate((self._before[:, :, place], now)).T
        starts = np.concatenate((self._before_ns, np.array(self._now_ns, dtype=np.int64)))
        return Minutes(starts, opens, high, low, close, np.zeros(len(starts), dtype=np.int64))

    def since(self, start_ns: int) -> list[tuple[int, np.ndarray]]:
        """The minutes of this life from that one on."""
        first = int(np.searchsorted(self._now_ns, start_ns))
        return list(zip(self._now_ns[first:], self._now[first:], strict=True))

    def close_before(self, at_ns: int) -> np.ndarray | None:
        """The last levels before a moment; None when the market began later."""
        first = int(np.searchsorted(self._now_ns, at_ns))
        if first:
            return np.asarray(self._now[first - 1][3])
        place = int(np.searchsorted(self._before_ns, at_ns))
        return np.asarray(self._before[place - 1, 3]) if place else None

    def range_since(self, at_ns: int, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest of each name since a moment, and of these levels."""
        rows = self._before[np.searchsorted(self._before_ns, at_ns) :]
        low, high = levels, levels
        if len(rows):
            low, high = np.minimum(low, rows[:, 2].min(axis=0)), np.maximum(high, rows[:, 1].max(0))
        for row in self._now:
            low, high = np.minimum(low, row[2]), np.maximum(high, row[1])
        return low, high


def thinned(starts_ns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minutes as quarters of an hour."""
    quarters = starts_ns // QUARTER_NS
    firsts = np.flatnonzero(np.diff(quarters, prepend=-1))
    lasts = np.append(firsts[1:], len(quarters)) - 1
    folded = np.stack(
        (
            rows[firsts, 0],
            np.maximum.reduceat(rows[:, 1], firsts, axis=0),
            np.minimum.reduceat(rows[:, 2], firsts, axis=0),
            rows[lasts, 3],
        ),
        axis=1,
    )
    return quarters[firsts] * QUARTER_NS, folded
