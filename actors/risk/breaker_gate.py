"""Every order's door: asks all breakers with a deadline, keeps the trading mode and the kill latch.

Hears ClearOrder, verdicts, the session, brokers, reconciliation, restarts, PauseTrading and
ResumeTrading. Tells WeighOrder; announces OrderCleared, OrderDenied and TradingModeChanged. Fails
closed: silence is a denial; what is not known, or not there, halts. Exits pass at once, in every
mode. Hears OrderProposed, too: breakers think while execution writes the row, and the answer waits
for its question (docs/decisions/0020).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from actors.actor import Actor, Context, Timer
from actors.risk.execution_broker import execution_broker
from domain.clock import exchange_time, iso_utc
from domain.errors import StorageFailure
from domain.intents import Refusal
from domain.positions import intent_notional
from domain.risk.breaker import CLEAR, DEFER, DENY, KILL
from domain.risk.trading_mode import HALTED, TradingState
from domain.safety import BREAKER_PREFIX, CONNECTION_RULE, standing_breakers
from messages.books import BrokerConnectionChanged, ReconciliationDone
from messages.control import PauseTrading, ResumeAnswered, ResumeTrading
from messages.lifecycle import BranchGaveUp, NodeRestarted
from messages.market import SessionClosed, SessionOpened
from messages.trading import (
    BreakerVerdict,
    ClearOrder,
    OrderCleared,
    OrderDenied,
    OrderProposed,
    TradingModeChanged,
    WeighOrder,
)
from persistence.database import open_engine
from persistence.latches import Latch, read_latch, write_latch

LATCH = "kill"
WRITE_AGAIN_S = 1.0
CONNECTION = f"{BREAKER_PREFIX}{CONNECTION_RULE}."


@dataclass(frozen=True)
class GateSettings:
    """`broker` whose state makes the mode, execution_agent's unless given; seconds."""

    broker: str = ""
    deadline_s: float = 1.0

    def __post_init__(self) -> None:
        if self.deadline_s <= 0:
            raise ValueError("deadline_s must be greater than 0")


@dataclass
class Inquiry:
    """One question to the breakers, and who waits for the answer: an order, a person's wish to go
    on, or nobody while execution writes the row."""

    question: WeighOrder
    silent: set[str]
    timer: Timer
    order: ClearOrder | None = None
    resume: ResumeTrading | None = None
    verdicts: list[BreakerVerdict] = field(default_factory=list)

    @property
    def is_awaited(self) -> bool:
        return self.order is not None or self.resume is not None

    def weighs(self, order: ClearOrder) -> bool:
        """True when its answer, asked for early, is one to that order."""
        asked = self.question
        return (
            not self.is_awaited
            and (asked.broker, asked.underlying) == (order.broker, order.underlying)
            and (asked.notional, asked.margin) == (order.notional, order.margin)
        )


