"""Metrics by the minute and days of signals: tables of the journal database (`tables.md` 1).

journaling_agent writes, the pages read. A minute in which nothing happened has no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Engine, String, delete, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from domain.errors import StorageFailure
from persistence.database import JournalBase


class MinuteRow(JournalBase):
    """What happened in one minute; NULL is what nothing was measured of."""

    __tablename__ = "metrics"
    minute_ns: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    orders_placed: Mapped[int]
    orders_filled: Mapped[int]
    orders_rejected: Mapped[int]
    latency_avg_ms: Mapped[float | None]
    latency_p99_ms: Mapped[float | None]
    stale_blocks: Mapped[int]
    failovers: Mapped[int]
    unhedged_incidents: Mapped[int]
    dead_letters: Mapped[int]
    lease_reclaims: Mapped[int]
    breaker_trips: Mapped[int]
    slippage_ticks: Mapped[float | None]
    fill_rate: Mapped[float | None]


class SignalDayRow(JournalBase):
    """How many signals were followed on a day (ISO, the exchange's), on paper or live."""

    __tablename__ = "signal_days"
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    paper: Mapped[bool] = mapped_column(primary_key=True)
    signals: Mapped[int]


class MetricStore:
    """Reads and writes both tables. A write that cannot be made raises StorageFailure."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write_minute(self, row: Mapping[str, Any], oldest_ns: int) -> None:
        """A minute, in the place of what stood there; rows from before `oldest_ns` go."""
        same = MinuteRow.minute_ns == row["minute_ns"]
        old = MinuteRow.minute_ns < oldest_ns
        self._write(delete(MinuteRow).where(same | old), insert(MinuteRow).values(**row))

    def minutes(self, since_ns: int) -> list[dict[str, Any]]:
        """Rows from a moment on, oldest first."""
        query = select(MinuteRow).where(MinuteRow.minute_ns >= since_ns)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(MinuteRow.minute_ns))
            return [dict(row._mapping) for row in rows]

    def count_signal(self, day: str, paper: bool) -> None:
        """One more signal that was followed on that day."""
        of_day = (SignalDayRow.day == day) & (SignalDayRow.paper == paper)
        known = select(SignalDayRow.day).where(of_day)
        with self._engine.connect() as connection:
            stands = connection.execute(known).first() is not None
        first = insert(SignalDayRow).values(day=day, paper=paper, signals=1)
        more = update(SignalDayRow).where(of_day).values(signals=SignalDayRow.signals + 1)
        self._write(more if stands else first)

    def signal_days(self, paper: bool) -> list[int]:
        """Signals of each day that had any."""
        query = select(SignalDayRow.signals).where(SignalDayRow.paper == paper)
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def _write(self, *statements: Any) -> None:
        try:
            with self._engine.begin() as connection:
                for statement in statements:
                    connection.execute(statement)
        except DBAPIError as fault:
            raise StorageFailure(f"metrics cannot be written: {fault.orig}") from fault
