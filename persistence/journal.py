"""Facts, audit and journal entries: the journal database. Facts and audit are hash-chained.

Each row's `hash` covers the row before it, so a changed byte anywhere breaks the chain from there
on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Engine,
    Index,
    Integer,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from domain.errors import StorageFailure
from persistence.database import JournalBase
from persistence.readings import insertion
from persistence.statement import Statement

GENESIS = "0" * 64
_BigId = BigInteger().with_variant(Integer, "sqlite")


class FactRow(JournalBase):
    """One announced message, in the order in which the recorder heard it."""

    __tablename__ = "facts"
    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    message_id: Mapped[str] = mapped_column(String(160), unique=True)
    cause: Mapped[str] = mapped_column(String(160))
    kind: Mapped[str] = mapped_column(String(64), index=True)
    at_ns: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(String(64))


class AuditRow(JournalBase):
    """Who did what: `GET /tomic/audit`."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    message_id: Mapped[str] = mapped_column(String(160), unique=True)
    at_ns: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[str] = mapped_column(String(80))
    action: Mapped[str] = mapped_column(String(80))
    details: Mapped[str] = mapped_column(Text)
    ip_address: Mapped[str] = mapped_column(String(45))
    category: Mapped[str] = mapped_column(String(16), index=True)
    hash: Mapped[str] = mapped_column(String(64))


class EntryRow(JournalBase):
    """One trade with its context (`tomic.md` 9.5), from its first fill to its close. NULL is what
    nobody knows, and until the close what nobody can know yet; `exit_reason` is one of
    `domain.orders.EXIT_WORDS`, `exit_detail` what a person or the broker said besides.
    """

    __tablename__ = "journal_entries"
    __table_args__ = (Index("journal_by_strategy", "strategy_id"),)
    id: Mapped[int] = mapped_column(_BigId, primary_key=True, autoincrement=True)
    event_id: Mapped[str] = mapped_column(String(160), unique=True)
    correlation_id: Mapped[str] = mapped_column(String(160))
    strategy_id: Mapped[str] = mapped_column(String(120))
    strategy_tag: Mapped[str] = mapped_column(String(80))
    instrument: Mapped[str] = mapped_column(String(40))
    exchange: Mapped[str] = mapped_column(String(12))
    direction: Mapped[str] = mapped_column(String(4))
    quantity: Mapped[int]
    entry_price: Mapped[float | None]
    entry_reason: Mapped[str] = mapped_column(Text)
    entry_reason_meta: Mapped[str] = mapped_column(Text)
    exit_price: Mapped[float | None]
    gross: Mapped[str | None] = mapped_column(String(24))
    charges: Mapped[str | None] = mapped_column(String(24))
    pnl: Mapped[str | None] = mapped_column(String(24))
    hold_duration_s: Mapped[int | None] = mapped_column(BigInteger)
    exit_reason: Mapped[str | None] = mapped_column(String(16))
    exit_detail: Mapped[str | None] = mapped_column(Text)
    regime_phase: Mapped[str] = mapped_column(String(16))
    regime_score: Mapped[int]
    vix_at_entry: Mapped[float]
    iv_rank: Mapped[float | None]
    pcr_at_entry: Mapped[float | None]
    max_pain_dist: Mapped[float | None]
    zone_freshness: Mapped[float | None]
    sizing_chain: Mapped[str] = mapped_column(Text)
    kelly_value: Mapped[float | None]
    sector_heat_pct: Mapped[float | None]
    slippage_ticks: Mapped[float] = mapped_column(default=0.0)
    latency_ms: Mapped[float] = mapped_column(default=0.0)
    fill_rate: Mapped[float]
    entry_ns: Mapped[int] = mapped_column(BigInteger)
    exit_ns: Mapped[int | None] = mapped_column(BigInteger)
    paper: Mapped[bool | None]  # NULL: from before anybody asked


