"""The daily plan agent: one plan an instrument and day, until it is filled or over.

Hears ContextChanged, RegimeChanged, the session, the gate's mode, RebuildPlans and what became of
its structures; finds contracts by ResolveLegs, asks what they would block by QuoteMargin, and tells
PlanChanged and PlanSkipped. A plan is a
row of `latches`, so that no new life plans a day twice. Twin: plans.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from actors.actor import Actor, Context
from domain.clock import exchange_time, seconds
from domain.events import event_words
from domain.intents import DailyPlan, Refusal
from domain.orders import lot_orders
from domain.readings import MarketContext, Regime
from domain.signals.plans import (
    EVENT,
    MORNING,
    PlanRules,
    PlanView,
    beyond_margin,
    end_of,
    make_plan,
    plan_row,
    plan_window,
    reentry_hold,
    with_contracts,
)
from messages.books import MarginQuoted, QuoteMargin
from messages.codec import from_plain, to_plain
from messages.lifecycle import NodeRestarted
from messages.market import (
    ContextChanged,
    LegsResolved,
    ResolveLegs,
    SessionClosed,
    SessionOpened,
)
from messages.plans import PlanChanged, PlanSkipped, RebuildPlans
from messages.trading import (
    RegimeChanged,
    StructureClosed,
    StructureOpened,
    TradingModeChanged,
)
from persistence.database import open_engine
from persistence.latches import Latch, read_latches, write_latch

CHAIN_KEEPER, ENGINE = "chain_keeper", "strategy_engine"
EXECUTION = "execution_agent"  # whose broker is asked what a plan would block
SEGMENT = "NFO"  # whose sessions count days
PREFIX = "plan:"
QUIET = ("PLAN_TOO_EARLY",)


@dataclass(frozen=True)
class PlanSettings:
    """Plans are made from so many minutes after the session's open on, and stand until so many
    before its intraday exit, both by the calendar; lots as a ceiling, seconds (`tomic.md` 12.2)."""

    after_open_min: float = 30.0
    before_exit_min: float = 60.0
    lots: int = 1
    short_delta_max: float = 0.25
    look_every_s: float = 60.0
    resolve_within_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("after_open_min", "before_exit_min"):
            if not 0 <= getattr(self, name) < 300:
                raise ValueError(f"{name} must be 0 to 299, not {getattr(self, name)}")
        if self.lots < 1:
            raise ValueError(f"lots must be 1 or more, not {self.lots}")
        if not 0.15 <= self.short_delta_max <= 0.30:
            raise ValueError(f"short_delta_max must lie in 0.15-0.30, not {self.short_delta_max}")
        if self.look_every_s <= 0 or self.resolve_within_s <= 0:
            raise ValueError("look_every_s and resolve_within_s must be greater than 0")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A plan to be made: how, as which re-entry, and which question for contracts is out."""

    entry_mode: str = MORNING
    reentry_count: int = 0
    asked: DailyPlan | None = None


