"""What pages read of the order tables and the facts: commands, dead letters, approvals, the way of
one signal or order. Reads only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, func, or_, select

from domain.orders import CommandStatus, OrderStatus
from persistence.journal import FactRow
from persistence.latches import read_injection
from persistence.order_tables import ATTEMPTS, COMMANDS, FILLS, ORDERS

LATENCIES_OF = 1000  # the newest fills: enough for a p99, and one short range of the key

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

    def command(self, command_id: int) -> Row | None:
        """The command of that number, or None."""
        return self._first(select(COMMANDS).where(COMMANDS.c.command_id == command_id))

    def entry_of(self, strategy_id: str) -> Row | None:
        """The first command of a strategy, its entry; None when nobody knows that strategy."""
        query = select(COMMANDS).where(COMMANDS.c.strategy_id == strategy_id)
        return self._first(query.order_by(COMMANDS.c.command_id))

    def counts(self) -> dict[CommandStatus, int]:
        """How many commands stand in each state."""
        query = select(COMMANDS.c.status, func.count()).group_by(COMMANDS.c.status)
        with self._engine.connect() as connection:
            found = {row[0]: int(row[1]) for row in connection.execute(query)}
        return {status: found.get(status, 0) for status in CommandStatus}

    def dead_letters(self, limit: int) -> list[Row]:
        """Dead letters, oldest first."""
        query = select(COMMANDS).where(COMMANDS.c.status == CommandStatus.DEAD_LETTER)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(COMMANDS.c.command_id).limit(limit))
            return [dict(row) for row in rows.mappings()]

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

    def order(self, name: str) -> Row | None:
        """The order of that row number, key of ours, or broker's id; None when there is none."""
        names = [ORDERS.c.client_order_id == name, ORDERS.c.broker_order_id == name]
        if name.isdecimal() and len(name) < 19:
            names.append(ORDERS.c.id == int(name))
        return (
            self._first(select(ORDERS).where(or_(*names)).order_by(ORDERS.c.id)) if name else None
        )

    def order_numbers(self, client_order_ids: Sequence[str]) -> dict[str, int]:
        """Row numbers of orders by their keys."""
        query = select(ORDERS.c.client_order_id, ORDERS.c.id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.where(ORDERS.c.client_order_id.in_(client_order_ids)))
            return {row[0]: int(row[1]) for row in rows}

    def attempts_of(self, client_order_id: str) -> list[Row]:
        """What was sent for an order and what came back, oldest first."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.client_order_id == client_order_id)
        with self._engine.connect() as connection:
            return [
                dict(row) for row in connection.execute(query.order_by(ATTEMPTS.c.id)).mappings()
            ]

    def order_figures(self) -> dict[str, Any]:
        """`orders` of `GET /metrics` (`tomic.md` 13.3): counts of all time, latencies of late."""
        at_broker = select(func.count()).select_from(ORDERS).where(ORDERS.c.broker_order_id != "")
        by_status = select(ORDERS.c.status, func.count()).group_by(ORDERS.c.status)
        newest = select(FILLS.c.latency_ms).order_by(FILLS.c.fill_id.desc()).limit(LATENCIES_OF)
        with self._engine.connect() as connection:
            placed = int(connection.execute(at_broker).scalar_one())
            counts = {row[0]: int(row[1]) for row in connection.execute(by_status)}
            took = sorted(float(row[0]) for row in connection.execute(newest))
        return {
            "placed": placed,
            "filled": counts.get(OrderStatus.FILLED, 0),
            "rejected": counts.get(OrderStatus.REJECTED, 0),
            "latency_ms": {
                "avg": round(sum(took) / len(took), 1) if took else 0.0,
                "p99": took[-(-99 * len(took) // 100) - 1] if took else 0.0,
            },
        }

    def _first(self, query: Any) -> Row | None:
        with self._engine.connect() as connection:
            row = connection.execute(query.limit(1)).mappings().first()
        return dict(row) if row else None


class FactViews:
    """Queries of the status pages on the journal database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def between(self, kinds: tuple[str, ...], from_ns: int, to_ns: int) -> list[Row]:
        """Facts of some kinds in a span of time, oldest first: kind, at_ns, body."""
        query = select(FactRow.kind, FactRow.at_ns, FactRow.body).where(
            FactRow.kind.in_(kinds), FactRow.at_ns >= from_ns, FactRow.at_ns <= to_ns
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(FactRow.id)).all()
        return [
            {"kind": row.kind, "at_ns": row.at_ns, "body": json.loads(row.body)} for row in rows
        ]
