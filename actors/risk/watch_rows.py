"""The rows of what the position manager watches, in `latches`; what the disk does not take waits.

A watch is acted on whether its row could be written or not: an exit waits for no disk.
"""

from __future__ import annotations

from actors.actor import Context
from domain.errors import StorageFailure
from persistence.database import open_engine
from persistence.latches import Latch, delete_latch, read_latches, write_latch

PREFIX = "watch:"
WRITE_AGAIN_S = 1.0


class WatchRows:
    """State: the rows that are not on disk yet, None for one to be taken away, the oldest first."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._engine = open_engine(context.runtime.database_url, prompt=True)
        self._waiting: dict[str, Latch | None] = {}

    def read(self) -> dict[str, Latch]:
        """All of them, by strategy id."""
        rows = read_latches(self._engine, PREFIX)
        return {row.name.removeprefix(PREFIX): row for row in rows}

    def put(self, strategy_id: str, row: Latch | None) -> None:
        """Writes a row, or takes it away; after what waits."""
        is_first = not self._waiting
        self._waiting[PREFIX + strategy_id] = row
        if is_first:
            self._work()

    def _work(self) -> None:
        while self._waiting:
            name, row = next(iter(self._waiting.items()))
            try:
                if row is None:
                    delete_latch(self._engine, name)
                else:
                    write_latch(self._engine, row)
            except StorageFailure as failure:
                self._context.alert("CRITICAL", f"a watch is not on disk: {failure}", "storage")
                self._context.after(WRITE_AGAIN_S, self._work)
                return
            del self._waiting[name]
