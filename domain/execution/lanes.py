"""Which call to a broker goes next: a few at a time, and those of one structure one after another.

A call that hangs until its time-out holds up its own structure, and no other while a lane is free.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Lanes(Generic[Work]):
    """State: what waits, in order, and which structure each busy lane works for.

    `count` lanes, numbered from 0; the lowest free one is taken.
    """

    def __init__(self, count: int) -> None:
        self._free = list(range(count))
        self._waiting: deque[tuple[str, Work]] = deque()
        self._busy: dict[int, tuple[str, Work]] = {}

    def put(self, structure: str, work: Work) -> None:
        """Behind all that waits."""
        self._waiting.append((structure, work))

    def take(self) -> tuple[int, Work] | None:
        """A lane and the first thing that may go on it; None while nothing may."""
        under_way = {structure for structure, _ in self._busy.values()}
        going = next((one for one in self._waiting if one[0] not in under_way), None)
        if going is None or not self._free:
            return None
        self._waiting.remove(going)
        lane = min(self._free)
        self._free.remove(lane)
        self._busy[lane] = going
        return lane, going[1]

    def free(self, lane: int) -> None:
        """What went on that lane is done."""
        del self._busy[lane]
        self._free.append(lane)

    def give_back(self, lane: int) -> None:
        """What was to go on that lane could not begin: it is the first again."""
        self._waiting.appendleft(self._busy[lane])
        self.free(lane)
