"""What pages read of the order tables: commands, dead letters, approvals, one signal's way. Reads
only.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select

from domain.orders import CommandStatus
from persistence.latches import read_injection
from persistence.order_tables import COMMANDS, FILLS, ORDERS

Row = dict[str, Any]


class CommandViews:
    """Queries of the status pages on the main database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, status: CommandStatus | None, limit: int, offset: int) -> tuple[int, list[Row]]:
        """(how many there are, one page of them newest first), of one status or of all."""
        query = select(COMMANDS)
        count = select(func.count()).select_from(COMMANDS)
        if status is not None:
            query = query.where(COMMANDS.c.status == status)
            count = count.where(COMMANDS.c.status == status)
        query = query.order_by(COMMANDS.c.command_id.desc()).limit(limit).offset(offset)
        with self._engine.connect() as connection:
            total = int(connection.execute(count).scalar_one())
            return total, [dict(row) for row in connection.execute(query).mappings()]

    def by_correlation(self, correlation_id: str) -> Row | None:
        """The entry command that a signal became, or None."""
        query = select(COMMANDS).where(COMMANDS.c.correlation_id == correlation_id)
        return self._first(query.order_by(COMMANDS.c.command_id))

    def injection(self, correlation_id: str) -> Any:
        """The injected signal of that id (persistence.latches.Injection), or None."""
        return read_injection(self._engine, correlation_id)

    def orders_of(self, command_id: int) -> list[Row]:
        """Orders of a command, in order of leg."""
        query = select(ORDERS).where(ORDERS.c.command_id == command_id).order_by(ORDERS.c.id)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def fills_of(self, command_id: int) -> list[Row]:
        """Fills of a command, in the order in which they were recorded."""
        query = select(FILLS).where(FILLS.c.command_id == command_id).order_by(FILLS.c.fill_id)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _first(self, query: Any) -> Row | None:
        with self._engine.connect() as connection:
            row = connection.execute(query.limit(1)).mappings().first()
        return dict(row) if row else None
