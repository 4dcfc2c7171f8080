"""The order store: commands, orders, their attempts, their fills, and the guards of naked shorts.

A row here is the state: an actor that dies loses nothing that is not read back from it. Every
change of a status is guarded by the status it was decided on, so that of two writers only one wins.
A write that cannot be made durable raises StorageFailure, and then nothing may be sent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Engine, Table, insert, select, true, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from domain.errors import StorageFailure
from domain.orders import (
    ENTRY_COMMAND,
    TERMINAL,
    CommandRow,
    CommandStatus,
    Fill,
    OrderRow,
    OrderStatus,
    check_command_transition,
    check_transition,
)
from persistence.order_tables import ATTEMPTS, COMMANDS, FILLS, GUARDS, ORDERS

Noun = TypeVar("Noun")
_OPEN_COMMANDS = (
    CommandStatus.PENDING,
    CommandStatus.AWAITING_APPROVAL,
    CommandStatus.PROCESSING,
    CommandStatus.UNKNOWN_OUTCOME,
)
_LIVE = [
    status for status in OrderStatus if status is not OrderStatus.WAITING and status not in TERMINAL
]


@dataclass(frozen=True, slots=True)
class SendingAnswer:
    """What became of one order that was SENDING, for `record_answers`; texts are masked already."""

    client_order_id: str
    status: OrderStatus
    broker_order_id: str = ""
    needs_reconcile: bool = False
    error_kind: str = ""
    error_message: str = ""
    request: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class BookChange:
    """What a broker's book says anew of one order; `increase` 0 when only its status moved."""

    row: OrderRow
    status: OrderStatus
    filled_quantity: int
    average_price: Decimal
    increase: int = 0
    price: Decimal = Decimal(0)
    latency_ms: int = 0
    slippage_ticks: Decimal = Decimal(0)
    broker_order_id: str = ""
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class RecordedFill:
    """A fill with what its announcement needs besides."""

    fill: Fill
    broker_name: str
    command_id: int
    latency_ms: int
    slippage_ticks: Decimal


