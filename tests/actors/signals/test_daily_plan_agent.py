"""The daily plan agent: plans are made once known, kept over lives, and end when they must."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from actors.signals.daily_plan_agent import DailyPlanAgent, PlanSettings
from domain.calendar import ExchangeCalendar, SessionHours
from domain.clock import EXCHANGE_ZONE, epoch_ns, seconds
from domain.events import Event, EventCalendar, EventKind
from domain.instruments import Kind
from domain.intents import Refusal, ResolvedLeg, ResolvedStructure, StrategyType
from domain.readings import (
    MarketContext,
    PcrBias,
    Phase,
    Regime,
    UnderlyingContext,
    VixRegime,
)
from domain.settings import Settings
from domain.supervision.topology import Node
from messages.books import MarginQuoted, QuoteMargin
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
from persistence.database import MainBase, open_engine
from persistence.latches import Latch, write_latch
from tests.kit.recording_context import RecordingContext, make_runtime

DAY = date(2026, 11, 20)
MONDAY = date(2026, 11, 23)
HOURS = SessionHours(date(2020, 1, 1), time(9, 15), time(15, 30), time(15), time(15, 15))
WEEKDAYS = ExchangeCalendar("NFO", (HOURS,))


def at(hour: int, minute: int, day: date = DAY) -> int:
    return epoch_ns(datetime.combine(day, time(hour, minute), EXCHANGE_ZONE))


@pytest.fixture
def runtime(tmp_path):
    made = make_runtime(tmp_path)
    executes = Node("execution_agent", actor="x", settings={"broker": "alpha"})
    made.tree = Node("root", strategy="one_for_one", children=(executes,))
    made.settings = Settings(feed_underlyings=(("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "INDIAVIX")))
    engine = open_engine(made.database_url)
    MainBase.metadata.create_all(engine)
    engine.dispose()
    return made


class Desk:
    """The agent with a session open and what it must know told at a moment."""

    def __init__(self, runtime: Any, now_ns: int, **settings: Any) -> None:
        self.context = RecordingContext("daily_plan_agent", runtime, now_ns=now_ns)
        self.agent = DailyPlanAgent(self.context, PlanSettings(**settings))
        self.agent.start()

    def hear(self, message: Any) -> None:
        self.context.deliver(self.agent, message)

    def open(self, day: date = DAY, **changes: Any) -> None:
        self.hear(
            SessionOpened(
                day=day, opens_ns=at(9, 15, day), closes_ns=at(15, 30, day),
                intraday_exit_ns=at(15, 0, day), square_off_ns=at(15, 15, day), **changes,
            )
        )  # fmt: skip

    def know(self, vix: float = 15.0, band: VixRegime = VixRegime.NORMAL, bias: Any = None) -> None:
        row = UnderlyingContext("NIFTY", 25_000.0, pcr_bias=bias or PcrBias.NEUTRAL)
        seen = MarketContext(vix, band, (row,), self.context.now_ns())
        self.hear(ContextChanged(context=seen, is_news=True))

    def turn(self, phase: Phase = Phase.CONGESTION) -> None:
        regime = Regime(
            version=1, phase=phase, vix=15.0, vix_flags=(), as_of_ns=self.context.now_ns()
        )
        self.hear(RegimeChanged(regime=regime))

    def ready(self) -> None:
        self.open()
        self.hear(TradingModeChanged(mode="active", killed=False, reason="", since_ns=0))
        self.turn()
        self.know()

    def answer(self, refusal: Refusal | None = None, width: float = 200.0) -> None:
        asked = self.context.told_to("chain_keeper", ResolveLegs)[-1]
        found = None if refusal else structure(width)
        self.hear(LegsResolved(request=asked.request, structure=found, refusal=refusal))

    def fill(self, plan: Any, strategy_id: str = "S1") -> None:
        signal = SimpleNamespace(extras={"plan_id": plan.plan_id})
        intent: Any = SimpleNamespace(signal=signal, strategy_id=strategy_id)
        self.hear(StructureOpened(intent=intent, command_id=1))

    def close(self, net: int, strategy_id: str = "S1") -> None:
        amount = Decimal(net)
        self.hear(
            StructureClosed(
                strategy_id=strategy_id, strategy_tag="T", reason="tp_hit", gross=amount,
                charges=Decimal(0), net=amount,
            )
        )  # fmt: skip

    @property
    def changes(self) -> list[tuple[str, bool, str]]:
        """(strategy, active, why it ended) of each change told."""
        return [
            (one.plan.strategy.value, one.plan.is_active, one.plan.ended)
            for one in self.context.heard(PlanChanged)
        ]

    @property
    def skips(self) -> list[str]:
        return [one.refusal.code for one in self.context.heard(PlanSkipped)]

    @property
    def plan(self) -> Any:
        return self.context.heard(PlanChanged)[-1].plan


def structure(width: float) -> ResolvedStructure:
    leg = ResolvedLeg(
        1, "NFO", "NIFTY24NOV2624800PE", Kind.PUT, "BUY", Decimal(24_800), date(2026, 11, 24), 1,
        65, Decimal("0.05"), 1_800, 20.0, 19.0, 21.0, 0.14, -0.1,
    )  # fmt: skip
    return ResolvedStructure("NIFTY", 25_000.0, (leg,), 40.0, 38.0, width, 0.0, 4.0, 1)


CONDOR, PUTS = StrategyType.IRON_CONDOR.value, StrategyType.BULL_PUT_SPREAD.value


def test_a_plan_is_made_at_its_hour_on_contracts_that_were_found(runtime) -> None:
    desk = Desk(runtime, at(9, 40))
    desk.ready()
    assert desk.context.told_to("chain_keeper", ResolveLegs) == []
    assert desk.skips == []  # that it is early is no news
    for _ in range(5):
        desk.context.advance(60)
        desk.know()
    desk.context.advance(1)
    (asked,) = desk.context.told_to("chain_keeper", ResolveLegs)
    assert (asked.underlying, asked.dte_max, asked.expiry) == ("NIFTY", 0, None)
    assert len(asked.legs) == 4
    desk.answer()
    assert desk.changes == [(CONDOR, True, "")]
    assert desk.plan.expiry == date(2026, 11, 24)
    assert desk.plan.valid_until_ns == at(14, 0)
    assert desk.context.reports[-1]["plans"][0]["is_active"] is True
    desk.context.advance(600)
    assert len(desk.context.told_to("chain_keeper", ResolveLegs)) == 1  # one a day


def test_what_is_missing_is_told_once_and_the_day_is_not_lost(runtime) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.open()
    desk.turn()
    desk.context.advance(180)
    assert desk.skips == ["CONTEXT_UNKNOWN"]
    desk.turn()
    desk.know(0.0, VixRegime.UNKNOWN)
    desk.context.advance(60)
    assert desk.skips == ["CONTEXT_UNKNOWN", "VIX_UNKNOWN"]
    desk.know()
    desk.context.advance(60)
    desk.answer()
    assert desk.changes == [(CONDOR, True, "")]


def test_legs_that_are_not_found_are_asked_for_again(runtime) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer(Refusal("STALE_SPOT", "no price of NIFTY within 5 s"))
    assert desk.skips == ["STALE_SPOT"]
    assert desk.changes == []
    desk.context.advance(60)
    desk.answer()
    assert desk.changes == [(CONDOR, True, "")]


def test_a_question_that_is_never_answered_is_asked_again(runtime) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.context.advance(60)
    first, second = desk.context.told_to("chain_keeper", ResolveLegs)
    assert first.request != second.request


def test_a_plan_is_not_made_twice_by_a_second_life_of_the_day(runtime) -> None:
    first = Desk(runtime, at(10, 0))
    first.ready()
    first.answer()
    second = Desk(runtime, at(10, 5))
    second.ready()
    second.context.advance(60)
    assert second.context.told_to("chain_keeper", ResolveLegs) == []
    assert second.context.reports[-1]["plans"][0]["strategy_type"] == CONDOR
    born = NodeRestarted(name="strategy_engine", life=2, reason="crash", handles_orders=False)
    second.hear(born)
    (told,) = second.context.told_to("strategy_engine", PlanChanged)
    assert told.plan == first.plan


def test_a_new_day_begins_without_plans(runtime) -> None:
    first = Desk(runtime, at(10, 0))
    first.ready()
    first.answer()
    monday = Desk(runtime, at(10, 0, MONDAY))
    monday.open(MONDAY)
    monday.turn()
    monday.know()
    monday.answer()
    assert monday.plan.plan_id == "NIFTY:2026-11-23:1"


def test_a_plan_of_an_older_release_does_not_stop_a_start(runtime) -> None:
    engine = open_engine(runtime.database_url)
    write_latch(engine, Latch("plan:NIFTY", True, "2026-11-19", "", 0, 0, {"of": "old"}))
    engine.dispose()
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()
    assert desk.plan.plan_id == "NIFTY:2026-11-20:1"


@pytest.mark.parametrize(
    ("turn", "code"), [(Phase.BEARISH, "PLAN_CONTRADICTED"), (Phase.BLOWOFF, "BLOWOFF")]
)
def test_a_plan_ends_when_the_regime_turns(runtime, turn: Phase, code: str) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()
    desk.turn(turn)
    assert desk.changes == [(CONDOR, True, ""), (CONDOR, False, code)]
    desk.context.advance(120)
    assert len(desk.changes) == 2


def test_a_plan_that_was_not_filled_ends_at_its_hour(runtime) -> None:
    desk = Desk(runtime, at(13, 58))
    desk.ready()
    desk.answer()
    desk.context.advance(180)
    assert desk.changes[-1] == (CONDOR, False, "PLAN_EXPIRED")


def test_a_filled_plan_is_entered_again_after_a_profit_but_not_after_a_loss(runtime) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()
    desk.fill(desk.plan)
    assert desk.changes[-1] == (CONDOR, False, "PLAN_FILLED")
    desk.close(500)
    desk.answer()
    assert desk.plan.is_active
    assert (desk.plan.reentry_count, desk.plan.plan_id) == (1, "NIFTY:2026-11-20:2")

    desk.fill(desk.plan, "S2")
    desk.close(-500, "S2")
    assert desk.skips == ["REENTRY_AFTER_LOSS"]
    desk.context.advance(300)
    assert desk.plan.plan_id == "NIFTY:2026-11-20:2"


def test_nothing_is_entered_again_while_the_gate_is_halted(runtime) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()
    desk.fill(desk.plan)
    desk.hear(TradingModeChanged(mode="halted", killed=True, reason="x", since_ns=0))
    desk.close(500)
    assert desk.skips == ["REENTRY_HALTED"]


def test_a_jump_of_the_market_rebuilds_what_is_not_filled(runtime) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()
    desk.know(20.0, VixRegime.ELEVATED, PcrBias.BULLISH)
    desk.hear(RebuildPlans(reason="VIX rose 20 % in half an hour"))
    desk.answer()
    assert desk.changes == [
        (CONDOR, True, ""), (CONDOR, False, "PLAN_REBUILT"), (PUTS, True, ""),
    ]  # fmt: skip
    assert desk.plan.entry_mode == "event_driven"

    desk.fill(desk.plan)
    asked = len(desk.context.told_to("chain_keeper", ResolveLegs))
    desk.hear(RebuildPlans(reason="VIX fell 20 % in half an hour"))
    assert desk.changes[-1] == (PUTS, False, "PLAN_FILLED")
    assert len(desk.context.told_to("chain_keeper", ResolveLegs)) == asked


def test_a_plan_that_asks_for_more_than_the_capital_is_dropped(runtime) -> None:
    runtime.settings = replace(runtime.settings, capital=Decimal(15_000))
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()  # 200 points x 65 = 13,000 of 15,000 is 87 %
    assert desk.changes[-1] == (CONDOR, False, "PLAN_MARGIN")


def test_nothing_is_planned_while_the_market_is_closed(runtime) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.open()
    desk.hear(SessionClosed(day=DAY, reason="closed", next_opens_ns=0))
    desk.turn()
    desk.know()
    desk.context.advance(120)
    assert desk.context.told == []


def test_a_market_that_never_closes_has_its_plan_at_any_hour(runtime) -> None:
    desk = Desk(runtime, at(3, 0))
    desk.hear(
        SessionOpened(
            day=DAY, opens_ns=at(0, 0), closes_ns=at(0, 0) + seconds(86_400), intraday_exit_ns=0,
            square_off_ns=0, always_open=True,
        )
    )  # fmt: skip
    desk.turn()
    desk.know()
    desk.answer()
    assert desk.plan.valid_until_ns == at(0, 0) + seconds(86_400)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"after_open_min": -1.0}, "after_open_min"),
        ({"before_exit_min": 300.0}, "before_exit_min"),
        ({"lots": 0}, "lots"),
        ({"short_delta_max": 0.45}, "short_delta_max"),
        ({"look_every_s": 0.0}, "look_every_s"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        PlanSettings(**settings)


def test_beside_a_listed_event_the_plan_says_that_it_is_of_half_size(runtime) -> None:
    runtime.calendars = {"NFO": WEEKDAYS}
    runtime.events = EventCalendar((Event(MONDAY, EventKind.ELECTION, "Election results"),))
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()
    assert desk.plan.rationale.endswith("half size: Election results in 1 session")
    assert desk.plan.lots == PlanSettings().lots  # risk takes the half of it


def test_an_event_two_sessions_away_is_no_word_of_the_plan(runtime) -> None:
    runtime.calendars = {"NFO": WEEKDAYS}
    tuesday = MONDAY + timedelta(days=1)
    runtime.events = EventCalendar((Event(tuesday, EventKind.ELECTION, "Election results"),))
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()
    assert "half size" not in desk.plan.rationale


def test_a_plan_needs_what_the_broker_says_and_its_width_until_then(runtime) -> None:
    desk = Desk(runtime, at(10, 0), lots=2)
    desk.ready()
    desk.answer()
    assert desk.plan.margin_estimate == Decimal(200) * 65 * 2
    (asked,) = desk.context.told_to("account_sync.alpha", QuoteMargin)
    assert [(row.symbol, row.action, row.quantity) for row in asked.orders] == [
        ("NIFTY24NOV2624800PE", "BUY", 65)
    ]
    desk.hear(MarginQuoted(request=asked.request, total=None, reason="no answer"))
    assert desk.plan.margin_estimate == Decimal(26_000)
    desk.hear(MarginQuoted(request=asked.request, total=Decimal(48_000)))
    assert (desk.plan.margin_estimate, desk.plan.is_active) == (Decimal(96_000), True)


def test_a_plan_beyond_the_capital_by_the_brokers_word_is_dropped(runtime) -> None:
    desk = Desk(runtime, at(10, 0))
    desk.ready()
    desk.answer()
    (asked,) = desk.context.told_to("account_sync.alpha", QuoteMargin)
    # 85 % of ten lakh is 850,000.
    desk.hear(MarginQuoted(request=asked.request, total=Decimal(850_001)))
    assert (desk.plan.is_active, desk.plan.ended) == (False, "PLAN_MARGIN")
    desk.hear(MarginQuoted(request=asked.request, total=Decimal(1)))
    assert desk.plan.is_active is False
