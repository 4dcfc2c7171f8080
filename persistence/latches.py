"""What risk must not forget: latches, injected signals, and the numbers of entries (`tables.md` 1).

`latches` holds one row a guard, each written only by its owner: the kill switch by the gate, its
window or its loss by each breaker, its watched structures by the position manager, whose feed is
canonical by the feed selector, the day's plans by the daily plan agent, the day's expiry entries by
the expiry specialist, the month of the last hedge by the strategy engine. `injections` and
`entry_numbers` are the risk agent's. All rows are small; each call is one short transaction on the
caller's thread. A latch that cannot be written raises StorageFailure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Engine,
    Integer,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from domain.errors import StorageFailure
from persistence.database import MainBase
from persistence.statement import Run, Statement, transaction


class LatchRow(MainBase):
    """One guard's memory. `day` is the exchange's date it was written on, ISO; `body` is JSON."""

    __tablename__ = "latches"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    engaged: Mapped[bool]
    day: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(500))
    since_ns: Mapped[int] = mapped_column(BigInteger)
    updated_ns: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[str]


class InjectionRow(MainBase):
    """One signal from outside; `result` is empty while risk has not ended it."""

    __tablename__ = "injections"

    correlation_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(128), unique=True)
    payload: Mapped[str]
    signal: Mapped[str]
    result: Mapped[str | None]
    at_ns: Mapped[int] = mapped_column(BigInteger)


class EntryNumberRow(MainBase):
    """The number an entry got, so that the same signal gets the same strategy_id in every life.

    `body` is what the position gate must know of it (underlying, side, margin); `ended` is set when
    its command failed or its structure closed.
    """

    __tablename__ = "entry_numbers"
    __table_args__ = (UniqueConstraint("strategy_tag", "day", "number"),)

    correlation_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    strategy_tag: Mapped[str] = mapped_column(String(120))
    day: Mapped[str] = mapped_column(String(10))
    number: Mapped[int]
    strategy_id: Mapped[str] = mapped_column(String(160), unique=True)
    body: Mapped[str]
    at_ns: Mapped[int] = mapped_column(BigInteger)
    ended: Mapped[bool]


@dataclass(frozen=True, slots=True)
class Latch:
    """A row of `latches` as its owner reads and writes it; `body` JSON-ready."""

    name: str
    engaged: bool = False
    day: str = ""
    reason: str = ""
    since_ns: int = 0
    updated_ns: int = 0
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Injection:
    """A row of `injections`; `result` None while it is not ended."""

    correlation_id: str
    idempotency_key: str
    payload: Mapping[str, Any]
    signal: Mapping[str, Any]
    result: Mapping[str, Any] | None
    at_ns: int


@dataclass(frozen=True, slots=True)
class EntryNumber:
    """A row of `entry_numbers`."""

    correlation_id: str
    strategy_id: str
    body: Mapping[str, Any]
    at_ns: int
    ended: bool


_LATCHES = cast(Table, LatchRow.__table__)
_ONE = bindparam("of_name", type_=String)
_LATCH = Statement(select(_LATCHES).where(_LATCHES.c.name == _ONE))
_LATCHES_OF = Statement(
    select(_LATCHES)
    .where(func.substr(_LATCHES.c.name, 1, bindparam("letters", type_=Integer)) == _ONE)
    .order_by(_LATCHES.c.name)
)
_NEW_LATCH = Statement(insert(_LATCHES))
_NO_LATCH = Statement(delete(_LATCHES).where(_LATCHES.c.name == _ONE))
_INJECTIONS = cast(Table, InjectionRow.__table__)
_ENTRIES = cast(Table, EntryNumberRow.__table__)
_I, _E = _INJECTIONS.c, _ENTRIES.c

_NEW_INJECTION, _NEW_ENTRY = Statement(insert(_INJECTIONS)), Statement(insert(_ENTRIES))
_INJECTION_OF = Statement(select(_INJECTIONS).where(_I.correlation_id == bindparam("of_id")))
_OPEN_INJECTIONS = Statement(
    select(_INJECTIONS).where(_I.result.is_(None)).order_by(_I.at_ns, _I.correlation_id)
)
_END_INJECTION = Statement(
    update(_INJECTIONS)
    .where(_I.correlation_id == bindparam("of_id"), _I.result.is_(None))
    .values(result=bindparam("result"))
)
_ENTRY_OF = Statement(select(_ENTRIES).where(_E.correlation_id == bindparam("of_id")))
_LAST_NUMBER = Statement(
    select(func.max(_E.number).label("last")).where(
        _E.strategy_tag == bindparam("tag"), _E.day == bindparam("of_day")
    )
)
_END_ENTRY = Statement(
    update(_ENTRIES).where(_E.strategy_id == bindparam("of_id")).values(ended=True)
)
_OPEN_ENTRIES = Statement(
    select(_ENTRIES).where(_E.ended.is_(False)).order_by(_E.at_ns, _E.strategy_id)
)


def read_latch(engine: Engine, name: str) -> Latch | None:
    """The row of that name, or None."""
    row = _LATCH.first(engine, of_name=name)
    return _latch(row) if row else None


def read_latches(engine: Engine, prefix: str) -> list[Latch]:
    """All rows whose name begins with `prefix`, by name."""
    return [_latch(row) for row in _LATCHES_OF.all(engine, of_name=prefix, letters=len(prefix))]


def write_latch(engine: Engine, latch: Latch) -> None:
    """Writes the whole row; durable when it returns."""
    with _writing(engine) as run:
        run(_NO_LATCH, of_name=latch.name)
        run(
            _NEW_LATCH,
            name=latch.name,
            engaged=latch.engaged,
            day=latch.day,
            reason=latch.reason[:500],
            since_ns=latch.since_ns,
            updated_ns=latch.updated_ns,
            body=_dump(latch.body or {}),
        )


def delete_latch(engine: Engine, name: str) -> None:
    """Removes the row; nothing when there is none."""
    with _writing(engine) as run:
        run(_NO_LATCH, of_name=name)


@contextmanager
def _writing(engine: Engine) -> Iterator[Run]:
    try:
        with transaction(engine) as run:
            yield run
    except DBAPIError as fault:
        raise StorageFailure(f"a latch cannot be written: {fault.orig}") from fault


def insert_injection(engine: Engine, injection: Injection) -> tuple[Injection, bool]:
    """(the row that stands, True when it is new). An earlier row of the same key, or of the same
    correlation id, stands; the caller compares the payloads."""
    values = {
        "correlation_id": injection.correlation_id,
        "idempotency_key": injection.idempotency_key or None,
        "payload": _dump(injection.payload),
        "signal": _dump(injection.signal),
        "result": None,
        "at_ns": injection.at_ns,
    }
    try:
        with transaction(engine) as run:
            run(_NEW_INJECTION, **values)
        return injection, True
    except IntegrityError:
        standing = _find_injection(engine, injection)
        if standing is None:
            raise
        return standing, False


def end_injection(engine: Engine, correlation_id: str, result: Mapping[str, Any]) -> bool:
    """Writes the result once; False when no such injection stands or it was ended before."""
    with transaction(engine) as run:
        return bool(run(_END_INJECTION, of_id=correlation_id, result=_dump(result)).rowcount)


def open_injections(engine: Engine) -> list[Injection]:
    """Injections without a result, oldest first."""
    return [_injection(row) for row in _OPEN_INJECTIONS.all(engine)]


def read_injection(engine: Engine, correlation_id: str) -> Injection | None:
    """The injection of that id, or None (for `GET /signals/{correlation_id}`)."""
    row = _INJECTION_OF.first(engine, of_id=correlation_id)
    return _injection(row) if row else None


def number_entry(
    engine: Engine,
    correlation_id: str,
    tag: str,
    *,
    day: str,
    body: Mapping[str, Any],
    at_ns: int,
) -> EntryNumber:
    """The entry's `{tag}_{day}_{n}`: the next n of the day, or what this correlation id got
    before."""
    row = _ENTRY_OF.first(engine, of_id=correlation_id)
    if row:
        return _entry(row)
    with transaction(engine) as run:
        place = (run(_LAST_NUMBER, tag=tag, of_day=day).fetchone()[0] or 0) + 1
        number = EntryNumber(correlation_id, f"{tag}_{day}_{place}", body, at_ns, ended=False)
        run(
            _NEW_ENTRY,
            correlation_id=correlation_id,
            strategy_tag=tag,
            day=day,
            number=place,
            strategy_id=number.strategy_id,
            body=_dump(body),
            at_ns=at_ns,
            ended=False,
        )
    return number


def end_entry(engine: Engine, strategy_id: str) -> None:
    """Nothing of that entry is on its way or open any more."""
    with transaction(engine) as run:
        run(_END_ENTRY, of_id=strategy_id)


def open_entries(engine: Engine) -> list[EntryNumber]:
    """Entries on their way or open, oldest first."""
    return [_entry(row) for row in _OPEN_ENTRIES.all(engine)]


def _find_injection(engine: Engine, injection: Injection) -> Injection | None:
    matches = _I.correlation_id == injection.correlation_id
    if injection.idempotency_key:
        matches |= _I.idempotency_key == injection.idempotency_key
    # The key decides: a repeated key comes with a new correlation id.
    order = (_I.idempotency_key == injection.idempotency_key).desc()
    with engine.connect() as connection:
        row = connection.execute(select(_INJECTIONS).where(matches).order_by(order)).first()
    return _injection(row) if row else None


def _latch(row: Any) -> Latch:
    return Latch(
        row.name,
        row.engaged,
        row.day,
        row.reason,
        row.since_ns,
        row.updated_ns,
        json.loads(row.body),
    )


def _injection(row: Any) -> Injection:
    result = json.loads(row.result) if row.result is not None else None
    return Injection(
        row.correlation_id,
        row.idempotency_key or "",
        json.loads(row.payload),
        json.loads(row.signal),
        result,
        row.at_ns,
    )


def _entry(row: Any) -> EntryNumber:
    return EntryNumber(
        row.correlation_id, row.strategy_id, json.loads(row.body), row.at_ns, row.ended
    )


def _dump(body: Mapping[str, Any]) -> str:
    """JSON with sorted keys, so that equal payloads are equal texts."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
