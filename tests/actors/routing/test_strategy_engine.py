"""The strategy engine answers scans with plans that are due, and has plans rebuilt on a jump."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from actors.routing.strategy_engine import EngineSettings, StrategyEngine
from domain.clock import seconds
from domain.events import Event, EventCalendar, EventKind
from domain.instruments import Kind, Listing, option_symbol
from domain.intents import DailyPlan, Refusal, StrategyType
from domain.orders import CommandRow
from domain.positions import BookSnapshot
from domain.readings import MarketContext, Regime, VixRegime
from messages.codec import to_plain
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
from persistence.database import MainBase, open_engine
from persistence.instruments import InstrumentStore
from persistence.orders import OrderStore
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime
from tests.kit.risk_makers import EXPIRY, a_condor, a_position, an_intent

PLAN = DailyPlan(
    plan_id="NIFTY:2026-11-20:1", day=date(2026, 11, 20), instrument="NIFTY",
    strategy=StrategyType.IRON_CONDOR, entry_mode="morning_plan", vix_at_plan=15.0,
    vix_regime=VixRegime.NORMAL, regime_at_plan="CONGESTION", pcr_at_plan=1.0, short_delta=0.25,
    wing_delta=0.1, legs=(), lots=1, strength=68.0, rationale="calm", made_ns=START_NS,
    valid_until_ns=START_NS + seconds(3 * 3_600), expiry=date(2026, 11, 24),
)  # fmt: skip


@pytest.fixture
def desk(tmp_path):
    runtime = make_runtime(tmp_path)
    engine = open_engine(runtime.database_url)
    MainBase.metadata.create_all(engine)
    engine.dispose()
    return Desk(RecordingContext("strategy_engine", runtime))


class Desk:
    """The engine in an open session."""

    def __init__(self, context: RecordingContext, *, tail_hedge: bool = False) -> None:
        self.context = context
        self.engine = StrategyEngine(context, EngineSettings(tail_hedge))
        self.engine.start()
        self.hear(
            SessionOpened(
                day=date(2026, 11, 20), opens_ns=START_NS - seconds(3_600),
                closes_ns=START_NS + seconds(18_000), intraday_exit_ns=0, square_off_ns=0,
            )
        )  # fmt: skip

    def hear(self, message: Any) -> None:
        self.context.deliver(self.engine, message)

    def scan(self, dry: bool = False) -> ScanCompleted:
        self.hear(ScanRequested(cycle=3, regime=Regime(version=5), dry=dry))
        told = self.context.told_to("signal_loop", ScanCompleted)
        found: ScanCompleted = (told if dry else self.context.heard(ScanCompleted))[-1]
        return found

    def see_vix(self, vix: float) -> None:
        seen = MarketContext(vix, VixRegime.NORMAL, (), self.context.now_ns())
        self.hear(ContextChanged(context=seen, is_news=False))


def codes(answer: ScanCompleted) -> list[str]:
    return [note.code for note in answer.notes]


def test_a_plan_is_a_signal_at_once_and_again_after_a_quarter_of_an_hour(desk: Desk) -> None:
    desk.hear(PlanChanged(plan=PLAN))
    first = desk.scan()
    assert [one.instrument for one in first.signals] == ["NIFTY"]
    assert (first.source, first.cycle, first.regime_version) == ("strategy_engine", 3, 5)
    assert len(desk.context.heard(SignalRaised)) == 1
    desk.context.advance(840)
    assert codes(desk.scan()) == ["PLAN_TRIED"]
    desk.context.advance(60)
    assert len(desk.scan().signals) == 1


def test_a_dry_scan_uses_up_no_try(desk: Desk) -> None:
    desk.hear(PlanChanged(plan=PLAN))
    assert len(desk.scan(dry=True).signals) == 1
    assert desk.context.heard(SignalRaised) == []
    assert len(desk.scan().signals) == 1


def test_a_plan_that_the_loop_held_is_tried_in_the_next_cycle(desk: Desk) -> None:
    desk.hear(PlanChanged(plan=PLAN))
    (signal,) = desk.scan().signals
    desk.hear(SignalSetAside(signal=signal, refusal=Refusal("START_GRACE", "wait")))
    (again,) = desk.scan().signals
    desk.hear(SignalSetAside(signal=again, refusal=Refusal("OUTRANKED", "another")))
    assert codes(desk.scan()) == ["PLAN_TRIED"]


def test_a_plan_that_is_over_is_no_signal_and_says_why(desk: Desk) -> None:
    desk.hear(PlanChanged(plan=PLAN))
    why = Refusal("PLAN_FILLED", "NIFTY: it was filled")
    desk.hear(PlanChanged(plan=replace(PLAN, is_active=False), refusal=why))
    answer = desk.scan()
    assert answer.signals == ()
    assert answer.notes == (why,)


def test_why_there_is_no_plan_is_a_note_of_every_scan(desk: Desk) -> None:
    why = Refusal("VIX_UNKNOWN", "NIFTY: no live volatility index")
    desk.hear(PlanSkipped(day=PLAN.day, instrument="NIFTY", refusal=why))
    assert desk.scan().notes == (why,)
    desk.hear(PlanChanged(plan=PLAN))
    assert desk.scan().notes == ()


def test_a_jump_of_vix_has_the_plans_rebuilt_once(desk: Desk) -> None:
    for _ in range(30):
        desk.see_vix(15.0)
        desk.context.advance(60)
    assert desk.context.told_to("daily_plan_agent", RebuildPlans) == []
    desk.see_vix(17.5)
    desk.context.advance(60)
    desk.see_vix(17.5)
    (asked,) = desk.context.told_to("daily_plan_agent", RebuildPlans)
    assert asked.reason == "VIX rose 17% in half an hour, from 15.0 to 17.5"


def test_the_evening_before_is_not_half_an_hour_ago(desk: Desk) -> None:
    desk.see_vix(12.0)
    desk.context.advance(20 * 3_600)
    opened = SessionOpened(
        day=date(2026, 11, 21), opens_ns=desk.context.now_ns(), closes_ns=desk.context.now_ns() * 2,
        intraday_exit_ns=0, square_off_ns=0,
    )  # fmt: skip
    desk.hear(opened)
    desk.see_vix(16.0)
    desk.context.advance(60)
    desk.see_vix(16.0)
    assert desk.context.told_to("daily_plan_agent", RebuildPlans) == []


def hedging(desk, **track):
    """The engine with the hedge switched on, an empty book and a track record."""
    other = Desk(RecordingContext("strategy_engine", desk.context.runtime), tail_hedge=True)
    other.hear(OddsMeasured(odds=(), **track))
    other.hear(PositionChanged(book=BookSnapshot(version=1)))
    return other


def test_the_months_hedge_is_bought_once_and_its_budget_goes_with_it(desk) -> None:
    assert desk.scan().signals == ()  # off as shipped
    other = hedging(desk, closed_trades=50, monthly_profit=1_000_000.0)
    (signal,) = other.scan().signals
    assert (signal.strategy, signal.instrument) == (StrategyType.TAIL_HEDGE, "NIFTY")
    assert [(leg.option_type, leg.direction, leg.delta_target) for leg in signal.legs] == [
        ("PE", "BUY", 0.05)
    ]
    assert signal.extras["max_abs_inr"] == "15000.00"
    intent: Any = SimpleNamespace(signal=signal)
    other.hear(StructureOpened(intent=intent, command_id=1))
    assert (other.scan().signals, codes(other.scan())) == ((), ["HEDGE_BOUGHT"])
    # A new life has not forgotten it; the next month is due again.
    again = hedging(desk)
    assert codes(again.scan()) == ["HEDGE_BOUGHT"]
    again.context.advance(11 * 86_400)
    assert len(again.scan().signals) == 1


def test_no_hedge_is_bought_while_one_stands_or_nothing_is_known(desk) -> None:
    blind = Desk(RecordingContext("strategy_engine", desk.context.runtime), tail_hedge=True)
    assert codes(blind.scan()) == ["HEDGE_WAITS"]
    other = hedging(desk)
    held = a_position("BUY", "PE", 22_000, strategy="TAIL_HEDGE")
    other.hear(PositionChanged(book=BookSnapshot(version=2, positions=(held,))))
    assert codes(other.scan()) == ["HEDGE_HELD"]


def test_a_jump_on_the_day_of_an_event_names_it(desk) -> None:
    today = date(2026, 11, 20)
    desk.context.runtime.events = EventCalendar((Event(today, EventKind.BUDGET, "Union Budget"),))
    desk.see_vix(15.0)
    desk.context.advance(1_800)
    desk.see_vix(18.0)
    (told,) = desk.context.told_to("daily_plan_agent", RebuildPlans)
    assert told.reason.endswith("from 15.0 to 18.0, on the day of Union Budget")


def cut(desk, reason="delta_cut", stood=True, strategy_id="S1"):
    """A condor of the order table whose put was breached, closed."""
    breached = next(leg.symbol for leg in a_condor().legs if leg.direction == "SELL")
    desk.hear(ShortBreached(strategy_id=strategy_id, symbols=(breached,)))
    money = {"gross": Decimal(0), "charges": Decimal(0), "net": Decimal(0)}
    closed = StructureClosed(
        strategy_id=strategy_id, strategy_tag="T", reason=reason, stood=stood, **money
    )
    desk.hear(closed)


@pytest.fixture
def opened(desk):
    """The engine, with the condor S1 in the order table and its strikes in the master."""
    intent = an_intent(strategy_id="S1")
    command = CommandRow(
        event_type="ORDER_REQUEST", idempotency_key="S1:entry", correlation_id="V:1",
        strategy_id="S1", strategy_tag="TOMIC_IRON_CONDOR_NIFTY", underlying="NIFTY",
        broker_name="alpha", source_agent="risk_agent", payload=json.dumps(to_plain(intent)),
        created_ns=START_NS,
    )  # fmt: skip
    engine = open_engine(desk.context.runtime.database_url)
    OrderStore(engine).record(command, [])
    tick = Decimal("0.05")
    rows = [
        Listing(0, "NFO", option_symbol("NIFTY", EXPIRY, Decimal(strike), kind), "NIFTY", kind, 65,
                tick, 1800, EXPIRY, Decimal(strike))
        for strike in range(23_000, 25_001, 50) for kind in (Kind.PUT, Kind.CALL)
    ]  # fmt: skip
    InstrumentStore(engine).load(rows, "alpha", date(2026, 11, 20))
    engine.dispose()
    return desk


def test_a_structure_cut_for_its_delta_is_offered_again_further_out(opened) -> None:
    cut(opened)
    (signal,) = opened.scan().signals
    puts = [leg.strike for leg in signal.legs if leg.option_type == Kind.PUT]
    assert puts == [23_500, 23_700]  # from 23,600 and 23,800, two steps of 50
    # The offer stands for a quarter of an hour, or until risk took it.
    opened.hear(OrderProposed(intent=an_intent(signal=signal)))
    assert opened.scan().signals == ()
    cut(opened)
    opened.context.advance(901)
    assert opened.scan().signals == ()


@pytest.mark.parametrize("change", [{"reason": "sl_hit"}, {"stood": False}, {"strategy_id": "S9"}])
def test_nothing_is_offered_again_that_was_left_for_another_reason(opened, change) -> None:
    cut(opened, **change)
    assert opened.scan().signals == ()
