"""Writes of the journal, in order; on a disk that takes nothing they wait, and are tried each
second.

A letter whose handler raised comes once more and then never: a disk that is full for two seconds
would cost the journal its facts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actors.actor import Context
from domain.errors import StorageFailure

WRITE_AGAIN_S = 1.0
WAITING_MAX = 20_000  # as the recorder's mailbox; beyond it the process ends and says why


class WriteQueue:
    """State: what is not written yet, the oldest first."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: deque[Callable[[], None]] = deque()

    def put(self, write: Callable[[], None]) -> None:
        """Writes now, or as soon as what waits before it is written. Raises StorageFailure when
        too much waits."""
        if len(self._waiting) >= WAITING_MAX:
            raise StorageFailure(f"{WAITING_MAX} writes of the journal wait already")
        self._waiting.append(write)
        if len(self._waiting) == 1:
            self._work()

    def _work(self) -> None:
        while self._waiting:
            try:
                self._waiting[0]()
            except StorageFailure as failure:
                self._context.alert("CRITICAL", f"the journal waits: {failure}", "journal")
                self._context.after(WRITE_AGAIN_S, self._work)
                return
            self._waiting.popleft()
