"""The command store: what was asked for, from the first row to its end (`tomic.md` 9.1).

A change is guarded by the state and the owner it was decided on, so that of two lives of a worker
only one wins. A write that cannot be made durable raises StorageFailure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, bindparam, delete, select, true, update
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
from persistence.readings import Noun, Reading, insertion, one_of, values_of
from persistence.statement import Change, Statement

_ALIVE = (
    CommandStatus.PENDING,
    CommandStatus.AWAITING_APPROVAL,
    CommandStatus.PROCESSING,
    CommandStatus.UNKNOWN_OUTCOME,
)
_C = COMMANDS.c
_IS_ENTRY = _C.event_type == ENTRY_COMMAND
_IS_DEAD = _C.status == CommandStatus.DEAD_LETTER
_IS_ALIVE = one_of(_C.status, _ALIVE)
_HAS_ENDED = ~_IS_ALIVE
_TRADED = (
    select(ORDERS.c.id)
    .where((ORDERS.c.strategy_id == _C.strategy_id) & (ORDERS.c.filled_quantity > 0))
    .exists()
)
_HAS_KEY = _C.idempotency_key == bindparam("key")
_OF_SIGNAL = (_C.correlation_id == bindparam("correlation_id")) & _IS_ENTRY


def _reading(condition: Any, *order: Any, limit: Any = None) -> Reading[CommandRow]:
    return Reading(COMMANDS, CommandRow, condition, *order, limit=limit)


_NUMBERED = _reading(_C.command_id == bindparam("number"))
_CLOSE_KEYED, _ENTRY_KEYED = _reading(_HAS_KEY), _reading(_HAS_KEY | _OF_SIGNAL)
_OPEN = _reading(_IS_ALIVE, _C.event_type, _C.priority.desc(), _C.command_id)
_ENDED_UNTOLD = _reading(_HAS_ENDED & _C.told.is_(False))
_STANDING = _reading(_IS_ENTRY & (_C.status == CommandStatus.DONE) & (_C.closed_ns == 0))
_UNSETTLED = _reading(_IS_ENTRY & _HAS_ENDED & (_C.closed_ns == 0) & _TRADED)
_ENTRIES_SINCE = _reading(_IS_ENTRY & (_C.created_ns >= bindparam("since_ns")))
_OF_STRATEGY = _reading(_C.strategy_id == bindparam("strategy_id"))
_NEWEST = _reading(true(), _C.command_id.desc(), limit=bindparam("limit"))
_DEAD = _reading(_IS_DEAD)

_IS_NUMBER = _C.command_id == bindparam("of_number")
_NEW = Statement(insertion(COMMANDS).returning(_C.command_id))
_MOVE = Change(
    update(COMMANDS).where(
        _IS_NUMBER,
        _C.status == bindparam("from_status"),
        _C.owner_token == bindparam("of_owner"),
    )
)
_MARK = Change(update(COMMANDS).where(_IS_NUMBER))
_DELETE_DEAD = delete(COMMANDS).where(_IS_NUMBER, _IS_DEAD)
_NEW_ORDER = Statement(insertion(ORDERS))


class CommandStore:
    """Commands, and what all order tables share: reading into nouns, writing or StorageFailure."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: Connection | None = None
        self._waiting: list[Callable[[], None]] = []

    # -- one transaction --

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is written inside stands on disk at the end, or nothing of it; what is read
        inside is as if it stood. Inside another one it is a part of that."""
        if self._open is not None:
            yield
            return
        try:
            with self._writing() as self._open:
                yield
        except BaseException:
            self._waiting.clear()
            raise
        finally:
            self._open = None
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def when_durable(self, call: Callable[[], None]) -> None:
        """Calls once all that was written so far is on disk: never, if it could not be."""
        if self._open is None:
            call()
        else:
            self._waiting.append(call)

    # -- commands --

    def record(
        self, command: CommandRow, orders: Sequence[OrderRow], fence: Fence | None = None
    ) -> tuple[CommandRow, bool]:
        """Makes a command and its orders durable together.

        A key (or an entry's correlation id) that is known already gives the first row and True,
        and writes nothing. Raises LeaseLost when the fence no longer holds.
        """
        first = self._first_of(command)
        if first is not None:
            return first, True
        try:
            with self._writing() as connection:
                values = values_of(command)
                del values["command_id"]  # the database gives it
                number = int(_NEW.rows(connection, **values)[0][0])
                if fence:
                    fence.check(connection)
                _NEW_ORDER.run_each(
                    connection, (values_of(row) | {"command_id": number} for row in orders)
                )
        except IntegrityError:
            first = self._first_of(command)
            if first is None:
                raise
            return first, True
        return dataclasses.replace(command, command_id=number), False

    def command(self, command_id: int) -> CommandRow | None:
        """One command, or None."""
        return next(iter(self._rows(_NUMBERED, number=command_id)), None)

    def open_commands(self) -> list[CommandRow]:
        """All that are not ended, closes first, then by age."""
        return self._rows(_OPEN)

    def ended_untold(self) -> list[CommandRow]:
        """Ended commands whose end has not been announced."""
        return self._rows(_ENDED_UNTOLD)

    def standing_entries(self) -> list[CommandRow]:
        """Entries that opened a structure which nobody has seen closed."""
        return self._rows(_STANDING)

    def unsettled_entries(self) -> list[CommandRow]:
        """Ended entries of which something filled and whose result nobody has been told."""
        return self._rows(_UNSETTLED)

    def entries_since(self, since_ns: int) -> list[CommandRow]:
        """Entries made at or after a moment, whatever became of them, oldest first."""
        return self._rows(_ENTRIES_SINCE, since_ns=since_ns)

    def commands_of(self, strategy_id: str) -> list[CommandRow]:
        """All commands of one strategy, oldest first."""
        return self._rows(_OF_STRATEGY, strategy_id=strategy_id)

    def recent_commands(self, limit: int) -> list[CommandRow]:
        """The newest commands, newest first; for pages."""
        return self._rows(_NEWEST, limit=limit)

    def dead_letters(self) -> list[CommandRow]:
        """Commands that wait for an operator."""
        return self._rows(_DEAD)

    def move(self, command: CommandRow, status: CommandStatus, **changes: Any) -> CommandRow | None:
        """From the state (and owner) in `command`; None when it is not so any more.

        Raises IllegalTransition for a step that `tables.md` 2 does not know.
        """
        check_command_transition(command.status, status)
        with self._writing() as connection:
            changed = _MOVE.run(
                connection,
                {"status": status, **changes},
                of_number=command.command_id,
                from_status=command.status,
                of_owner=command.owner_token,
            )
        return dataclasses.replace(command, status=status, **changes) if changed else None

    def mark(self, command_id: int, **changes: Any) -> None:
        """Sets columns that no state hangs on (told, closed_ns, abort_requested)."""
        with self._writing() as connection:
            _MARK.run(connection, changes, of_number=command_id)

    def delete_dead_letter(self, command_id: int) -> bool:
        """Removes a dead letter; its orders stay. False when it is none."""
        with self._writing() as connection:
            return bool(connection.execute(_DELETE_DEAD, {"of_number": command_id}).rowcount)

    def _first_of(self, command: CommandRow) -> CommandRow | None:
        key = command.idempotency_key
        if command.is_exit:
            known = self._rows(_CLOSE_KEYED, key=key)
        else:
            known = self._rows(_ENTRY_KEYED, key=key, correlation_id=command.correlation_id)
        return next(iter(known), None)

    # -- what all order tables share --

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            if self._open is not None:
                yield self._open
            else:
                with self._engine.begin() as connection:
                    yield connection
        except IntegrityError:
            raise
        except DBAPIError as fault:
            raise StorageFailure(f"order tables cannot be written: {fault.orig}") from fault

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        if self._open is not None:
            yield self._open
        else:
            with self._engine.connect() as connection:
                yield connection

    def _rows(self, reading: Reading[Noun], **values: Any) -> list[Noun]:
        with self._reading() as connection:
            return reading.rows(connection, **values)
