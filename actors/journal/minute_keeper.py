"""Counts the running minute and writes it when it is over (`tomic.md` 9.5). Part of
journaling_agent.

What a killed process had counted of its minute is lost; orders and fills have rows of their own.
"""

from __future__ import annotations

from actors.actor import Context
from actors.journal.write_queue import WriteQueue
from domain.clock import NS_PER_MINUTE, NS_PER_S, seconds
from domain.journal.minutes import Minute, faults_of, minute_of
from persistence.metrics import MetricStore

KEPT_DAYS = 60
HOUR_S, DAY_S = 3_600.0, 86_400.0


class MinuteKeeper:
    """State: the running minute."""

    def __init__(self, context: Context, store: MetricStore, writes: WriteQueue) -> None:
        self._context, self._store, self._writes = context, store, writes
        self._minute = Minute(minute_of(context.now_ns()))
        self._wait()

    def now(self) -> Minute:
        """The minute that runs; what was over is written."""
        begins_ns = minute_of(self._context.now_ns())
        if begins_ns > self._minute.begins_ns:
            row, self._minute = self._minute.row(), Minute(begins_ns)
            if row:
                oldest_ns = begins_ns - seconds(KEPT_DAYS * DAY_S)
                self._writes.put(lambda: self._store.write_minute(row, oldest_ns))
                self._tell_faults(begins_ns)
        return self._minute

    def _wait(self) -> None:
        left_ns = NS_PER_MINUTE - self._context.now_ns() % NS_PER_MINUTE
        self._context.after(left_ns / NS_PER_S, self._turn)

    def _turn(self) -> None:
        self.now()
        self._wait()

    def _tell_faults(self, now_ns: int) -> None:
        day = self._store.minutes(now_ns - seconds(DAY_S))
        hour = [row for row in day if row["minute_ns"] >= now_ns - seconds(HOUR_S)]
        for key, text in faults_of(hour, day).items():
            self._context.alert("RISK", text, f"observed:{key}")