class DailyPlanAgent(Actor):
    """`_plans` holds the newest plan of each instrument today, `_wanted` those still to be made."""

    SETTINGS = PlanSettings
    settings: PlanSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._rules = PlanRules(
            settings.after_open_min * 60,
            settings.before_exit_min * 60,
            lots=settings.lots,
            short_delta_max=settings.short_delta_max,
        )
        node = context.runtime.tree.find(EXECUTION)
        self._broker = str(node.settings.get("broker", "")) if node else ""
        self._instruments = [name for _, name in context.runtime.settings.underlyings]
        self._day: date | None = None
        self._session: SessionOpened | None = None
        self._context: MarketContext | None = None
        self._regime = Regime()
        self._is_halted = True
        self._plans: dict[str, DailyPlan] = {}
        self._wanted: dict[str, Wanted] = {}
        self._skipped: dict[str, Refusal] = {}

    def start(self) -> None:
        self._engine = open_engine(self.context.runtime.database_url)
        today = exchange_time(self.context.now_ns()).date().isoformat()
        for row in read_latches(self._engine, PREFIX):
            if row.day == today:  # an older one may be of a release that kept other fields
                plan: DailyPlan = from_plain(DailyPlan, dict(row.body))
                self._plans[plan.instrument] = plan
        self.context.every(self.settings.look_every_s, self._look)

    # -- what it hears --

    def on_session_opened(self, message: SessionOpened) -> None:
        self._session = message
        if message.day == self._day:
            return
        self._day = message.day
        self._plans = {name: one for name, one in self._plans.items() if one.day == message.day}
        self._wanted = {name: Wanted() for name in self._instruments if name not in self._plans}
        self._skipped = {}
        self._report()

    def on_session_closed(self, _message: SessionClosed) -> None:
        self._session = None

    def on_context_changed(self, message: ContextChanged) -> None:
        is_first, self._context = self._context is None, message.context
        if is_first and self._regime.as_of_ns:
            self._look()

    def on_regime_changed(self, message: RegimeChanged) -> None:
        is_first, self._regime = not self._regime.as_of_ns, message.regime
        self._end_those_over()
        if is_first and self._context:
            self._look()

    def on_trading_mode_changed(self, message: TradingModeChanged) -> None:
        self._is_halted = message.mode != "active"

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name == ENGINE:
            for plan in self._active():
                self.context.tell(ENGINE, PlanChanged(plan=plan))

    def on_rebuild_plans(self, message: RebuildPlans) -> None:
        for name in self._instruments:
            plan = self._plans.get(name)
            if plan and plan.strategy_id:
                continue
            if plan and plan.is_active:
                self._end(plan, Refusal("PLAN_REBUILT", f"{name}: {message.reason}"))
            count = plan.reentry_count if plan else 0
            self._wanted[name] = Wanted(EVENT, count)
        self._look()

    def on_structure_opened(self, message: StructureOpened) -> None:
        wanted = message.intent.signal.extras.get("plan_id", "")
        for plan in self._plans.values():
            if plan.plan_id == wanted:
                filled = replace(plan, strategy_id=message.intent.strategy_id)
                self._end(filled, Refusal("PLAN_FILLED", f"{plan.instrument}: it was filled"))
                return

    def on_structure_closed(self, message: StructureClosed) -> None:
        found = (one for one in self._plans.values() if one.strategy_id == message.strategy_id)
        plan = next(found, None)
        if plan is None or self._session is None:
            return
        hold = reentry_hold(
            plan,
            message.net,
            context=self._context,
            now_ns=self.context.now_ns(),
            is_halted=self._is_halted,
            rules=self._rules,
        )
        if hold:
            self._skip(plan.instrument, hold)
            return
        self._wanted[plan.instrument] = Wanted(plan.entry_mode, plan.reentry_count + 1)
        self._look()

    def on_legs_resolved(self, message: LegsResolved) -> None:
        asked = ((name, one.asked) for name, one in self._wanted.items())
        found = next(
            ((name, one) for name, one in asked if one and _request(one) == message.request), None
        )
        if found is None:
            return
        name, plan = found
        if message.structure is None:
            self._wanted[name] = replace(self._wanted[name], asked=None)
            text = message.refusal.text if message.refusal else "no contract was found"
            code = message.refusal.code if message.refusal else "NO_LEGS"
            self._skip(name, Refusal(code, f"{name}: {text}"))
            return
        del self._wanted[name]
        self._skipped.pop(name, None)
        self._keep(with_contracts(plan, message.structure))
        self._drop_beyond_margin()
        tag = f"PLAN_{plan.strategy}_{plan.instrument}"
        orders = lot_orders(message.structure, tag, self.context.runtime.settings.default_product)
        question = QuoteMargin(request=plan.plan_id, orders=orders, reply_to=self.context.name)
        self.context.tell(f"account_sync.{self._broker}", question)

    def on_margin_quoted(self, message: MarginQuoted) -> None:
        """The broker's word on one lot; without it the width of the structure stands."""
        plan = next((one for one in self._active() if one.plan_id == message.request), None)
        if plan and message.total is not None:
            self._keep(replace(plan, margin_estimate=message.total * plan.lots))
            self._drop_beyond_margin()

    # -- plans --

    def _look(self) -> None:
        self._end_those_over()
        session = self._session
        if session is None:
            return
        now_ns = self.context.now_ns()
        window = plan_window(
            self._rules,
            opens_ns=session.opens_ns,
            intraday_exit_ns=session.intraday_exit_ns,
            closes_ns=session.closes_ns,
            always_open=session.always_open,
        )
        for name, wanted in list(self._wanted.items()):
            event = self._event_near(name, session.day)
            view = PlanView(self._context, self._regime, now_ns, session.day, *window, event)
            if wanted.asked and now_ns - wanted.asked.made_ns < seconds(
                self.settings.resolve_within_s
            ):
                continue
            found = make_plan(
                name,
                view,
                self._rules,
                number=self._next_number(name),
                entry_mode=wanted.entry_mode,
                reentry_count=wanted.reentry_count,
            )
            if isinstance(found, Refusal):
                self._wanted[name] = replace(wanted, asked=None)
                self._skip(name, found)
                continue
            self._wanted[name] = replace(wanted, asked=found)
            self._ask(found)

    def _event_near(self, name: str, day: date) -> str:
        runtime = self.context.runtime
        found = runtime.events.near(name, day, runtime.calendars.get(SEGMENT))
        return event_words(*found) if found else ""

    def _ask(self, plan: DailyPlan) -> None:
        question = ResolveLegs(
            reply_to=self.context.name,
            request=_request(plan),
            underlying=plan.instrument,
            legs=plan.legs,
            dte_min=0,
            dte_max=0,
        )
        self.context.tell(CHAIN_KEEPER, question)

    def _next_number(self, name: str) -> int:
        plan = self._plans.get(name)
        return int(plan.plan_id.rpartition(":")[2]) + 1 if plan else 1

    def _end_those_over(self) -> None:
        for plan in self._active():
            over = end_of(plan, self._regime, self.context.now_ns())
            if over:
                self._end(plan, over)

    def _drop_beyond_margin(self) -> None:
        capital: Decimal = self.context.runtime.settings.capital
        for plan in beyond_margin(self._plans.values(), capital, self._rules):
            text = f"{plan.instrument}: the active plans need more than 85 % of the capital"
            self._end(plan, Refusal("PLAN_MARGIN", text))

    def _active(self) -> list[DailyPlan]:
        return [plan for plan in self._plans.values() if plan.is_active]

    def _end(self, plan: DailyPlan, why: Refusal) -> None:
        self._keep(replace(plan, is_active=False, ended=why.code), why)

    def _skip(self, name: str, why: Refusal) -> None:
        before = self._skipped.get(name)
        self._skipped[name] = why
        if why.code in QUIET or (before and before.code == why.code) or self._day is None:
            return
        self.context.announce(PlanSkipped(day=self._day, instrument=name, refusal=why))
        self._report()

    def _keep(self, plan: DailyPlan, why: Refusal | None = None) -> None:
        self._plans[plan.instrument] = plan
        now_ns, day = self.context.now_ns(), plan.day.isoformat()
        name = PREFIX + plan.instrument
        row = Latch(name, plan.is_active, day, plan.ended, now_ns, now_ns, to_plain(plan))
        write_latch(self._engine, row)
        self.context.announce(PlanChanged(plan=plan, refusal=why))
        self._report()

    def _report(self) -> None:
        skipped = {
            name: {"code": row.code, "text": row.text} for name, row in self._skipped.items()
        }
        self.context.report(
            {
                "date": self._day.isoformat() if self._day else "",
                "plans": [plan_row(plan) for _, plan in sorted(self._plans.items())],
                "skipped": skipped,
            }
        )


def _request(plan: DailyPlan) -> str:
    return f"{plan.plan_id}:{plan.made_ns}"
