"""The exchange's clocks: the wall, and one that moves only when it is moved."""

from __future__ import annotations

import time
from typing import Protocol


class MarketClock(Protocol):
    """The exchange's time, epoch nanoseconds."""

    def now_ns(self) -> int:
        """Now, at the exchange."""


class WallClock:
    """The host's clock."""

    def now_ns(self) -> int:
        """Epoch nanoseconds of the host."""
        return time.time_ns()


class SteppedClock:
    """Stands still until it is moved; never goes back."""

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Where it was last moved to."""
        return self._now_ns

    def move(self, to_ns: int) -> None:
        """Moves forward; an earlier time leaves it where it is."""
        self._now_ns = max(self._now_ns, to_ns)
