"""Timers: one heap of due times, for one wake-up at a time of whatever runs the loop."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class HeapTimer:
    """A planned callback; `cancel` makes it never run again."""

    def __init__(self, callback: Callable[[], None], period: Callable[[], int] | None) -> None:
        self.callback: Callable[[], None] | None = callback
        self.period = period
        self.due_ns = 0

    def cancel(self) -> None:
        """The callback will not run any more; what it holds is let go."""
        self.callback = None


class Timers:
    """Due times in nanoseconds of a clock that the caller reads."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, HeapTimer]] = []
        self._order = itertools.count()

    def once(self, due_ns: int, callback: Callable[[], None]) -> HeapTimer:
        """Plans one call."""
        return self._push(due_ns, HeapTimer(callback, None))

    def again(
        self, now_ns: int, period: Callable[[], int], callback: Callable[[], None]
    ) -> HeapTimer:
        """Plans calls for ever; `period` gives each next delay in nanoseconds."""
        return self._push(now_ns + period(), HeapTimer(callback, period))

    def next_due_ns(self) -> int | None:
        """When the earliest is due; None when there is none."""
        while self._heap:
            due_ns, _, timer = self._heap[0]
            if timer.callback is not None and timer.due_ns == due_ns:
                return due_ns
            heapq.heappop(self._heap)  # cancelled, or planned anew
        return None

    def hasten(self, now_ns: int) -> None:
        """Repeating timers that were planned further off than one period now are planned anew."""
        for _, _, timer in list(self._heap):
            if timer.callback is None or timer.period is None:
                continue
            due_ns = now_ns + timer.period()
            if due_ns < timer.due_ns:
                self._push(due_ns, timer)

    def take_due(self, now_ns: int) -> Callable[[], None] | None:
        """The callback due longest, or None. Timers due at one time go in the order they were
        planned; a repeating one counts its next period from now, so a stall is not followed by a
        burst."""
        due_ns = self.next_due_ns()
        if due_ns is None or due_ns > now_ns:
            return None
        timer = heapq.heappop(self._heap)[2]
        callback = timer.callback
        if timer.period is not None:
            self._push(now_ns + timer.period(), timer)
        return callback

    def _push(self, due_ns: int, timer: HeapTimer) -> HeapTimer:
        timer.due_ns = due_ns
        heapq.heappush(self._heap, (due_ns, next(self._order), timer))
        return timer