class BreakerGate(Actor):
    """Nobody else may say OrderCleared."""

    SETTINGS = GateSettings
    settings: GateSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        runtime = context.runtime
        self._broker = execution_broker(runtime, settings.broker)
        breakers = standing_breakers(runtime.tree.walk())
        self._state = TradingState(
            needs_sandbox=runtime.settings.mode == "sandbox", breakers=breakers
        )
        self._state.broker(self._broker)
        self._breakers = sorted(row.name for row in breakers)
        self._inquiries: dict[int, Inquiry] = {}
        self._unnumbered = 0
        self._told = ("", False, "")
        self._since_ns = 0

    def start(self) -> None:
        self._engine = open_engine(self.context.runtime.database_url, durable=True)
        latch = read_latch(self._engine, LATCH)
        if latch and latch.engaged:
            self._state.killed, self._state.killed_ns = True, latch.since_ns
            self._state.kill_reason = f"{latch.reason} (since {latch.day})"
        self.context.every(5.0, self._tell_mode)
        self._tell_mode()

    # -- the door --

    def on_clear_order(self, message: ClearOrder) -> None:
        if message.is_exit:
            self.context.announce(OrderCleared(command_id=message.command_id))
            return
        refusal = self._state.refusal(message.broker, self.context.now_ns())
        if refusal:
            self._deny(message.command_id, refusal)
            return
        early = next((row for row in self._inquiries.values() if row.weighs(message)), None)
        if early is None:
            self._ask(_question(message), order=message)
            return
        early.order = message
        if not early.silent:
            self._close(early)

    def on_order_proposed(self, message: OrderProposed) -> None:
        """The breakers are asked while execution writes the row; nothing is cleared before it
        stands."""
        intent = message.intent
        if self._state.refusal(self._broker, self.context.now_ns()):
            return
        early = WeighOrder(
            command_id=self._next_number(),
            broker=self._broker,
            underlying=intent.structure.underlying,
            notional=intent_notional(intent),
            margin=intent.margin_required,
            leg_orders=len(intent.structure.legs),
            early=True,
        )
        self._ask(early)

    def on_breaker_verdict(self, message: BreakerVerdict) -> None:
        inquiry = self._inquiries.get(message.command_id)
        if message.action == KILL and not (inquiry and inquiry.resume):
            self._kill(f"{message.breaker}: {message.reason}")
        if inquiry is None:
            return
        inquiry.silent.discard(message.breaker)
        inquiry.verdicts.append(message)
        if not inquiry.silent and inquiry.is_awaited:
            self._close(inquiry)

    # -- what makes the mode --

    def on_session_opened(self, message: SessionOpened) -> None:
        self._state.session_open, self._state.session_reason = True, ""
        self._tell_mode()

    def on_session_closed(self, message: SessionClosed) -> None:
        self._state.session_open, self._state.session_reason = False, message.reason
        self._tell_mode()

    def on_broker_connection_changed(self, message: BrokerConnectionChanged) -> None:
        view = self._state.broker(message.broker)
        view.connected = message.state == "connected"
        view.reason = message.reason or message.state
        view.sandbox_proven, view.proven_ns = message.sandbox_proven, message.proven_ns
        self._tell_mode()

    def on_reconciliation_done(self, message: ReconciliationDone) -> None:
        self._state.compared(
            message.broker,
            clean=message.clean,
            reason=message.reason,
            started_ns=message.started_ns,
            now_ns=self.context.now_ns(),
        )
        self._tell_mode()

    def on_node_restarted(self, message: NodeRestarted) -> None:
        self._state.reopen(message.name, message.reason, message.at_ns)
        self._tell_mode()
        self.context.remind(message.name, self._standing_mode())

    def on_branch_gave_up(self, message: BranchGaveUp) -> None:
        if message.handles_orders:
            self._kill(f"{message.name} gave up: {message.reason}")

    def on_pause_trading(self, message: PauseTrading) -> None:
        self._kill(f"{message.reason} (by {message.by})")

    def on_resume_trading(self, message: ResumeTrading) -> None:
        missing = self._state.missing(self._broker)
        if missing:
            self._answer(message, cleared=False, reason=missing)
            return
        if not self._state.broker(self._broker).reconciled:
            because = self._state.broker(self._broker).unreconciled_because
            self._answer(message, cleared=False, reason=f"not reconciled: {because}")
            return
        # An order of nothing asks only whether a cause holds.
        nothing = WeighOrder(
            command_id=self._next_number(),
            broker=self._broker,
            underlying="",
            notional=Decimal(0),
            margin=Decimal(0),
            leg_orders=0,
        )
        self._ask(nothing, resume=message)

    # -- helpers --

    def _ask(
        self,
        question: WeighOrder,
        order: ClearOrder | None = None,
        resume: ResumeTrading | None = None,
    ) -> None:
        number = question.command_id
        asked = [name for name in self._breakers if self._concerns(name, question.broker)]
        timer = self.context.after(self.settings.deadline_s, lambda: self._late(number))
        self._inquiries[number] = Inquiry(question, set(asked), timer, order, resume)
        for name in asked:
            self.context.tell(name, question)

    @staticmethod
    def _concerns(breaker: str, broker: str) -> bool:
        return not breaker.startswith(CONNECTION) or breaker == CONNECTION + broker

    def _next_number(self) -> int:
        """Of a question that no command asks; those of commands are above 0."""
        self._unnumbered -= 1
        return self._unnumbered

    def _late(self, number: int) -> None:
        inquiry = self._inquiries.get(number)
        if inquiry:
            self._close(inquiry)

    def _drop(self, inquiry: Inquiry) -> None:
        del self._inquiries[inquiry.question.command_id]
        inquiry.timer.cancel()

    def _close(self, inquiry: Inquiry) -> None:
        self._drop(inquiry)
        if inquiry.resume:
            self._decide_resume(inquiry, inquiry.resume)
        elif inquiry.order:
            self._decide(inquiry, inquiry.order)

    def _decide(self, inquiry: Inquiry, order: ClearOrder) -> None:
        refusal = self._state.refusal(order.broker, self.context.now_ns())
        worst = {row.action: row for row in reversed(inquiry.verdicts) if row.action != CLEAR}
        if refusal:
            self._deny(order.command_id, refusal)
        elif worst and inquiry.question.early:  # only a yes is taken that was given early
            self._ask(_question(order), order=order)
        elif KILL in worst or DENY in worst:
            row = worst.get(KILL) or worst[DENY]
            self._deny(order.command_id, Refusal(_code(row.breaker), row.reason), row)
        elif inquiry.silent:
            names = ", ".join(sorted(inquiry.silent))
            text = f"{names} did not answer within {self.settings.deadline_s:g} s"
            self._deny(order.command_id, Refusal("BREAKER_SILENT", text))
        elif DEFER in worst:
            row = worst[DEFER]
            self._deny(order.command_id, Refusal(_code(row.breaker), row.reason), row)
        else:
            self.context.announce(OrderCleared(command_id=order.command_id))

    def _deny(
        self, command_id: int, refusal: Refusal, verdict: BreakerVerdict | None = None
    ) -> None:
        self.context.announce(
            OrderDenied(
                command_id=command_id,
                refusal=refusal,
                breaker=verdict.breaker if verdict else "",
                retry_after_s=verdict.retry_after_s if verdict else 0.0,
            )
        )

    def _decide_resume(self, inquiry: Inquiry, wish: ResumeTrading) -> None:
        holding = [row for row in inquiry.verdicts if row.action == KILL]
        if holding:
            self._answer(wish, cleared=False, reason=f"{holding[0].breaker}: {holding[0].reason}")
        elif inquiry.silent:
            names = ", ".join(sorted(inquiry.silent))
            self._answer(wish, cleared=False, reason=f"{names} did not answer; try again")
        else:
            try:
                self._write_latch(engaged=False, reason=f"resumed by {wish.by}")
            except StorageFailure as failure:
                self._answer(wish, cleared=False, reason=f"{failure}; try again")
                return
            self._state.killed, self._state.kill_reason = False, ""
            self._tell_mode()
            self._answer(wish, cleared=True, reason="")

    def _answer(self, wish: ResumeTrading, *, cleared: bool, reason: str) -> None:
        answer = ResumeAnswered(request=wish.request, cleared=cleared, reason=reason)
        self.context.tell(wish.reply_to, answer)

    def _kill(self, reason: str) -> None:
        """Latched on disk before anything else happens; idempotent. No resume outlives it.

        A disk that takes nothing stops trading all the same; it is tried until it takes the latch.
        """
        for inquiry in list(self._inquiries.values()):
            if inquiry.resume:
                self._drop(inquiry)
                self._answer(inquiry.resume, cleared=False, reason=f"stopped again: {reason}")
        if self._state.killed:
            return
        self._state.killed_ns = self.context.now_ns()
        self._latch(reason)
        self._state.killed, self._state.kill_reason = True, reason
        self._tell_mode()
        self.context.alert("CRITICAL", f"Trading stopped: {reason}", "kill")

    def _latch(self, reason: str) -> None:
        try:
            self._write_latch(engaged=True, reason=reason)
        except StorageFailure as failure:
            text = f"trading is stopped, but a restart would not know it yet: {failure}"
            self.context.alert("CRITICAL", text, "storage")
            self.context.after(WRITE_AGAIN_S, lambda: self._latch_again(reason))

    def _latch_again(self, reason: str) -> None:
        if self._state.killed and self._state.kill_reason == reason:
            self._latch(reason)

    def _write_latch(self, *, engaged: bool, reason: str) -> None:
        now_ns = self.context.now_ns()
        day = exchange_time(now_ns).date().isoformat()
        write_latch(self._engine, Latch(LATCH, engaged, day, reason, now_ns, now_ns))

    def _tell_mode(self) -> None:
        now_ns = self.context.now_ns()
        mode, reason = self._state.mode(self._broker, now_ns)
        before, self._told = self._told, (mode, self._state.killed, reason)
        # The words of a lapsed proof carry its age: only the mode and the latch make it news.
        if self._told[:2] != before[:2]:
            self._since_ns = now_ns
            self.context.announce(self._standing_mode())
        self.context.report(self._status(mode, reason))

    def _standing_mode(self) -> TradingModeChanged:
        mode, killed, reason = self._told
        return TradingModeChanged(mode=mode, killed=killed, reason=reason, since_ns=self._since_ns)

    def _status(self, mode: str, reason: str) -> dict[str, Any]:
        killed = self._state.killed
        return {
            "mode": mode,
            "killed": killed,
            "reason": self._state.kill_reason if killed else reason,
            "killed_at": iso_utc(self._state.killed_ns) if killed else "",
            "since_ns": self._since_ns,
            "broker": self._broker,
            "pending": sum(row.is_awaited for row in self._inquiries.values()),
            "halted": mode == HALTED,
        }


def _question(order: ClearOrder) -> WeighOrder:
    return WeighOrder(
        command_id=order.command_id,
        broker=order.broker,
        underlying=order.underlying,
        notional=order.notional,
        margin=order.margin,
        leg_orders=order.leg_orders,
    )


def _code(breaker: str) -> str:
    """`breaker.order_rate` -> ORDER_RATE; `breaker.connection.x` -> CONNECTION."""
    return breaker.split(".")[1].upper()
