"""The command store: what was asked for, from the first row to its end (`tomic.md` 9.1).

A change is guarded by the state and the owner it was decided on, so that of two lives of a worker
only one wins. A write that cannot be made durable raises StorageFailure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Engine, Table, insert, select, true, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from domain.errors import StorageFailure
from domain.orders import (
    ENTRY_COMMAND,
    CommandRow,
    CommandStatus,
    OrderRow,
    check_command_transition,
)
from persistence.lease import Fence
from persistence.order_tables import COMMANDS, ORDERS

Noun = TypeVar("Noun")
_OPEN_COMMANDS = (
    CommandStatus.PENDING,
    CommandStatus.AWAITING_APPROVAL,
    CommandStatus.PROCESSING,
    CommandStatus.UNKNOWN_OUTCOME,
)


class CommandStore:
    """Commands, and what all order tables share: reading into nouns, writing or StorageFailure."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self, command: CommandRow, orders: Sequence[OrderRow], fence: Fence | None = None
    ) -> tuple[CommandRow, bool]:
        """Makes a command and its orders durable together.

        A key (or an entry's correlation id) that is known already gives the first row and True,
        and writes nothing. Raises LeaseLost when the fence no longer holds.
        """
        try:
            with self._writing() as connection:
                if fence:
                    fence.check(connection)
                values = values_of(command, without=("command_id",))
                query = insert(COMMANDS).values(values).returning(COMMANDS.c.command_id)
                number = int(connection.execute(query).scalar_one())
                if orders:
                    rows = [
                        values_of(dataclasses.replace(row, command_id=number)) for row in orders
                    ]
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

    def unsettled_entries(self) -> list[CommandRow]:
        """Ended entries of which something filled and whose result nobody has been told."""
        traded = select(ORDERS.c.id).where(
            (ORDERS.c.strategy_id == COMMANDS.c.strategy_id) & (ORDERS.c.filled_quantity > 0)
        )
        unsettled = (
            (COMMANDS.c.event_type == ENTRY_COMMAND)
            & COMMANDS.c.status.not_in(_OPEN_COMMANDS)
            & (COMMANDS.c.closed_ns == 0)
            & traded.exists()
        )
        return self._all(COMMANDS, CommandRow, unsettled)

    def entries_since(self, since_ns: int) -> list[CommandRow]:
        """Entries made at or after a moment, whatever became of them, oldest first."""
        lately = (COMMANDS.c.event_type == ENTRY_COMMAND) & (COMMANDS.c.created_ns >= since_ns)
        return self._all(COMMANDS, CommandRow, lately)

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

    def _first_of(self, command: CommandRow) -> CommandRow | None:
        same = COMMANDS.c.idempotency_key == command.idempotency_key
        if not command.is_exit:
            same |= (COMMANDS.c.correlation_id == command.correlation_id) & (
                COMMANDS.c.event_type == ENTRY_COMMAND
            )
        return self._one(COMMANDS, CommandRow, same)

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


def values_of(noun: Any, without: Sequence[str] = ()) -> dict[str, Any]:
    return {
        field.name: getattr(noun, field.name)
        for field in dataclasses.fields(noun)
        if field.name not in without
    }
