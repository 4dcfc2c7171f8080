"""Tells what stands on disk and has not been told: fills, ended commands, results.

A fact is marked as told a moment after its telling, and not before the recorder has handled it:
mail for a recorder that is being restarted waits in this process, and dies with it. A crash in
between tells it twice rather than never, under the same ids.
"""

from __future__ import annotations

from actors.actor import Context
from actors.execution.entry_desk import opened_intent
from domain.clock import seconds
from domain.execution.closing import is_flat
from domain.intents import Refusal
from domain.orders import CommandRow, CommandStatus, Purpose
from domain.results import result_of
from messages.trading import (
    CommandEnded,
    FillsRecorded,
    OrderFilled,
    StructureClosed,
    StructureOpened,
)
from persistence.orders import OrderStore

LEFT_S = 0.4
RECORDER = "recorder"
Fact = tuple[str, int]


class Teller:
    """State: what was told and is not marked yet, and when."""

    def __init__(self, context: Context, store: OrderStore) -> None:
        self._context, self._store = context, store
        self._told: dict[Fact, int] = {}

    def tell(self) -> bool:
        """Everything untold, fills first; True while something waits to be marked."""
        self._mark()
        self._tell_fills()
        for command in self._store.ended_untold():
            if self._is_new(("end", command.command_id)):
                self._tell_end(command)
        for command in self._store.unsettled_entries():
            self._tell_closed(command)
        return bool(self._told)

    def _mark(self) -> None:
        if not self._context.has_handled(RECORDER):
            return
        now_ns, left_ns = self._context.now_ns(), self._context.monotonic_ns()
        left = [fact for fact, at_ns in self._told.items() if left_ns - at_ns >= seconds(LEFT_S)]
        fills = [number for kind, number in left if kind == "fill"]
        with self._store.together():
            if fills:
                self._store.mark_told(fills)
            for kind, number in left:
                if kind == "end":
                    self._store.mark(number, told=True)
                elif kind == "closed":
                    self._store.mark(number, closed_ns=now_ns)
        for fact in left:
            del self._told[fact]

    def _is_new(self, fact: Fact) -> bool:
        if fact in self._told:
            return False
        self._told[fact] = self._context.monotonic_ns()
        return True

    def _tell_fills(self) -> None:
        untold = [
            row for row in self._store.untold_fills() if self._is_new(("fill", row.fill.fill_id))
        ]
        if not untold:
            return
        newest = untold[-1].fill.fill_id
        self._context.tell("position_book", FillsRecorded(last_fill_id=newest))
        for row in untold:
            order = self._store.order(row.fill.client_order_id)
            self._context.announce(
                OrderFilled(
                    fill=row.fill,
                    broker=row.broker_name,
                    command_id=row.command_id,
                    purpose=order.purpose if order else Purpose.ENTRY,
                    latency_ms=float(row.latency_ms),
                    slippage_ticks=float(row.slippage_ticks),
                )
            )

    def _tell_end(self, command: CommandRow) -> None:
        done = command.status is CommandStatus.DONE
        if done and not command.is_exit:
            intent = opened_intent(command, self._store.orders_of(command.command_id))
            self._context.announce(StructureOpened(intent=intent, command_id=command.command_id))
        text = command.last_error
        if command.status is CommandStatus.DEAD_LETTER:
            key = f"dead:{command.command_id}"
            self._context.alert(
                "CRITICAL", f"{command.strategy_id} waits for a person: {text}", key
            )
        self._context.announce(
            CommandEnded(
                command_id=command.command_id,
                correlation_id=command.correlation_id,
                strategy_id=command.strategy_id,
                status=command.status.value,
                is_exit=command.is_exit,
                refusal=None if done else Refusal(command.error_code or "FAILED", text),
                cleared_by=command.cleared_by,
            )
        )

    def _tell_closed(self, command: CommandRow) -> None:
        orders = self._store.orders_of_strategy(command.strategy_id)
        if not is_flat(orders):
            return
        if not self._is_new(("closed", command.command_id)):
            return
        texts = {row.command_id: row.reason for row in self._store.commands_of(command.strategy_id)}
        result = result_of(command, orders, texts)
        self._store.drop_guards(command.strategy_id, self._context.now_ns())
        self._context.announce(
            StructureClosed(
                strategy_id=command.strategy_id,
                strategy_tag=command.strategy_tag,
                reason=result.reason,
                gross=result.gross,
                charges=result.charges,
                net=result.net,
                stood=command.status is CommandStatus.DONE,
                detail=result.detail,
            )
        )
