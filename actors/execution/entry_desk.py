"""Entries on their way from a row to a standing structure (`tomic.md` 8.2).

Each call looks at one command and does the one thing that is next; what it needs to know after a
crash stands in the rows. Only the question that is out at the gate is remembered, and asked again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from actors.actor import Context
from actors.execution.entry_checks import EntryChecks, intent_of
from actors.execution.order_desk import OrderDesk
from domain.clock import NS_PER_S, seconds
from domain.errors import LeaseLost, StorageFailure
from domain.execution.commands import (
    APPROVAL_S,
    DEFER_S,
    GATE_DEADLINE_S,
    LEASE_S,
    check_intent,
    entry_command,
    entry_orders,
    leg_template,
)
from domain.execution.legging import next_step, standing_size
from domain.execution.planning import plan_of
from domain.execution.pricing import Quote
from domain.intents import Refusal, SizedIntent
from domain.orders import CommandRow, CommandStatus, OrderRow, OrderStatus, Purpose
from domain.positions import intent_notional
from messages.codec import to_plain
from messages.trading import (
    ClearOrder,
    OrderCleared,
    OrderDenied,
    ProposalRecorded,
)
from persistence.lease import Fence
from persistence.orders import OrderStore

GATE, RISK = "breaker_gate", "risk_agent"
UNTAKEN = {"owner_token": "", "lease_expires_ns": 0, "cleared_ns": 0, "cleared_by": ""}
RECLAIMED = "lease:reclaimed"  # of the alert; the minute of metrics counts it


class _Asked(NamedTuple):
    at_ns: int  # monotonic
    intent: SizedIntent


class EntryDesk:
    """State: what the gate was asked, by command."""

    def __init__(
        self, context: Context, store: OrderStore, desk: OrderDesk, checks: EntryChecks
    ) -> None:
        self._context, self._store, self._desk = context, store, desk
        self._checks = checks
        self._asked: dict[int, _Asked] = {}
        self._owner = f"{context.name}@{context.runtime.data_dir}#"
        self._settings = context.runtime.settings

    # -- the row --

    def propose(self, intent: SizedIntent, broker_name: str) -> bool:
        """Writes the command with all its orders and begins it, then says so; a known key finds the
        first. True when the rest need not be looked at: its question is at the gate, or the disk
        takes nothing.

        What cannot be written is refused, and nothing of it will ever be sent.
        """
        fault = check_intent(intent)
        if fault:
            self._answer(intent, 0, refusal=Refusal(fault.code, fault.text))
            return False
        command = entry_command(
            intent,
            json.dumps(to_plain(intent)),
            broker_name,
            now_ns=self._context.now_ns(),
            ttl_s=self._settings.max_queue_age_s,
        )
        try:
            number = intent.fencing_number
            fence = Fence(self._context.runtime.installation, number) if number else None
            with self._store.together():
                row, duplicate = self._store.record(command, entry_orders(intent, command), fence)
                self._answer(intent, row.command_id, duplicate=duplicate)
                if not duplicate:
                    self._begin(row, intent)
        except LeaseLost as lost:
            self._answer(intent, 0, refusal=Refusal(lost.code, str(lost)))
            return False
        except StorageFailure as failure:
            self._context.alert("CRITICAL", f"an order was refused: {failure}", "storage")
            self._answer(intent, 0, refusal=Refusal("STORAGE", str(failure)))
            return True
        return row.command_id in self._asked

    def take_back(self) -> None:
        """A new life begins: what its predecessor was working on is this one's at once."""
        now_ns = self._context.now_ns()
        fresh_start = self._context.life == 1 and self._settings.reject_pending_on_start
        taken = 0
        for command in self._store.open_commands():
            mine = command.owner_token.startswith(self._owner)
            if command.owner_token and not mine and command.lease_expires_ns > now_ns:
                continue
            taken += command.status is not CommandStatus.AWAITING_APPROVAL
            if command.is_exit or self._has_left(command):
                self._store.move(
                    command,
                    command.status,
                    owner_token=self.token,
                    lease_expires_ns=self._lease(),
                )
                continue
            if command.status is CommandStatus.PROCESSING:
                command = self._store.move(command, CommandStatus.PENDING, **UNTAKEN) or command
            age_s = (now_ns - command.created_ns) / NS_PER_S
            if fresh_start and age_s > self._settings.max_queue_age_s:
                self.fail(command, "STALE", f"it waited {age_s:.0f} s while nothing ran")
        if taken:
            text = f"{taken} commands of an earlier life of execution were taken back"
            self._context.alert("RISK", text, RECLAIMED)

    # -- one look at one command --

    def work_on(self, command: CommandRow) -> str:
        """Does what is next for this command; returns the phase its orders are in, if any."""
        match command.status:
            case CommandStatus.PENDING:
                self._begin(command, intent_of(command))
            case CommandStatus.AWAITING_APPROVAL:
                if self._context.now_ns() > command.next_retry_ns:
                    self.fail(command, "APPROVAL_EXPIRED", "nobody approved it within 60 s")
            case _:
                return self._go_on(command, intent_of(command))
        return ""

    def cleared(self, message: OrderCleared) -> None:
        """The gate let it pass: what goes first is sent. The row keeps the gate's word, for its own
        to the journal dies with the gate."""
        asked = self._asked.get(message.command_id)
        command = self._asked_about(message.command_id)
        if asked is None or command is None:
            return
        with self._store.together():
            now_ns = self._context.now_ns()
            cleared = self._store.move(
                command, command.status, cleared_ns=now_ns, cleared_by=message.id
            )
            if cleared:
                self._go_on(cleared, asked.intent)

    def denied(self, message: OrderDenied) -> None:
        """The gate said no, or not yet."""
        command = self._asked_about(message.command_id)
        if command is None:
            return
        if message.retry_after_s > 0:
            self._defer(command, message.refusal, message.retry_after_s)
        else:
            self.fail(command, message.refusal.code, message.refusal.text, denied=True)

    def approve(self, command_id: int, approved: bool, by: str) -> None:
        """A person's word; the time to live begins anew with it."""
        command = self._store.command(command_id)
        if command is None or command.status is not CommandStatus.AWAITING_APPROVAL:
            return
        if not approved:
            self.fail(command, "NOT_APPROVED", f"refused by {by}")
            return
        ttl_s = self._settings.max_queue_age_s
        self._store.move(
            command,
            CommandStatus.PENDING,
            approved_by=by,
            next_retry_ns=0,
            valid_until_ns=self._context.now_ns() + seconds(ttl_s) if ttl_s else 0,
        )

    def abort(self, command: CommandRow, code: str, reason: str) -> None:
        """It shall not go on: nothing sent fails at once, what is in flight is settled."""
        if command.status in (CommandStatus.PENDING, CommandStatus.AWAITING_APPROVAL):
            self.fail(command, code, reason)
        elif not command.abort_requested:
            self._store.mark(
                command.command_id, abort_requested=True, last_error=reason, error_code=code
            )

    def abort_unsent(self, code: str, reason: str) -> None:
        """Ends every entry of which nothing has left; what is under way goes its way."""
        for command in self._store.open_commands():
            if not command.is_exit and not self._has_left(command):
                self.abort(command, code, reason)

    def fail(self, command: CommandRow, code: str, text: str, denied: bool = False) -> None:
        """Ends a command nothing of which was sent."""
        status = OrderStatus.REJECTED_RISK if denied else OrderStatus.FAILED
        for row in self._store.orders_of(command.command_id):
            if row.status is OrderStatus.WAITING:
                self._desk.withdraw(row, text, status)
        self._end(command, CommandStatus.FAILED, code, text)

    # -- steps --

    def _begin(self, command: CommandRow, intent: SizedIntent) -> None:
        now_ns = self._context.now_ns()
        if command.valid_until_ns and now_ns > command.valid_until_ns:
            why = command.last_error or "it waited too long"
            self.fail(command, "STALE", f"not sent within its time: {why}")
            return
        if command.abort_requested:
            self.fail(command, command.error_code or "ABORTED", command.last_error)
            return
        if command.next_retry_ns > now_ns:
            return
        refusal = self._checks.refused(command, intent, now_ns)
        if refusal:
            self.fail(command, refusal.code, refusal.text)
            return
        refusal = self._checks.held(command, intent, now_ns)
        if refusal:
            self._defer(command, refusal, DEFER_S)
            return
        if self._settings.mode == "semi_auto" and not command.approved_by:
            due_ns = now_ns + seconds(APPROVAL_S)
            self._store.move(command, CommandStatus.AWAITING_APPROVAL, next_retry_ns=due_ns)
            text, key = f"{command.strategy_id} waits for approval", f"approve:{command.command_id}"
            self._store.when_durable(lambda: self._context.alert("SIGNAL", text, key))
            return
        leased = self._store.move(
            command,
            CommandStatus.PROCESSING,
            attempt_count=command.attempt_count + 1,
            **UNTAKEN | {"owner_token": self.token, "lease_expires_ns": self._lease()},
        )
        if leased:
            self._ask(leased, intent)

    def _ask(self, command: CommandRow, intent: SizedIntent) -> None:
        asked, number = _Asked(self._context.monotonic_ns(), intent), command.command_id
        question = ClearOrder(
            command_id=number,
            broker=command.broker_name,
            underlying=command.underlying,
            notional=intent_notional(intent),
            margin=intent.margin_required,
            leg_orders=len(intent.structure.legs),
            is_exit=False,
            reply_to=self._context.name,
        )

        def ask() -> None:
            self._asked[number] = asked
            self._context.tell(GATE, question)

        self._store.when_durable(ask)

    def _go_on(self, command: CommandRow, intent: SizedIntent) -> str:
        if not command.cleared_ns:
            asked = self._asked.get(command.command_id)
            late_ns = self._context.monotonic_ns() - seconds(GATE_DEADLINE_S)
            if asked is None or asked.at_ns < late_ns:
                text = "the gate did not answer in time"
                self._defer(command, Refusal("GATE_SILENT", text), DEFER_S)
            return ""
        now_ns = self._context.now_ns()
        if command.lease_expires_ns - now_ns < seconds(LEASE_S / 2):
            command = (
                self._store.move(command, command.status, lease_expires_ns=self._lease()) or command
            )
        # A close does not wait for an unknown entry: what it took off is not unwound once more.
        whole = self._store.orders_of_strategy(command.strategy_id)
        orders = _since_made(command, whole)
        closing = [row for row in whole if row.purpose is Purpose.CLOSE]
        for row in closing:
            if row.status is OrderStatus.WAITING:
                self._desk.withdraw(row, "the entry is unwound first", OrderStatus.CANCELLED)
                return "UNWINDING"
        step = next_step(
            plan_of(intent),
            [*orders, *closing],
            now_ns,
            deadline_ns=command.valid_until_ns,
            abort=command.abort_requested,
        )
        if step.end:
            status, text = step.end
            code = "" if status is CommandStatus.DONE else _code_of(orders)
            if command.abort_requested and status is not CommandStatus.DEAD_LETTER:
                code, text = command.error_code, command.last_error
            self._end(command, status, code, text)
            return step.phase
        command = self._mark_unknown(command, orders)
        self._desk.carry_out(step, command, lambda leg_no: entry_shape(intent, leg_no, command))
        return step.phase

    def _mark_unknown(self, command: CommandRow, orders: Sequence[OrderRow]) -> CommandRow:
        unknown = any(row.needs_reconcile and not row.is_final for row in orders)
        status = CommandStatus.UNKNOWN_OUTCOME if unknown else CommandStatus.PROCESSING
        return self._store.move(command, status) or command if status != command.status else command

    def _defer(self, command: CommandRow, refusal: Refusal, delay_s: float) -> None:
        self._asked.pop(command.command_id, None)
        self._store.move(
            command,
            CommandStatus.PENDING,
            **UNTAKEN,
            next_retry_ns=self._context.now_ns() + seconds(delay_s),
            last_error=f"[deferred] {refusal.code}: {refusal.text}",
        )

    def _end(self, command: CommandRow, status: CommandStatus, code: str, text: str) -> None:
        self._asked.pop(command.command_id, None)
        self._store.move(
            command,
            status,
            processed_ns=self._context.now_ns(),
            owner_token="",
            lease_expires_ns=0,
            error_code=code,
            last_error=text,
        )

    # -- helpers --

    def _asked_about(self, command_id: int) -> CommandRow | None:
        """The command whose answer of the gate this is; None for one that came too late."""
        if self._asked.pop(command_id, None) is None:
            return None
        command = self._store.command(command_id)
        waits = command is not None and command.status is CommandStatus.PROCESSING
        return command if waits and command and not command.cleared_ns else None

    def _has_left(self, command: CommandRow) -> bool:
        return any(row.status is not OrderStatus.WAITING for row in self._orders(command))

    def _orders(self, command: CommandRow) -> list[OrderRow]:
        return _since_made(command, self._store.orders_of(command.command_id))

    def _answer(self, intent: SizedIntent, command_id: int, **fields: Any) -> None:
        answer = ProposalRecorded(
            correlation_id=intent.correlation_id,
            command_id=command_id,
            strategy_id=intent.strategy_id,
            **fields,
        )
        self._store.when_durable(lambda: self._context.tell(RISK, answer))

    @property
    def token(self) -> str:
        """Whose lease it is: this actor on these files, in this life."""
        return f"{self._owner}{self._context.life}"

    def _lease(self) -> int:
        return self._context.now_ns() + seconds(LEASE_S)


def _since_made(command: CommandRow, rows: Sequence[OrderRow]) -> list[OrderRow]:
    """Its orders since it was made, or since a person had it tried again."""
    number, since_ns = command.command_id, command.created_ns
    return [row for row in rows if row.command_id == number and row.created_ns >= since_ns]


def opened_intent(command: CommandRow, orders: Sequence[OrderRow]) -> SizedIntent:
    """The intent in the size that stands."""
    intent = intent_of(command)
    size = standing_size(plan_of(intent), orders)
    lot = max(leg.lot_size for leg in intent.structure.legs)
    return replace(intent, quantity=size, lots=size // lot)


def entry_shape(intent: SizedIntent, leg_no: int, command: CommandRow) -> tuple[OrderRow, Quote]:
    """What the orders of a leg look like, and its quote when it was resolved."""
    leg = intent.structure.legs[leg_no]
    template = leg_template(intent, plan_of(intent).legs[leg_no], command)
    return template, Quote(leg.bid, leg.ask, leg.ltp)


def _code_of(orders: Sequence[OrderRow]) -> str:
    kinds = [row.error_kind for row in orders if row.error_kind]
    return kinds[0].upper() if kinds else "NOT_FILLED"
