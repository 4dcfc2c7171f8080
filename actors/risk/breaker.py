"""One breaker: the rule its settings name, for the gate to ask before each entry.

Hears the book, funds, what executors say of orders, the session of its broker, and WeighOrder.
Tells BreakerVerdict to the gate, FlattenLeg to execution (the unhedged rule), and alerts. Its row
in `latches` is read back at start, before the first verdict; it is written whenever it changed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from math import inf
from typing import Any

from actors.actor import Actor, Context, Timer
from domain.clock import NS_PER_S, ForwardClock, exchange_time
from domain.errors import StorageFailure
from domain.risk.breaker import KILL, Action, Flatten, Kill, Limits, Question, Tripped, loosened
from domain.risk.breakers import RULES, UnhedgedExposure
from messages.books import BrokerConnectionChanged, MarginRead
from messages.lifecycle import NodeRestarted
from messages.trading import (
    BreakerVerdict,
    FlattenLeg,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
    PositionChanged,
    StructureClosed,
    StructureOpened,
    WeighOrder,
)
from persistence.database import open_engine
from persistence.latches import Latch, read_latch, write_latch

GATE, EXECUTION = "breaker_gate", "execution_agent"
NOT_SENT = "not_sent"
# An OrderRejected of any other class is ours: no broker ever saw that order.
ANSWERED = ("broker_reject", "broker_rate_limit")


@dataclass(frozen=True)
class BreakerSettings:
    """`rule` is a name of domain.risk.breakers.RULES; limits may be tighter than `tomic.md` 10.1,
    never looser."""

    rule: str = ""
    loss_share_max: float = 0.06
    orders_max: int = 30
    orders_window_s: float = 60.0
    notional_x_max: float = 5.0
    underlying_share_max: float = 0.30
    underlying_capital_floor: float = 0.20
    unhedged_after_s: float = 5.0
    flatten_again_s: float = 1.0
    failures_to_open: int = 3
    cool_down_s: float = 30.0
    timeouts_to_kill: int = 5

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if not 0 < value < inf:
                raise ValueError(f"{field.name} must be a number greater than 0, not {value}")
        looser = loosened(self.limits())
        if looser:
            raise ValueError(f"{looser}: a breaker may only be tightened")

    def limits(self) -> Limits:
        """As the rules take them: shares of money as Decimal."""
        values = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        exact = {
            field.name: Decimal(str(values[field.name]))
            for field in fields(Limits)
            if field.type == "Decimal"
        }
        return Limits(**(values | exact))


class Breaker(Actor):
    """The shell of one rule."""

    SETTINGS = BreakerSettings
    settings: BreakerSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        rule = RULES[settings.rule]
        self._rule = rule(context.runtime.settings.capital, settings.limits())
        self._written: dict[str, Any] = {}
        self._due: Timer | None = None
        self._clock = ForwardClock(context.now_ns(), context.monotonic_ns())
        self._title = rule.NAME
        if context.instance:
            self._title = f"{rule.NAME}.{context.instance}"

    def start(self) -> None:
        self._engine = open_engine(self.context.runtime.database_url, prompt=True)
        latch = read_latch(self._engine, self.context.name)
        if latch and latch.body:
            self._rule.restore(dict(latch.body), self._now())
            self._written = self._rule.state()
        self.context.every(self._rule.JUDGE_EVERY_S, self._judge)
        self._judge()

    def on_weigh_order(self, message: WeighOrder) -> None:
        question = Question(
            broker=message.broker,
            underlying=message.underlying,
            notional=message.notional,
            margin=message.margin,
            leg_orders=message.leg_orders,
            early=message.early,
        )
        verdict = self._rule.weigh(question, self._now())
        answer = BreakerVerdict(
            command_id=message.command_id,
            breaker=self.context.name,
            action=verdict.action,
            reason=verdict.reason,
            retry_after_s=verdict.retry_after_s,
        )
        self.context.tell(GATE, answer)

    def on_position_changed(self, message: PositionChanged) -> None:
        self._rule.see_book(message.book, self._now())
        self._watch_the_clock()

    def on_margin_read(self, message: MarginRead) -> None:
        self._rule.see_margin(message.margin)

    def on_order_accepted(self, message: OrderAccepted) -> None:
        self._sent(message.broker, message.client_order_id, "")

    def on_order_rejected(self, message: OrderRejected) -> None:
        if message.error_class == NOT_SENT:
            self._sent(message.broker, "", NOT_SENT)
        elif message.error_class in ANSWERED:
            self._sent(message.broker, message.client_order_id, "")

    def on_order_unknown(self, message: OrderUnknown) -> None:
        self._sent(message.broker, message.client_order_id, "timeout")

    def on_order_filled(self, message: OrderFilled) -> None:
        self._judge()

    def on_structure_opened(self, message: StructureOpened) -> None:
        intent = message.intent
        self._rule.see_structure(
            intent.strategy_id, intent.signal.instrument, intent.margin_required
        )
        self._remember()

    def on_structure_closed(self, message: StructureClosed) -> None:
        self._rule.see_structure(message.strategy_id, "", Decimal(0))
        self._remember()

    def on_broker_connection_changed(self, message: BrokerConnectionChanged) -> None:
        if message.broker == self.context.instance:
            connected = message.state == "connected"
            self._rule.see_connection(connected, message.reason, self._now())
            self._remember()

    def on_node_restarted(self, message: NodeRestarted) -> None:
        """A new gate may have missed our word; what still holds is said again."""
        if message.name == GATE:
            verdict = self._rule.weigh(Question(), self._now())
            if verdict.action == KILL:
                self._kill(verdict.reason)

    # -- helpers --

    def _now(self) -> int:
        return self._clock.at(self.context.now_ns(), self.context.monotonic_ns())

    def _sent(self, broker: str, client_order_id: str, failure: str) -> None:
        now_ns = self._now()
        if client_order_id:
            self._rule.see_sent(client_order_id, now_ns)
        if broker == self.context.instance:
            self._rule.see_answer(failure, now_ns)
        self._judge()

    def _judge(self) -> None:
        now_ns = self._now()
        actions = self._rule.judge(now_ns)
        self._remember()
        for action in actions:
            self._carry_out(action)
        self.context.report(lambda: {"name": self._title, **self._rule.status(now_ns)})

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, Kill):
            self._kill(action.reason)
        elif isinstance(action, Flatten):
            short = action.short
            text = f"{short.quantity} of {short.symbol} stand naked for {action.naked_s:.0f} s"
            self.context.tell(
                EXECUTION,
                FlattenLeg(position_key=short.key, quantity=short.quantity, reason=text),
            )
            self.context.alert(
                "CRITICAL", f"UNHEDGED_EXPOSURE: {text}; buying back", f"unhedged:{short.key}"
            )
        elif isinstance(action, Tripped):
            self.context.alert(action.level, action.text, f"breaker:{self._title}")

    def _kill(self, reason: str) -> None:
        verdict = BreakerVerdict(
            command_id=0, breaker=self.context.name, action=KILL, reason=reason
        )
        self.context.tell(GATE, verdict)

    def _watch_the_clock(self) -> None:
        """The unhedged rule is judged the moment a short's time is over, not at the next beat."""
        if not isinstance(self._rule, UnhedgedExposure):
            return
        if self._due:
            self._due.cancel()
        wait_s = self._rule.next_due_s(self._now())
        self._due = self.context.after(wait_s + 1 / NS_PER_S, self._judge) if wait_s else None
        self._remember()

    def _remember(self) -> None:
        state = self._rule.state()
        if state == self._written:
            return
        now_ns = self._now()
        fault = self._rule.fault(now_ns)
        latch = Latch(
            name=self.context.name,
            engaged=bool(fault),
            day=exchange_time(now_ns).date().isoformat(),
            reason=fault,
            since_ns=self._rule.since_ns,
            updated_ns=now_ns,
            body=state,
        )
        try:
            write_latch(self._engine, latch)
        except StorageFailure as failure:  # the next judgement tries again
            self.context.alert("CRITICAL", f"{self._title}: {failure}", "storage")
            return
        self._written = state
