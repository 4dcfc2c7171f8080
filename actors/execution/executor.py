"""An executor: the only one that sends orders to its broker.

Hears PlaceOrders and CancelOrder; announces OrderAccepted, OrderRejected, OrderUnknown and
OrderCancelled. A row is SENDING on disk before the first byte leaves and has its answer on disk
before the answer is told. What was SENDING when an earlier life ended is unknown, never sent again.
What waits for a lane is still WAITING: it may be taken back, and a new life finds it unsent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from actors.actor import Actor, Context
from adapters.catalogue import open_broker
from adapters.ports import PlacedOrder
from domain.clock import seconds
from domain.errors import BrokerFailure, NotSent, StorageFailure
from domain.execution.commands import request_of
from domain.execution.lanes import Lanes
from domain.execution.outcomes import Outcome, not_proven, outcome_of
from domain.execution.sending import NOT_MARKED_YET, may_leave
from domain.orders import CommandRow, OrderRow, OrderStatus
from domain.readings import FreshnessMark
from messages.books import BrokerConnectionChanged
from messages.market import FreshnessMarked
from messages.trading import (
    CancelOrder,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderUnknown,
    PlaceOrders,
)
from persistence.database import open_engine
from persistence.orders import OrderStore

PROOF_LASTS_S = 60.0  # `tomic.md` 8.9
WRITE_AGAIN_S = 1.0
# A call that hangs to its time-out holds up its own kind alone: an exit waits for no entry, and
# the cancel that makes room for an exit for neither. Of exits and cancels four go side by side:
# a day has some ten structures, and brokers take ten orders a second.
ENTRIES, EXITS, CANCELS = "entries", "exits", "cancels"
LANES = {ENTRIES: 1, EXITS: 4, CANCELS: 4}
# Begins on a lane of that name, and says whether a call is under way there; it calls back when that
# has ended. Raises StorageFailure when it could not begin.
Begin = Callable[[str, Callable[[], None]], bool]


@dataclass(frozen=True)
class _Sent:
    """What came back from the worker; without a proof (0) nothing was sent, `failure` says why."""

    placed: Sequence[PlacedOrder]
    proven_ns: int
    failure: BrokerFailure | None = None


class Executor(Actor):
    """State: the newest freshness mark, what came before the first, when the broker was last
    proven a sandbox, and what waits for a lane."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._mark: FreshnessMark | None = None
        self._early: list[str] = []
        self._proven_ns = 0
        self._lanes: dict[str, Lanes[Begin]] = {kind: Lanes(n) for kind, n in LANES.items()}

    def start(self) -> None:
        runtime, name = self.context.runtime, self.context.instance
        self._broker = open_broker(runtime.broker(name), runtime.keys.get(name, ""))
        self._store = OrderStore(open_engine(runtime.database_url, durable=True))
        self._needs_proof = runtime.settings.mode == "sandbox"
        sending = OrderStatus.SENDING
        self._call_unknown([row for row in self._store.unfinished(name) if row.status is sending])

    def stop(self) -> None:
        self._broker.close()

    def on_freshness_marked(self, message: FreshnessMarked) -> None:
        self._mark = message.mark
        early, self._early = self._early, []
        if early:
            self._place("", early, is_exit=False)

    def on_broker_connection_changed(self, message: BrokerConnectionChanged) -> None:
        if message.broker == self.context.instance:
            self._proven_ns = message.proven_ns if message.sandbox_proven else 0

    def on_place_orders(self, message: PlaceOrders) -> None:
        keys = [request.client_order_id for request in message.requests]
        self._place(message.strategy_id, keys, message.is_exit)

    def on_cancel_order(self, message: CancelOrder) -> None:
        row = self._store.order(message.client_order_id)
        tag, structure = (row.tag, row.strategy_id) if row else ("", "")

        def cancelled(result: Any) -> None:
            if isinstance(result, BrokerFailure):
                # Refused mostly means that a fill won the race: the book tells which it was.
                self.context.log.warning("cancel of {}: {}", message.client_order_id, result)
            elif isinstance(result, Exception):
                raise result
            self.context.announce(
                OrderCancelled(
                    client_order_id=message.client_order_id,
                    broker=self.context.instance,
                    reason=str(result) if result else message.reason,
                )
            )

        def begin(lane: str, ended: Callable[[], None]) -> bool:
            def done(result: Any) -> None:
                cancelled(result)
                ended()

            call = self._broker.cancel
            self.context.work(lambda: call(message.broker_order_id, tag), done, lane=lane)
            return True

        self._queue(CANCELS, structure, begin)

    # -- lanes --

    def _queue(self, kind: str, structure: str, begin: Begin) -> None:
        self._lanes[kind].put(structure, begin)
        self._go_on(kind)

    def _go_on(self, kind: str) -> None:
        """Begins what has a lane and nothing of its structure before it."""
        lanes = self._lanes[kind]
        while taken := lanes.take():
            number, begin = taken

            def ended(number: int = number) -> None:
                lanes.free(number)
                self._go_on(kind)

            try:
                is_under_way = begin(f"{kind}.{number}" if number else kind, ended)
            except StorageFailure as failure:
                lanes.give_back(number)
                self.context.alert("CRITICAL", f"an order was not sent: {failure}", "storage")
                self.context.after(WRITE_AGAIN_S, lambda: self._go_on(kind))
                return
            if not is_under_way:
                lanes.free(number)

    # -- placing --

    def _place(self, structure: str, keys: Sequence[str], is_exit: bool) -> None:
        def begin(lane: str, ended: Callable[[], None]) -> bool:
            return self._begin(keys, is_exit, lane, ended)

        self._queue(EXITS if is_exit else ENTRIES, structure, begin)

    def _begin(
        self, keys: Sequence[str], is_exit: bool, lane: str, ended: Callable[[], None]
    ) -> bool:
        """Marks what may leave as SENDING, together, then hands it to the worker."""
        now_ns = self.context.now_ns()
        with self._store.together():
            rows = self._store.orders_named(keys)
            commands = {number: self._store.command(number) for number in _commands_of(rows)}
            going = [
                row.client_order_id
                for row in rows
                if self._may_go(row, commands[row.command_id], is_exit)
            ]
            sent = tuple(self._store.begin_sending(going, now_ns)) if going else ()

        def done(result: Any) -> None:
            self._sent(sent, result, is_exit)
            ended()

        if sent:
            self.context.work(lambda: self._send(sent), done, lane=lane)
        return bool(sent)

    def _may_go(self, row: OrderRow, command: CommandRow | None, is_exit: bool) -> bool:
        if command is None or row.status is not OrderStatus.WAITING:
            return False
        now_ns, key = self.context.now_ns(), row.client_order_id
        refusal = may_leave(row, command, self._mark, protective=is_exit, now_ns=now_ns)
        if refusal is None:
            return True
        if refusal.code == NOT_MARKED_YET:
            self._early.append(key)
        if refusal.final:
            changes = {"error_kind": refusal.code.lower(), "error_message": refusal.text}
            status = OrderStatus.FAILED
            if self._store.change_waiting(key, status=status, updated_ns=now_ns, **changes):
                kind, text = refusal.code.lower(), refusal.text
                self._store.when_durable(lambda: self._tell_rejected(row, kind, text))
        return False

    def _send(self, rows: tuple[OrderRow, ...]) -> _Sent:
        """On a worker thread: the proof where it is due, then the orders."""
        proven_ns = self._proven_ns
        age_ns = self.context.now_ns() - proven_ns
        if self._needs_proof and not 0 <= age_ns <= seconds(PROOF_LASTS_S):
            try:
                is_proven = self._broker.is_sandbox()
            except BrokerFailure as failure:
                return _Sent((), 0, NotSent(f"the proof of a sandbox could not be had: {failure}"))
            if not is_proven:
                return _Sent((), 0)
            proven_ns = self.context.now_ns()
        return _Sent(self._broker.place([request_of(row) for row in rows]), proven_ns)

    def _sent(self, rows: tuple[OrderRow, ...], result: Any, is_exit: bool) -> None:
        if isinstance(result, Exception):
            raise result  # a surprise: the rows stay SENDING, and the next life calls them unknown
        self._proven_ns = result.proven_ns
        answers = {placed.client_order_id: placed for placed in result.placed}
        if self._needs_proof and not result.proven_ns and result.failure is None:
            outcomes = [not_proven(row.client_order_id) for row in rows]
        else:
            outcomes = [
                _outcome(row, answers.get(row.client_order_id), result.failure) for row in rows
            ]
        self._record(rows, outcomes, is_exit)

    def _record(self, rows: tuple[OrderRow, ...], outcomes: list[Outcome], is_exit: bool) -> None:
        """The answers on disk, then told; a disk that is full is tried again, they are not lost."""
        try:
            self._store.record_answers([o.answer for o in outcomes], self.context.now_ns())
        except StorageFailure as failure:
            self.context.alert("CRITICAL", f"an answer was not recorded: {failure}", "storage")
            self.context.after(WRITE_AGAIN_S, lambda: self._record(rows, outcomes, is_exit))
            return
        for row, outcome in zip(rows, outcomes, strict=True):
            self._tell(row, outcome, is_exit)

    def _tell(self, row: OrderRow, outcome: Outcome, is_exit: bool) -> None:
        answer = outcome.answer
        if outcome.again_after_s:
            keys, name = [row.client_order_id], row.strategy_id
            self.context.after(outcome.again_after_s, lambda: self._place(name, keys, is_exit))
        elif answer.status is OrderStatus.SENDING:
            self._tell_unknown(row, answer.error_message)
        elif answer.status is OrderStatus.SENT:
            self.context.announce(
                OrderAccepted(
                    client_order_id=row.client_order_id,
                    broker_order_id=answer.broker_order_id,
                    broker=row.broker_name,
                    command_id=row.command_id,
                )
            )
        else:
            self._tell_rejected(row, answer.error_kind, answer.error_message)

    def _tell_rejected(self, row: OrderRow, error_class: str, reason: str) -> None:
        self.context.announce(
            OrderRejected(
                client_order_id=row.client_order_id,
                broker=row.broker_name,
                error_class=error_class,
                reason=reason,
                command_id=row.command_id,
            )
        )

    def _call_unknown(self, rows: Sequence[OrderRow]) -> None:
        """Of an earlier life: nobody knows what became of them."""
        for place, row in enumerate(rows):
            try:
                self._store.change_order(row, needs_reconcile=True)
            except StorageFailure as failure:
                self.context.alert("CRITICAL", f"an unknown order is not marked: {failure}")
                self.context.after(WRITE_AGAIN_S, partial(self._call_unknown, rows[place:]))
                return
            self._tell_unknown(row, "its executor ended before the answer")

    def _tell_unknown(self, row: OrderRow, reason: str) -> None:
        self.context.announce(
            OrderUnknown(
                client_order_id=row.client_order_id,
                broker=row.broker_name,
                reason=reason,
                sent_ns=row.sent_ns,
                command_id=row.command_id,
            )
        )


def _commands_of(rows: Sequence[OrderRow]) -> set[int]:
    return {row.command_id for row in rows}


def _outcome(row: OrderRow, placed: PlacedOrder | None, failure: BrokerFailure | None) -> Outcome:
    if placed is None:
        return outcome_of(row.client_order_id, "", failure, sends=row.sends)
    return outcome_of(
        row.client_order_id,
        placed.order_id,
        placed.failure,
        sends=row.sends,
        request=placed.request,
        reply=placed.answer,
    )