class OrderStore:
    """All that reads or writes the order tables. One instance a process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- commands --

    def record(self, command: CommandRow, orders: Sequence[OrderRow]) -> tuple[CommandRow, bool]:
        """Makes a command and its orders durable together.

        A key (or an entry's correlation id) that is known already gives the first row and True,
        and writes nothing.
        """
        try:
            with self._writing() as connection:
                values = _values(command, without=("command_id",))
                result = connection.execute(insert(COMMANDS).values(values))
                number = result.inserted_primary_key[0]
                if orders:
                    rows = [_values(dataclasses.replace(row, command_id=number)) for row in orders]
                    connection.execute(insert(ORDERS), rows)
        except IntegrityError:
            first = self._first_of(command)
            if first is None:
                raise
            return first, True
        return dataclasses.replace(command, command_id=number), False

    def command(self, command_id: int) -> CommandRow | None:
        """One command, or None."""
        return self._one(COMMANDS, CommandRow, COMMANDS.c.command_id == command_id)

    def open_commands(self) -> list[CommandRow]:
        """All that are not ended, closes first, then by age."""
        order = (COMMANDS.c.event_type, COMMANDS.c.priority.desc(), COMMANDS.c.command_id)
        return self._all(COMMANDS, CommandRow, COMMANDS.c.status.in_(_OPEN_COMMANDS), order=order)

    def ended_untold(self) -> list[CommandRow]:
        """Ended commands whose end has not been announced."""
        ended = COMMANDS.c.status.not_in(_OPEN_COMMANDS) & COMMANDS.c.told.is_(False)
        return self._all(COMMANDS, CommandRow, ended)

    def standing_entries(self) -> list[CommandRow]:
        """Entries that opened a structure which nobody has seen closed."""
        standing = (
            (COMMANDS.c.event_type == ENTRY_COMMAND)
            & (COMMANDS.c.status == CommandStatus.DONE)
            & (COMMANDS.c.closed_ns == 0)
        )
        return self._all(COMMANDS, CommandRow, standing)

    def commands_of(self, strategy_id: str) -> list[CommandRow]:
        """All commands of one strategy, oldest first."""
        return self._all(COMMANDS, CommandRow, COMMANDS.c.strategy_id == strategy_id)

    def recent_commands(self, limit: int) -> list[CommandRow]:
        """The newest commands, newest first; for pages."""
        order = (COMMANDS.c.command_id.desc(),)
        return self._all(COMMANDS, CommandRow, true(), order=order, limit=limit)

    def dead_letters(self) -> list[CommandRow]:
        """Commands that wait for an operator."""
        return self._all(COMMANDS, CommandRow, COMMANDS.c.status == CommandStatus.DEAD_LETTER)

    def move(self, command: CommandRow, status: CommandStatus, **changes: Any) -> CommandRow | None:
        """From the state (and owner) in `command`; None when it is not so any more.

        Raises IllegalTransition for a step that `tables.md` 2 does not know.
        """
        check_command_transition(command.status, status)
        as_read = (
            (COMMANDS.c.command_id == command.command_id)
            & (COMMANDS.c.status == command.status)
            & (COMMANDS.c.owner_token == command.owner_token)
        )
        with self._writing() as connection:
            query = update(COMMANDS).where(as_read).values(status=status, **changes)
            changed = connection.execute(query).rowcount
        return dataclasses.replace(command, status=status, **changes) if changed else None

    def mark(self, command_id: int, **changes: Any) -> None:
        """Sets columns that no state hangs on (told, closed_ns, abort_requested)."""
        with self._writing() as connection:
            connection.execute(
                update(COMMANDS).where(COMMANDS.c.command_id == command_id).values(**changes)
            )

    def delete_dead_letter(self, command_id: int) -> bool:
        """Removes a dead letter; its orders stay. False when it is none."""
        is_dead = (COMMANDS.c.command_id == command_id) & (
            COMMANDS.c.status == CommandStatus.DEAD_LETTER
        )
        with self._writing() as connection:
            return bool(connection.execute(COMMANDS.delete().where(is_dead)).rowcount)

    # -- orders --

    def add_orders(self, orders: Sequence[OrderRow]) -> None:
        """New rows, WAITING. A key that stands already is left as it is: it is the same order."""
        with self._writing() as connection:
            for row in orders:
                known = select(ORDERS.c.id).where(ORDERS.c.client_order_id == row.client_order_id)
                if connection.execute(known).first() is None:
                    connection.execute(insert(ORDERS).values(_values(row)))

    def order(self, client_order_id: str) -> OrderRow | None:
        """One order by its key, or None."""
        return self._one(ORDERS, OrderRow, ORDERS.c.client_order_id == client_order_id)

    def orders_of(self, command_id: int) -> list[OrderRow]:
        """Orders of one command, in the order they were made."""
        return self._all(ORDERS, OrderRow, ORDERS.c.command_id == command_id, order=(ORDERS.c.id,))

    def orders_of_strategy(self, strategy_id: str) -> list[OrderRow]:
        """All orders of one strategy, corrections too."""
        of_it = ORDERS.c.strategy_id == strategy_id
        return self._all(ORDERS, OrderRow, of_it, order=(ORDERS.c.id,))

    def unfinished(self, broker_name: str = "") -> list[OrderRow]:
        """Orders that are SENDING or at the broker and not final; of all brokers without a name."""
        live = ORDERS.c.status.in_(_LIVE)
        if broker_name:
            live &= ORDERS.c.broker_name == broker_name
        return self._all(ORDERS, OrderRow, live, order=(ORDERS.c.id,))

    def by_broker_ids(self, broker_name: str, order_ids: Sequence[str]) -> list[OrderRow]:
        """Orders of ours that a broker's book names."""
        rows: list[OrderRow] = []
        for first in range(0, len(order_ids), 500):
            some = ORDERS.c.broker_order_id.in_(order_ids[first : first + 500])
            rows += self._all(ORDERS, OrderRow, (ORDERS.c.broker_name == broker_name) & some)
        return rows

    def changed_since(self, broker_name: str, since_ns: int) -> list[OrderRow]:
        """Orders of a broker that moved at or after a moment."""
        recent = (ORDERS.c.broker_name == broker_name) & (ORDERS.c.updated_ns >= since_ns)
        return self._all(ORDERS, OrderRow, recent)

    def change_waiting(self, client_order_id: str, **changes: Any) -> bool:
        """Changes an order that has not left; False when an executor has it already."""
        still = (ORDERS.c.client_order_id == client_order_id) & (
            ORDERS.c.status == OrderStatus.WAITING
        )
        if "status" in changes:
            check_transition(OrderStatus.WAITING, changes["status"])
        with self._writing() as connection:
            return bool(connection.execute(update(ORDERS).where(still).values(**changes)).rowcount)

    def change_order(self, row: OrderRow, **changes: Any) -> bool:
        """Changes an order that still stands as in `row`; False when it moved on."""
        check_transition(row.status, changes.get("status", row.status))
        as_read = (ORDERS.c.client_order_id == row.client_order_id) & (
            ORDERS.c.status == row.status
        )
        with self._writing() as connection:
            return bool(
                connection.execute(update(ORDERS).where(as_read).values(**changes)).rowcount
            )

    def begin_sending(self, client_order_id: str, now_ns: int) -> OrderRow | None:
        """WAITING -> SENDING, on disk before the first byte; None when it may not be sent."""
        changed = self.change_waiting(
            client_order_id,
            status=OrderStatus.SENDING,
            sent_ns=now_ns,
            updated_ns=now_ns,
            sends=ORDERS.c.sends + 1,
        )
        return self.order(client_order_id) if changed else None

    def record_answers(self, answers: Sequence[SendingAnswer], now_ns: int) -> None:
        """The broker's answers and the attempts, together. Only rows that are SENDING change.

        An id that another order of ours has proves nothing: such a row stays SENDING, unknown.
        """
        with self._writing() as connection:
            for answer in answers:
                taken = answer.broker_order_id and self._is_taken(connection, answer)
                values: dict[str, Any] = {
                    "status": answer.status,
                    "broker_order_id": answer.broker_order_id,
                    "needs_reconcile": answer.needs_reconcile,
                    "error_kind": answer.error_kind,
                    "error_message": answer.error_message,
                    "updated_ns": now_ns,
                }
                if taken:
                    values |= {
                        "status": OrderStatus.SENDING,
                        "broker_order_id": "",
                        "needs_reconcile": True,
                        "error_message": f"id {answer.broker_order_id} belongs to another order",
                    }
                check_transition(OrderStatus.SENDING, values["status"])
                sending = (ORDERS.c.client_order_id == answer.client_order_id) & (
                    ORDERS.c.status == OrderStatus.SENDING
                )
                connection.execute(update(ORDERS).where(sending).values(**values))
                connection.execute(insert(ATTEMPTS).values(_attempt(answer, now_ns)))

    def record_book(self, changes: Sequence[BookChange], now_ns: int) -> int:
        """What a broker's book said, with the fills it brings, in one transaction.

        Returns the newest fill's id, 0 when there was no fill. A row that moved on is left alone,
        and one (order, filled quantity) is one fill.
        """
        newest = 0
        with self._writing() as connection:
            for change in changes:
                row = change.row
                as_read = (
                    (ORDERS.c.client_order_id == row.client_order_id)
                    & (ORDERS.c.status == row.status)
                    & (ORDERS.c.filled_quantity == row.filled_quantity)
                )
                values = {
                    "status": change.status,
                    "filled_quantity": change.filled_quantity,
                    "average_price": change.average_price,
                    "broker_order_id": change.broker_order_id or row.broker_order_id,
                    "needs_reconcile": False,
                    "error_message": change.error_message or row.error_message,
                    "updated_ns": now_ns,
                }
                if not connection.execute(update(ORDERS).where(as_read).values(**values)).rowcount:
                    continue
                if change.increase > 0:
                    result = connection.execute(insert(FILLS).values(_fill(change, now_ns)))
                    newest = max(newest, result.inserted_primary_key[0])
        return newest

    # -- fills --

    def untold_fills(self) -> list[RecordedFill]:
        """Fills on disk that have not been announced, oldest first."""
        query = select(FILLS).where(FILLS.c.told.is_(False)).order_by(FILLS.c.fill_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [_recorded(row) for row in rows]

    def mark_told(self, fill_ids: Iterable[int]) -> None:
        """These fills have been announced."""
        with self._writing() as connection:
            connection.execute(
                update(FILLS).where(FILLS.c.fill_id.in_(list(fill_ids))).values(told=True)
            )

    def fills_of_strategy(self, strategy_id: str) -> list[Fill]:
        """All fills of a strategy, oldest first."""
        query = select(FILLS).where(FILLS.c.strategy_id == strategy_id).order_by(FILLS.c.fill_id)
        with self._engine.connect() as connection:
            return [_recorded(row).fill for row in connection.execute(query).mappings()]

    # -- guards --

    def arm_guard(self, row: OrderRow, state: Mapping[str, Any], now_ns: int) -> None:
        """A guard of a short that is about to be sent; it says where the stop will live."""
        of_leg = (GUARDS.c.strategy_id == row.strategy_id) & (GUARDS.c.leg_no == row.leg_no)
        with self._writing() as connection:
            if connection.execute(select(GUARDS.c.id).where(of_leg)).first() is None:
                connection.execute(
                    insert(GUARDS).values(
                        strategy_id=row.strategy_id,
                        leg_no=row.leg_no,
                        symbol=row.symbol,
                        lives_at=row.broker_name,
                        state=dict(state),
                        armed_ns=now_ns,
                        dropped_ns=0,
                    )
                )

    def armed_guards(self, strategy_id: str) -> set[int]:
        """Leg numbers of a strategy whose guard stands."""
        standing = (GUARDS.c.strategy_id == strategy_id) & (GUARDS.c.dropped_ns == 0)
        with self._engine.connect() as connection:
            return set(connection.execute(select(GUARDS.c.leg_no).where(standing)).scalars())

    def drop_guards(self, strategy_id: str, now_ns: int) -> None:
        """The strategy is flat: nothing is left to guard."""
        standing = (GUARDS.c.strategy_id == strategy_id) & (GUARDS.c.dropped_ns == 0)
        with self._writing() as connection:
            connection.execute(update(GUARDS).where(standing).values(dropped_ns=now_ns))

    # -- helpers --

    def _first_of(self, command: CommandRow) -> CommandRow | None:
        same = COMMANDS.c.idempotency_key == command.idempotency_key
        if not command.is_exit:
            same |= (COMMANDS.c.correlation_id == command.correlation_id) & (
                COMMANDS.c.event_type == ENTRY_COMMAND
            )
        return self._one(COMMANDS, CommandRow, same)

    @staticmethod
    def _is_taken(connection: Connection, answer: SendingAnswer) -> bool:
        own = select(ORDERS.c.broker_name).where(ORDERS.c.client_order_id == answer.client_order_id)
        other = select(ORDERS.c.id).where(
            (ORDERS.c.broker_order_id == answer.broker_order_id)
            & (ORDERS.c.client_order_id != answer.client_order_id)
            & (ORDERS.c.broker_name == own.scalar_subquery())
        )
        return connection.execute(other).first() is not None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DBAPIError as fault:
            raise StorageFailure(f"order tables cannot be written: {fault.orig}") from fault

    def _one(self, table: Table, noun: type[Noun], condition: Any) -> Noun | None:
        rows = self._all(table, noun, condition, limit=1)
        return rows[0] if rows else None

    def _all(
        self,
        table: Table,
        noun: type[Noun],
        condition: Any,
        *,
        order: Sequence[Any] = (),
        limit: int | None = None,
    ) -> list[Noun]:
        names = [field.name for field in dataclasses.fields(noun)]  # type: ignore[arg-type]
        query = select(*(table.c[name] for name in names)).where(condition).limit(limit)
        query = query.order_by(*(order or (table.primary_key.columns[0],)))
        with self._engine.connect() as connection:
            return [noun(*row) for row in connection.execute(query)]


def _values(noun: Any, without: Sequence[str] = ()) -> dict[str, Any]:
    return {
        field.name: getattr(noun, field.name)
        for field in dataclasses.fields(noun)
        if field.name not in without
    }


def _attempt(answer: SendingAnswer, now_ns: int) -> dict[str, Any]:
    return {
        "client_order_id": answer.client_order_id,
        "at_ns": now_ns,
        "request": answer.request,
        "answer": answer.answer or answer.error_message,
    }


def _fill(change: BookChange, now_ns: int) -> dict[str, Any]:
    row = change.row
    return {
        "client_order_id": row.client_order_id,
        "strategy_id": row.strategy_id,
        "leg_no": row.leg_no,
        "exchange": row.exchange,
        "symbol": row.symbol,
        "product": row.product,
        "action": row.action,
        "quantity": change.increase,
        "price": change.price,
        "at_ns": now_ns,
        "broker_name": row.broker_name,
        "command_id": row.command_id,
        "cumulative": change.filled_quantity,
        "latency_ms": change.latency_ms,
        "slippage_ticks": change.slippage_ticks,
        "told": False,
    }


def _recorded(row: Any) -> RecordedFill:
    names = [field.name for field in dataclasses.fields(Fill)]
    return RecordedFill(
        fill=Fill(**{name: row[name] for name in names}),
        broker_name=row["broker_name"],
        command_id=row["command_id"],
        latency_ms=row["latency_ms"],
        slippage_ticks=row["slippage_ticks"],
    )