@dataclass(frozen=True, slots=True)
class Fact:
    """A recorded message: class name, stamp, and its fields as plain values."""

    fact_id: int
    message_id: str
    cause: str
    kind: str
    at_ns: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain does not hold: table, row and what is wrong."""

    table: str
    row: int
    text: str


class JournalStore:
    """Reads and writes of the journal database; one writer a table. A write that cannot be made
    durable raises StorageFailure."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._tails: dict[str, str] = {}

    def append_fact(self, message_id: str, cause: str, kind: str, *, at_ns: int, body: Any) -> bool:
        """False when this message already stands (a repeat is no second fact)."""
        text = _canonical(body)
        values = {
            "message_id": message_id,
            "cause": cause,
            "kind": kind,
            "at_ns": at_ns,
            "body": text,
        }
        return self._append(_FACTS, values)

    def append_audit(
        self,
        message_id: str,
        category: str,
        action: str,
        *,
        at_ns: int,
        details: Any,
        by: str,
        address: str,
    ) -> bool:
        """As append_fact, for the audit trail; `address` is empty where no person asked."""
        values = {
            "message_id": message_id,
            "at_ns": at_ns,
            "user_id": by,
            "action": action,
            "details": _canonical(details),
            "ip_address": address,
            "category": category,
        }
        return self._append(_AUDIT, values)

    def _append(self, table: Table, values: dict[str, Any]) -> bool:
        try:
            with self._writing() as connection:
                if table.name not in self._tails:
                    newest = select(table.c.hash).order_by(table.c.id.desc()).limit(1)
                    self._tails[table.name] = connection.execute(newest).scalar() or GENESIS
                digest = _link(self._tails[table.name], values)
                _ADDED[table].run(connection, **values, hash=digest)
        except IntegrityError:
            return False
        self._tails[table.name] = digest
        return True

    def facts(self, after: int = 0, kinds: tuple[str, ...] = ()) -> Iterator[Fact]:
        """Facts in order, from the row behind `after` on."""
        query = select(FactRow).where(FactRow.id > after).order_by(FactRow.id)
        if kinds:
            query = query.where(FactRow.kind.in_(kinds))
        with self.engine.connect() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield Fact(
                    row.id, row.message_id, row.cause, row.kind, row.at_ns, json.loads(row.body)
                )

    def last_fact(self) -> int:
        """The row of the newest fact; 0 before the first."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.max(FactRow.id))).scalar() or 0)

    def verify(self) -> list[Break]:
        """Every place where a chain does not hold; empty when both are whole."""
        found = []
        for table, columns in ((FactRow, _FACT_COLUMNS), (AuditRow, _AUDIT_COLUMNS)):
            tail = GENESIS
            with self.engine.connect() as connection:
                for row in connection.execute(select(table).order_by(table.id)):
                    expected = _link(tail, {name: getattr(row, name) for name in columns})
                    if row.hash != expected:
                        text = "the row, or one before it, is not what was written"
                        found.append(Break(table.__tablename__, row.id, text))
                    tail = row.hash
        return found

    def audit(self, limit: int, category: str = "") -> list[dict[str, Any]]:
        """Newest first."""
        query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        if category:
            query = query.where(AuditRow.category == category)
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def write_entry(self, values: Mapping[str, Any]) -> None:
        """A trade as it stands: the first word on its event makes its row, each later one renews
        it, but for whether it was on paper: a change of mode does not change what was traded."""
        known = EntryRow.event_id == values["event_id"]
        with self._writing() as connection:
            if connection.execute(select(EntryRow.id).where(known)).first() is None:
                connection.execute(insert(EntryRow).values(**values))
            else:
                later = {name: value for name, value in values.items() if name != "paper"}
                connection.execute(update(EntryRow).where(known).values(**later))

    def close_entry(
        self,
        strategy_id: str,
        *,
        at_ns: int,
        reason: str,
        detail: str,
        exit_price: float | None,
        amounts: Mapping[str, Decimal],
    ) -> bool:
        """A structure is flat: gross, charges and net in rupees. False when no open entry
        stands.
        """
        with self._writing() as connection:
            query = select(EntryRow).where(
                EntryRow.strategy_id == strategy_id, EntryRow.exit_ns.is_(None)
            )
            row = connection.execute(query).first()
            if row is None:
                return False
            connection.execute(
                update(EntryRow)
                .where(EntryRow.id == row.id)
                .values(
                    exit_ns=at_ns,
                    exit_reason=reason,
                    exit_detail=detail,
                    exit_price=exit_price,
                    hold_duration_s=(at_ns - row.entry_ns) // 1_000_000_000,
                    gross=str(amounts["gross"]),
                    charges=str(amounts["charges"]),
                    pnl=str(amounts["net"]),
                )
            )
        return True

    def standing_trades(self) -> list[str]:
        """Strategies whose trade has not ended, oldest first."""
        query = select(EntryRow.strategy_id).where(EntryRow.exit_ns.is_(None)).order_by(EntryRow.id)
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def add_execution(self, strategy_id: str, slippage_ticks: float, latency_ms: float) -> None:
        """The worst slippage and latency of a structure's fills so far."""
        with self._writing() as connection:
            row = connection.execute(
                select(EntryRow).where(EntryRow.strategy_id == strategy_id)
            ).first()
            if row is not None:
                connection.execute(
                    update(EntryRow)
                    .where(EntryRow.id == row.id)
                    .values(
                        slippage_ticks=max(row.slippage_ticks, slippage_ticks),
                        latency_ms=max(row.latency_ms, latency_ms),
                    )
                )

    def entries(self, limit: int | None = None, closed_only: bool = False) -> list[dict[str, Any]]:
        """Newest first."""
        query = select(EntryRow).order_by(EntryRow.id.desc())
        if closed_only:
            query = query.where(EntryRow.exit_ns.is_not(None))
        if limit is not None:
            query = query.limit(limit)
        with self.engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def first_live_entry_ns(self) -> int:
        """When the first trade of real money began; 0 when there is none."""
        query = select(func.min(EntryRow.entry_ns)).where(EntryRow.paper.is_(False))
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DBAPIError as fault:
            raise StorageFailure(f"the journal cannot be written: {fault.orig}") from fault

    def count_facts(self) -> int:
        """Facts so far."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(FactRow)).scalar_one())


_FACTS, _AUDIT = cast(Table, FactRow.__table__), cast(Table, AuditRow.__table__)
_ADDED = {table: Statement(insertion(table)) for table in (_FACTS, _AUDIT)}
_FACT_COLUMNS = ("message_id", "cause", "kind", "at_ns", "body")
_AUDIT_COLUMNS = ("message_id", "at_ns", "user_id", "action", "details", "ip_address", "category")


def _canonical(body: Any) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=True)


def _link(previous: str, values: Mapping[str, Any]) -> str:
    return hashlib.sha256((previous + _canonical(values)).encode()).hexdigest()
