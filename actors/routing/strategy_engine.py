"""The strategy engine: plans of the day into signals, and a jump of volatility into new plans.

Hears PlanChanged, PlanSkipped, ContextChanged, the session and SignalSetAside; answers
ScanRequested by ScanCompleted, tells SignalRaised, and RebuildPlans to the daily plan agent. Of the
month's hedge it hears OddsMeasured, the book and StructureOpened; a structure that was cut for a
delta it wants again further out. Twins: triggers, hedge, reopening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.actor import Actor, Context
from actors.routing.reopen_desk import ReopenDesk
from domain.clock import exchange_time
from domain.intents import DailyPlan, Refusal, Signal, StrategyType
from domain.positions import BookSnapshot
from domain.routing.hedge import UNDERLYING as HEDGED
from domain.routing.hedge import Track, hedge_budget, hedge_hold, hedge_signal, month_of
from domain.routing.triggers import (
    SOURCE,
    Trail,
    has_passed,
    plan_hold,
    plan_signals,
    vix_jump,
    with_vix,
)
from messages.market import ContextChanged, SessionOpened
from messages.plans import PlanChanged, PlanSkipped, RebuildPlans
from messages.trading import (
    OddsMeasured,
    OrderProposed,
    PositionChanged,
    ScanCompleted,
    ScanRequested,
    ShortBreached,
    SignalRaised,
    SignalSetAside,
    StructureClosed,
    StructureOpened,
)
from persistence.database import open_engine
from persistence.latches import Latch, read_latch, write_latch

LOOP, PLANNER = "signal_loop", "daily_plan_agent"
HEDGE = "strategy_engine.hedge"


@dataclass(frozen=True)
class EngineSettings:
    """`tail_hedge` buys far index puts once a month for a small budget (`tomic.md` 7.9)."""

    tail_hedge: bool = False


class StrategyEngine(Actor):
    """Keeps the active plans, when each was last a signal, half an hour of VIX, and in which month
    the last hedge was bought (a row of `latches`)."""

    SETTINGS = EngineSettings
    settings: EngineSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._plans: dict[str, DailyPlan] = {}
        self._sent_ns: dict[str, int] = {}
        self._skipped: dict[str, Refusal] = {}
        self._trail: Trail = ()
        self._opens_ns = 0
        self._track: Track | None = None
        self._book: BookSnapshot | None = None
        self._hedged_in = ""

    def start(self) -> None:
        self._engine = open_engine(self.context.runtime.database_url)
        latch = read_latch(self._engine, HEDGE)
        self._hedged_in = latch.reason if latch else ""
        self._reopen = ReopenDesk(self.context)
        self._report()

    def on_session_opened(self, message: SessionOpened) -> None:
        if message.opens_ns == self._opens_ns:
            return
        # Half an hour ago is of this session, never of the evening before.
        self._opens_ns, self._trail = message.opens_ns, ()
        self._skipped = {}

    def on_context_changed(self, message: ContextChanged) -> None:
        seen = message.context
        if not self._opens_ns or seen.as_of_ns < self._opens_ns:
            return
        self._trail = with_vix(self._trail, seen.as_of_ns, seen.vix)
        reason = vix_jump(self._trail)
        if reason:
            self._trail = self._trail[-1:]
            event = self._event_today()
            why = f"{reason}, on the day of {event}" if event else reason
            self.context.tell(PLANNER, RebuildPlans(reason=why))

    def on_plan_changed(self, message: PlanChanged) -> None:
        plan = message.plan
        self._skipped.pop(plan.instrument, None)
        if plan.is_active:
            self._plans[plan.instrument] = plan
        elif message.refusal:
            self._plans.pop(plan.instrument, None)
            self._sent_ns.pop(plan.plan_id, None)
            self._skipped[plan.instrument] = message.refusal
        self._report()

    def on_plan_skipped(self, message: PlanSkipped) -> None:
        self._skipped[message.instrument] = message.refusal

    def on_signal_set_aside(self, message: SignalSetAside) -> None:
        signal = message.signal
        if signal.source == SOURCE and has_passed(message.refusal.code):
            self._sent_ns.pop(signal.extras.get("plan_id", ""), None)

    def on_odds_measured(self, message: OddsMeasured) -> None:
        self._track = Track(message.closed_trades, message.monthly_profit)

    def on_position_changed(self, message: PositionChanged) -> None:
        self._book = message.book

    def on_short_breached(self, message: ShortBreached) -> None:
        self._reopen.breached(message)

    def on_structure_closed(self, message: StructureClosed) -> None:
        self._reopen.closed(message)

    def on_order_proposed(self, message: OrderProposed) -> None:
        self._reopen.proposed(message)

    def on_structure_opened(self, message: StructureOpened) -> None:
        if message.intent.signal.strategy is not StrategyType.TAIL_HEDGE:
            return
        now_ns = self.context.now_ns()
        today = exchange_time(now_ns).date()
        self._hedged_in = month_of(today)
        row = Latch(HEDGE, True, today.isoformat(), self._hedged_in, now_ns, now_ns, {})
        write_latch(self._engine, row)
        self._report()

    def on_scan_requested(self, message: ScanRequested) -> None:
        now_ns = self.context.now_ns()
        due: list[DailyPlan] = []
        notes = [row for name, row in sorted(self._skipped.items()) if name not in self._plans]
        for _, plan in sorted(self._plans.items()):
            hold = plan_hold(plan, self._sent_ns.get(plan.plan_id, 0), now_ns)
            if hold:
                notes.append(hold)
            else:
                due.append(plan)
        interval_s = self.context.runtime.settings.signal_loop_interval_s
        signals = plan_signals(
            due, now_ns, regime_version=message.regime.version, valid_s=interval_s
        )
        again, refused = self._reopen.signals(now_ns)
        signals += again
        notes.extend(refused)
        hedge = self._hedge(now_ns, message.regime.version)
        if isinstance(hedge, Signal):
            signals += (hedge,)
        elif hedge:
            notes.append(hedge)
        completed = ScanCompleted(
            cycle=message.cycle,
            source=self.context.name,
            signals=signals,
            notes=tuple(notes),
            regime_version=message.regime.version,
            dry=message.dry,
        )
        if message.dry:
            self.context.tell(LOOP, completed)
            return
        self._sent_ns |= {plan.plan_id: now_ns for plan in due}
        self.context.announce(completed)
        for signal in signals:
            self.context.announce(SignalRaised(signal=signal))

    def _hedge(self, now_ns: int, regime_version: int) -> Signal | Refusal | None:
        """The month's hedge when it is due, or why not; None while it is switched off."""
        if not self.settings.tail_hedge:
            return None
        keys = self.context.runtime.settings
        month = month_of(exchange_time(now_ns).date())
        watched = any(name == HEDGED for _, name in keys.underlyings)
        hold = hedge_hold(month, self._hedged_in, self._track, self._book, is_watched=watched)
        if hold or self._track is None:
            return hold
        valid_s = keys.signal_loop_interval_s
        return hedge_signal(self._track, now_ns, valid_s=valid_s, regime_version=regime_version)

    def _event_today(self) -> str:
        """What is listed for today and moves the whole market; empty on a plain day."""
        today = exchange_time(self.context.now_ns()).date()
        rows = self.context.runtime.events.between(today, today)
        return ", ".join(row.name for row in rows if not row.underlying)

    def _report(self) -> None:
        plans = [plan.plan_id for _, plan in sorted(self._plans.items())]
        hedge = {
            "enabled": self.settings.tail_hedge,
            "bought_in": self._hedged_in,
            "budget": hedge_budget(self._track) if self._track else None,
        }
        event = self._event_today()
        self.context.report({"plans": plans, "event_today": event, "tail_hedge": hedge})
