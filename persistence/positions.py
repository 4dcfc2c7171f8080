"""The position book on disk, how far it has folded, and open differences with a broker's book.

position_book writes positions and the cursor, reconciler the differences. A position and the cursor
that counts its fill change in one transaction: no crash can fold a fill twice, or never.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    Engine,
    Float,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from domain.errors import StorageFailure
from domain.instruments import Kind
from domain.orders import Fill, OrderRow
from domain.positions import Position
from persistence.database import MainBase
from persistence.order_tables import FILLS, ORDERS, ROW_ID, Exact, Word

_TYPES: dict[str, Any] = {
    "str": Text,
    "int": BigInteger,
    "float": Float,
    "bool": Boolean,
    "Decimal": Exact,
    "date | None": Date,
    "Kind": Word(Kind),
}
_NAMES = [field.name for field in dataclasses.fields(Position)]

POSITIONS = Table(
    "positions",
    MainBase.metadata,
    Column("key", Text, primary_key=True),
    *(Column(field.name, _TYPES[str(field.type)]) for field in dataclasses.fields(Position)),
    Column("listing_id", BigInteger, nullable=False),
    Column("realized_day", Exact, nullable=False),
    Column("charges_day", Exact, nullable=False),
    Column("day", Text, nullable=False),
)
CURSOR = Table(
    "position_cursor",
    MainBase.metadata,
    Column("id", Integer, primary_key=True),
    Column("fill_id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
)
DIFFERENCES = Table(
    "reconcile_differences",
    MainBase.metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("broker_name", Text, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("ours", BigInteger, nullable=False),
    Column("theirs", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("seen_ns", BigInteger, nullable=False),
    Column("resolved_ns", BigInteger, nullable=False),
    UniqueConstraint("broker_name", "exchange", "symbol", "product", "seen_ns"),
)


@dataclass(frozen=True, slots=True)
class KeptPosition:
    """A position with what only the book itself needs.

    `realized_day` and `charges_day` are rupees of `day` (an ISO date), so that yesterday's
    result never counts as today's loss.
    """

    position: Position
    listing_id: int
    realized_day: Decimal = Decimal(0)
    charges_day: Decimal = Decimal(0)
    day: str = ""


class PositionStore:
    """Reads the whole book, writes what changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cursor(self) -> tuple[int, int]:
        """(last folded fill, version of the book); zeros before the first fill."""
        with self._engine.connect() as connection:
            row = connection.execute(select(CURSOR.c.fill_id, CURSOR.c.version)).first()
        return (row.fill_id, row.version) if row else (0, 0)

    def positions(self) -> list[KeptPosition]:
        """Every row of the book, closed ones too, in a steady order."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(POSITIONS).order_by(POSITIONS.c.key)).mappings()
            return [
                KeptPosition(
                    Position(**{name: row[name] for name in _NAMES}),
                    row["listing_id"],
                    row["realized_day"],
                    row["charges_day"],
                    row["day"],
                )
                for row in rows
            ]

    def unfolded(self, after_fill_id: int) -> list[tuple[Fill, OrderRow]]:
        """Fills beyond the cursor, oldest first, each with its order as far as that fill filled
        it."""
        fill_names = [field.name for field in dataclasses.fields(Fill)]
        order_names = [field.name for field in dataclasses.fields(OrderRow)]
        columns = {name: ORDERS.c[name] for name in order_names}
        columns["filled_quantity"] = FILLS.c.cumulative
        query = (
            select(*(FILLS.c[name] for name in fill_names), *columns.values())
            .join(ORDERS, ORDERS.c.client_order_id == FILLS.c.client_order_id)
            .where(FILLS.c.fill_id > after_fill_id)
            .order_by(FILLS.c.fill_id)
        )
        split = len(fill_names)
        with self._engine.connect() as connection:
            return [
                (Fill(*row[:split]), OrderRow(*row[split:])) for row in connection.execute(query)
            ]

    def save(self, rows: Sequence[KeptPosition], fill_id: int, version: int) -> None:
        """Positions and cursor in one transaction; StorageFailure when it cannot be durable."""
        with self._writing() as connection:
            connection.execute(
                delete(POSITIONS).where(POSITIONS.c.key.in_([row.position.key for row in rows]))
            )
            for row in rows:
                connection.execute(insert(POSITIONS).values(_kept(row)))
            connection.execute(delete(CURSOR))
            connection.execute(insert(CURSOR).values(id=1, fill_id=fill_id, version=version))

    def forget_closed(self, keys: Sequence[str]) -> None:
        """Takes closed rows of earlier days off the book; their fills and orders stay. Raises
        StorageFailure."""
        with self._writing() as connection:
            connection.execute(delete(POSITIONS).where(POSITIONS.c.key.in_(list(keys))))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as fault:
            raise StorageFailure(f"position book cannot be written: {fault.orig}") from fault

    def note_difference(self, broker_name: str, difference: dict[str, Any], now_ns: int) -> None:
        """A difference as it was first confirmed."""
        values = {**difference, "broker_name": broker_name, "seen_ns": now_ns, "resolved_ns": 0}
        with self._engine.begin() as connection:
            connection.execute(insert(DIFFERENCES).values(values))

    def resolve_differences(self, broker_name: str, symbols: Sequence[str], now_ns: int) -> None:
        """Open differences of these symbols are explained from now on."""
        still_open = (
            (DIFFERENCES.c.broker_name == broker_name)
            & (DIFFERENCES.c.resolved_ns == 0)
            & DIFFERENCES.c.symbol.in_(list(symbols))
        )
        with self._engine.begin() as connection:
            connection.execute(update(DIFFERENCES).where(still_open).values(resolved_ns=now_ns))

    def open_differences(self, broker_name: str) -> list[dict[str, Any]]:
        """Differences nobody has explained."""
        still_open = (DIFFERENCES.c.broker_name == broker_name) & (DIFFERENCES.c.resolved_ns == 0)
        with self._engine.connect() as connection:
            rows = connection.execute(select(DIFFERENCES).where(still_open)).mappings()
            return [dict(row) for row in rows]


def _kept(row: KeptPosition) -> dict[str, Any]:
    return {
        **{name: getattr(row.position, name) for name in _NAMES},
        "key": row.position.key,
        "listing_id": row.listing_id,
        "realized_day": row.realized_day,
        "charges_day": row.charges_day,
        "day": row.day,
    }
