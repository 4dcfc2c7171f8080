"""How long something really waited, on a machine that has too much to do.

The kernel counts the time in which some process wanted a processor and had none (`/proc/pressure`).
Patience and limits of a test go by what is left without it: on an idle machine all of the time, on
an overloaded one at least a fifth, so that what never comes is still found missing.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from pathlib import Path

SOURCE = Path("/proc/pressure/cpu")
FELT_MIN = 0.2


class Pressure:
    """Samples of the kernel's count, by the wall clock."""

    def __init__(self) -> None:
        self._at_ns: list[int] = []
        self._waited_s: list[float] = []
        self.sample()

    def sample(self) -> None:
        """Notes the count as it is now."""
        self._at_ns.append(time.time_ns())
        self._waited_s.append(waited_s())

    def felt_s(self, from_ns: int, to_ns: int) -> float:
        """Seconds between two moments of the wall clock in which nobody waited for a processor."""
        wall_s = (to_ns - from_ns) / 1e9
        return max(wall_s - (self._count(to_ns) - self._count(from_ns)), wall_s * FELT_MIN)

    def _count(self, at_ns: int) -> float:
        """The count at a moment: of the sample before it, or the first."""
        return self._waited_s[max(0, bisect_right(self._at_ns, at_ns) - 1)]


def waited_s() -> float:
    """Seconds since the machine's start; 0 where the kernel does not count."""
    try:
        line = SOURCE.read_text().splitlines()[0]
    except OSError:
        return 0.0
    return int(line.rpartition("total=")[2]) / 1e6


class Deadline:
    """So many felt seconds from now."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._began_s, self._waited_s = time.monotonic(), waited_s()

    def is_over(self) -> bool:
        """True once that much time was really there."""
        wall_s = time.monotonic() - self._began_s
        return max(wall_s - (waited_s() - self._waited_s), wall_s * FELT_MIN) >= self._within_s
