"""The strategy engine answers scans with plans that are due, and has plans rebuilt on a jump."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from actors.actor import NoSettings
from actors.routing.strategy_engine import StrategyEngine
from domain.clock import seconds
from domain.intents import DailyPlan, Refusal, StrategyType
from domain.readings import MarketContext, Regime, VixRegime
from messages.market import ContextChanged, SessionOpened
from messages.plans import PlanChanged, PlanSkipped, RebuildPlans
from messages.trading import ScanCompleted, ScanRequested, SignalRaised, SignalSetAside
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime

PLAN = DailyPlan(
    plan_id="NIFTY:2026-11-20:1", day=date(2026, 11, 20), instrument="NIFTY",
    strategy=StrategyType.IRON_CONDOR, entry_mode="morning_plan", vix_at_plan=15.0,
    vix_regime=VixRegime.NORMAL, regime_at_plan="CONGESTION", pcr_at_plan=1.0, short_delta=0.25,
    wing_delta=0.1, legs=(), lots=1, strength=68.0, rationale="calm", made_ns=START_NS,
    valid_until_ns=START_NS + seconds(3 * 3_600), expiry=date(2026, 11, 24),
)  # fmt: skip


@pytest.fixture
def desk(tmp_path):
    return Desk(RecordingContext("strategy_engine", make_runtime(tmp_path)))


class Desk:
    """The engine in an open session."""

    def __init__(self, context: RecordingContext) -> None:
        self.context = context
        self.engine = StrategyEngine(context, NoSettings())
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
