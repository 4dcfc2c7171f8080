"""Closes and flattened legs: they never expire, wait for no breaker and are refused by none.

One close of a strategy works at a time, and not beside its entry, so that no two orders ever take
off the same quantity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from actors.actor import Context
from actors.execution.entry_desk import EntryDesk
from actors.execution.order_desk import OrderDesk
from domain.clock import seconds
from domain.execution.closing import close_step, holdings
from domain.execution.commands import LEASE_S, URGENT_PRIORITY, close_command, template_of
from domain.execution.pricing import Quote
from domain.orders import CommandRow, CommandStatus, OrderRow, Purpose
from messages.control import CloseRecorded
from messages.trading import ClearOrder, CloseStructure
from persistence.orders import OrderStore

OPEN = (CommandStatus.PROCESSING, CommandStatus.PENDING, CommandStatus.AWAITING_APPROVAL)
ENDED = (CommandStatus.DONE, CommandStatus.FAILED, CommandStatus.DEAD_LETTER)


class CloseDesk:
    """Works on close commands; holds no state of its own."""

    def __init__(
        self, context: Context, store: OrderStore, desk: OrderDesk, entries: EntryDesk
    ) -> None:
        self._context, self._store, self._desk, self._entries = context, store, desk, entries

    def asked(self, message: CloseStructure) -> None:
        """A close that somebody asks for; told to who wants to know once it is on disk."""
        name = message.strategy_id
        is_known = self.close(
            name, message.key, reason=message.reason, by=message.by, urgent=message.force
        )
        if not message.reply_to:
            return
        answer = CloseRecorded(
            request=message.request, http_status=202, code="", text=f"{name} is being closed"
        )
        if not is_known:
            text = f"no strategy {name!r} is known here; nothing is closed"
            answer = replace(answer, http_status=404, code="UNKNOWN_STRATEGY", text=text)
        self._context.tell(message.reply_to, answer)

    def close(
        self,
        strategy_id: str,
        key: str,
        *,
        reason: str,
        by: str,
        leg_no: int = -1,
        urgent: bool = False,
    ) -> bool:
        """Writes the close; the same key again finds the first, and hears its end again if it has
        ended. An entry under way is aborted. False for a strategy that nobody knows."""
        entry = next((row for row in self._store.commands_of(strategy_id) if not row.is_exit), None)
        if entry is None:
            self._context.alert("RISK", f"{strategy_id} is not known here; nothing to close", key)
            return False
        now_ns = self._context.now_ns()
        command = close_command(
            entry, key, reason=reason, by=by, now_ns=now_ns, leg_no=leg_no, urgent=urgent
        )
        first, known = self._store.record(command, [])
        if known and first.status in ENDED:
            self._store.mark(first.command_id, told=False)
        if entry.status in OPEN or entry.status is CommandStatus.UNKNOWN_OUTCOME:
            self._entries.abort(entry, "CLOSED", f"closed while opening: {reason}")
        return True

    def flatten(self, position_key: str, reason: str, by: str) -> None:
        """Takes one leg off, now. Who asks second finds what the first one asked for."""
        _, strategy_id, leg = position_key.split("|")
        closes = [row for row in self._store.commands_of(strategy_id) if row.is_exit]
        of_leg = [row for row in closes if row.leg_no == int(leg)]
        if any(row.status in (*OPEN, CommandStatus.UNKNOWN_OUTCOME) for row in closes):
            return
        key = f"{position_key}:unhedged:{len(of_leg) + 1}"
        self.close(strategy_id, key, reason=reason, by=by, leg_no=int(leg), urgent=True)

    def work_on(self, command: CommandRow, open_commands: Sequence[CommandRow]) -> None:
        """One step of one close."""
        same = [row for row in open_commands if row.strategy_id == command.strategy_id]
        entry_works = any(not row.is_exit and row.status in OPEN for row in same)
        earlier = any(row.is_exit and row.command_id < command.command_id for row in same)
        if entry_works or earlier:
            return
        now_ns = self._context.now_ns()
        if command.status is CommandStatus.PENDING:
            command = self._take(command) or command
        orders = self._store.orders_of_strategy(command.strategy_id)
        step = close_step(
            orders,
            command.command_id,
            now_ns,
            leg_no=command.leg_no,
            urgent=command.priority >= URGENT_PRIORITY,
            since_ns=command.created_ns,
        )
        if step.end:
            status, text = step.end
            code = "" if status is CommandStatus.DONE else "CANNOT_CLOSE"
            self._store.move(
                command,
                status,
                processed_ns=now_ns,
                owner_token="",
                lease_expires_ns=0,
                last_error=text,
                error_code=code,
            )
            return
        self._desk.carry_out(step, command, lambda leg_no: closing_shape(orders, leg_no))

    def _take(self, command: CommandRow) -> CommandRow | None:
        """The gate is told, so that it counts the orders; nobody waits for its answer."""
        now_ns = self._context.now_ns()
        legs = holdings(self._store.orders_of_strategy(command.strategy_id))
        word = ClearOrder(
            command_id=command.command_id,
            broker=command.broker_name,
            underlying=command.underlying,
            notional=Decimal(0),
            margin=Decimal(0),
            leg_orders=sum(1 for units in legs.values() if units),
            is_exit=True,
            reply_to=self._context.name,
        )
        self._store.when_durable(lambda: self._context.tell("breaker_gate", word))
        return self._store.move(
            command,
            CommandStatus.PROCESSING,
            owner_token=self._entries.token,
            lease_expires_ns=now_ns + seconds(LEASE_S),
            cleared_ns=now_ns,
            attempt_count=command.attempt_count + 1,
        )


def closing_shape(orders: Sequence[OrderRow], leg_no: int) -> tuple[OrderRow, Quote]:
    """What a closing order of a leg looks like: the leg's own row, and no quote but a live one."""
    row = next(row for row in orders if row.leg_no == leg_no and row.purpose is Purpose.ENTRY)
    return template_of(row), Quote()
