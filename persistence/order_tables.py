"""Tables of commands, orders, attempts, fills and guards, made from the nouns they keep.

Only persistence/orders.py reads and writes them. A Decimal is kept as text, a state as its word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

from domain.orders import (
    ENTRY_COMMAND,
    CommandRow,
    CommandStatus,
    Fill,
    OrderRow,
    OrderStatus,
    Purpose,
)
from persistence.database import MainBase


class Exact(TypeDecorator[Decimal]):
    """A Decimal kept as text: no engine rounds it."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> Decimal | None:
        return None if value is None else Decimal(value)


class Word(TypeDecorator[Enum]):
    """A StrEnum kept as its value."""

    impl = String
    cache_ok = True

    def __init__(self, kind: type[Enum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else self.kind(value)


# SQLite numbers rows by itself only for INTEGER keys.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")
KINDS: dict[str, Any] = {
    "int": BigInteger,
    "str": Text,
    "bool": Boolean,
    "Decimal": Exact,
    "date | None": Date,
    "CommandStatus": Word(CommandStatus),
    "OrderStatus": Word(OrderStatus),
    "Purpose": Word(Purpose),
}


def columns_of(noun: type, without: Sequence[str] = ()) -> list[Column[Any]]:
    """Columns of the fields of a noun, by their type hints; only dates may be NULL."""
    return [
        Column(field.name, KINDS[str(field.type)], nullable="None" in str(field.type))
        for field in dataclasses.fields(noun)
        if field.name not in without
    ]


COMMANDS = Table(
    "commands",
    MainBase.metadata,
    Column("command_id", ROW_ID, primary_key=True),
    *columns_of(CommandRow, without=("command_id",)),
    UniqueConstraint("idempotency_key"),
    Index("ix_commands_due", "status", "next_retry_ns"),
    # A year of ended commands is never read to find the few that matter now: their payloads are
    # large, and what stands behind a payload in its row is found by reading all of it.
    Index("ix_commands_standing", "event_type", "closed_ns", "status"),
    Index("ix_commands_made", "event_type", "created_ns"),
    Index("ix_commands_strategy", "strategy_id"),
    Index("ix_commands_correlation", "correlation_id"),
    Index("ix_commands_told", "told", "status"),
    # A signal that is evaluated twice finds its first row (`tomic.md` 7.8).
    Index(
        "ux_commands_entry_correlation",
        "correlation_id",
        unique=True,
        sqlite_where=text(f"event_type = '{ENTRY_COMMAND}'"),
        postgresql_where=text(f"event_type = '{ENTRY_COMMAND}'"),
    ),
)
ORDERS = Table(
    "orders",
    MainBase.metadata,
    Column("id", ROW_ID, primary_key=True),
    *columns_of(OrderRow),
    UniqueConstraint("client_order_id"),
    Index("ix_orders_command", "command_id"),
    Index("ix_orders_strategy", "strategy_id"),
    Index("ix_orders_live", "status", "broker_name"),
    Index("ix_orders_moved", "broker_name", "updated_ns"),
    Index("ix_orders_made", "broker_name", "purpose", "created_ns"),
    Index(
        "ux_orders_broker_id",
        "broker_name",
        "broker_order_id",
        unique=True,
        sqlite_where=text("broker_order_id <> ''"),
        postgresql_where=text("broker_order_id <> ''"),
    ),
)
ATTEMPTS = Table(
    "order_attempts",
    MainBase.metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("client_order_id", Text, nullable=False, index=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("request", Text, nullable=False),
    Column("answer", Text, nullable=False),
)
FILLS = Table(
    "fills",
    MainBase.metadata,
    Column("fill_id", ROW_ID, primary_key=True),
    *columns_of(Fill, without=("fill_id",)),
    Column("broker_name", Text, nullable=False),
    Column("command_id", BigInteger, nullable=False),
    Column("cumulative", BigInteger, nullable=False),
    Column("latency_ms", BigInteger, nullable=False),
    Column("slippage_ticks", Exact, nullable=False),
    Column("told", Boolean, nullable=False, index=True),
    Index("ix_fills_strategy", "strategy_id"),
    Index("ix_fills_command", "command_id"),
    UniqueConstraint("client_order_id", "cumulative"),
    sqlite_autoincrement=True,
)
GUARDS = Table(
    "guards",
    MainBase.metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("strategy_id", Text, nullable=False),
    Column("leg_no", Integer, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("lives_at", Text, nullable=False),
    Column("state", JSON, nullable=False),
    Column("armed_ns", BigInteger, nullable=False),
    Column("dropped_ns", BigInteger, nullable=False),
    UniqueConstraint("strategy_id", "leg_no"),
)
