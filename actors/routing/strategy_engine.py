"""The strategy engine: plans of the day into signals, and a jump of volatility into new plans.

Hears PlanChanged, PlanSkipped, ContextChanged, the session and SignalSetAside; answers
ScanRequested by ScanCompleted, tells SignalRaised, and RebuildPlans to the daily plan agent. Twin:
triggers.
"""

from __future__ import annotations

from typing import Any

from actors.actor import Actor, Context
from domain.clock import exchange_time
from domain.intents import DailyPlan, Refusal
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
from messages.trading import ScanCompleted, ScanRequested, SignalRaised, SignalSetAside

LOOP, PLANNER = "signal_loop", "daily_plan_agent"


class StrategyEngine(Actor):
    """Keeps the active plans, when each was last a signal, and half an hour of VIX."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._plans: dict[str, DailyPlan] = {}
        self._sent_ns: dict[str, int] = {}
        self._skipped: dict[str, Refusal] = {}
        self._trail: Trail = ()
        self._opens_ns = 0

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

    def _event_today(self) -> str:
        """What is listed for today and moves the whole market; empty on a plain day."""
        today = exchange_time(self.context.now_ns()).date()
        rows = self.context.runtime.events.between(today, today)
        return ", ".join(row.name for row in rows if not row.underlying)

    def _report(self) -> None:
        plans = [plan.plan_id for _, plan in sorted(self._plans.items())]
        self.context.report({"plans": plans, "event_today": self._event_today()})
