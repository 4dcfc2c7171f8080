"""The day's plans: what is chosen, when, how strong, until when, and what may follow."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from domain.clock import EXCHANGE_ZONE, epoch_ns
from domain.instruments import Kind
from domain.intents import DailyPlan, Refusal, ResolvedLeg, ResolvedStructure, StrategyType
from domain.readings import (
    MarketContext,
    PcrBias,
    Phase,
    Regime,
    UnderlyingContext,
    VixFlag,
    VixRegime,
)
from domain.signals.plans import (
    PlanRules,
    PlanView,
    beyond_margin,
    choose_strategy,
    end_of,
    make_plan,
    plan_row,
    plan_window,
    reentry_hold,
    strength_of,
    with_contracts,
)

S, P, B, V = StrategyType, Phase, PcrBias, VixRegime
DAY = date(2026, 11, 20)
RULES = PlanRules()


def at(hour: int, minute: int) -> int:
    return epoch_ns(datetime.combine(DAY, time(hour, minute), EXCHANGE_ZONE))


def nifty(price: float = 25_000.0, **changes: Any) -> UnderlyingContext:
    return replace(UnderlyingContext("NIFTY", price), **changes)


def context(vix: float = 15.0, band: VixRegime = V.NORMAL, now: int = 0, **row: Any) -> Any:
    return MarketContext(vix, band, (nifty(**row),), now or at(10, 0))


def regime(phase: Phase = P.CONGESTION, now: int = 0, **changes: Any) -> Regime:
    return Regime(version=1, phase=phase, vix=15.0, vix_flags=(), as_of_ns=now or at(10, 0),
                  **changes)  # fmt: skip


def view(now: int = 0, **changes: Any) -> PlanView:
    now = now or at(10, 0)
    made = PlanView(context(now=now), regime(now=now), now, DAY, at(9, 45), at(14, 0))
    return replace(made, **changes)


def plan(**changes: Any) -> DailyPlan:
    found = make_plan("NIFTY", view(), RULES, number=1)
    assert isinstance(found, DailyPlan)
    return replace(found, **changes)


# (put-call bias, phase) -> what is sold in a NORMAL or ELEVATED VIX, all of the table.
CHOICES = {
    (B.BULLISH, P.BULLISH): S.BULL_PUT_SPREAD,
    (B.BULLISH, P.CONGESTION): S.BULL_PUT_SPREAD,
    (B.BULLISH, P.BEARISH): S.BEAR_CALL_SPREAD,
    (B.BEARISH, P.BULLISH): S.BULL_PUT_SPREAD,
    (B.BEARISH, P.CONGESTION): S.BEAR_CALL_SPREAD,
    (B.BEARISH, P.BEARISH): S.BEAR_CALL_SPREAD,
    (B.NEUTRAL, P.BULLISH): S.BULL_PUT_SPREAD,
    (B.NEUTRAL, P.CONGESTION): S.IRON_CONDOR,
    (B.NEUTRAL, P.BEARISH): S.BEAR_CALL_SPREAD,
}


@pytest.mark.parametrize(("pair", "strategy"), CHOICES.items())
def test_the_bias_of_puts_and_calls_goes_before_the_phase_unless_they_contradict(
    pair: tuple[PcrBias, Phase], strategy: StrategyType
) -> None:
    for band in (V.NORMAL, V.ELEVATED):
        assert choose_strategy(band, *pair)[0] is strategy
    assert choose_strategy(V.HIGH, *pair)[0] is S.IRON_CONDOR


def test_every_choice_is_in_the_table() -> None:
    phases = [one for one in P if one is not P.BLOWOFF]
    assert set(CHOICES) == set(itertools.product(B, phases))


@pytest.mark.parametrize(
    ("band", "deltas"),
    [(V.NORMAL, (0.25, 0.10)), (V.ELEVATED, (0.25, 0.12)), (V.HIGH, (0.20, 0.08))],
)
def test_deltas_go_by_the_band_and_no_short_comes_closer_than_a_quarter(
    band: VixRegime, deltas: tuple[float, float]
) -> None:
    found = make_plan("NIFTY", view(context=context(band=band)), RULES, number=1)
    assert isinstance(found, DailyPlan)
    assert (found.short_delta, found.wing_delta) == deltas


def test_an_operator_may_take_the_tables_own_delta_in_an_elevated_vix() -> None:
    rules = replace(RULES, short_delta_max=0.30)
    found = make_plan("NIFTY", view(context=context(band=V.ELEVATED)), rules, number=1)
    assert isinstance(found, DailyPlan)
    assert found.short_delta == 0.30


def test_legs_are_wanted_by_delta_and_hedges_stand_first() -> None:
    legs = plan().legs
    assert [(leg.option_type, leg.direction, leg.delta_target) for leg in legs] == [
        (Kind.PUT, "BUY", 0.10), (Kind.PUT, "SELL", 0.25),
        (Kind.CALL, "BUY", 0.10), (Kind.CALL, "SELL", 0.25),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"now_ns": at(9, 44)}, "PLAN_TOO_EARLY"),
        ({"now_ns": at(14, 0)}, "PLAN_TOO_LATE"),
        ({"regime": Regime()}, "REGIME_UNKNOWN"),
        ({"regime": regime(now=at(9, 0))}, "STALE_REGIME"),
        ({"context": None}, "CONTEXT_UNKNOWN"),
        ({"context": context(now=at(9, 54))}, "CONTEXT_STALE"),
        ({"context": context(0.0, V.UNKNOWN)}, "VIX_UNKNOWN"),
        ({"regime": replace(regime(), vix_flags=(VixFlag.UNKNOWN,))}, "VIX_UNKNOWN"),
        ({"context": context(11.0, V.TOO_LOW)}, "PREMIUMS_TOO_LOW"),
        ({"context": context(40.0, V.EXTREME)}, "VIX_EXTREME"),
        ({"regime": regime(P.BLOWOFF)}, "BLOWOFF"),
    ],
)
def test_no_plan_is_made_and_its_reason_is_told(changes: dict[str, Any], code: str) -> None:
    found = make_plan("NIFTY", view(**changes), RULES, number=1)
    assert isinstance(found, Refusal)
    assert found.code == code
    assert found.text.startswith("NIFTY: ")


def test_the_window_is_half_an_hour_after_the_open_to_an_hour_before_the_intraday_exit() -> None:
    usual = {
        "opens_ns": at(9, 15), "intraday_exit_ns": at(15, 0), "closes_ns": at(15, 40),
        "always_open": False,
    }  # fmt: skip
    assert plan_window(RULES, **usual) == (at(9, 45), at(14, 0))
    narrowed = usual | {"opens_ns": at(10, 0), "intraday_exit_ns": at(13, 0)}
    assert plan_window(RULES, **narrowed) == (at(10, 30), at(12, 0))
    own = PlanRules(after_open_s=0, before_exit_s=0)
    assert plan_window(own, **usual) == (at(9, 15), at(15, 0))
    # A session that never closes has its exit a day after its end.
    night = {"opens_ns": at(0, 0), "intraday_exit_ns": at(23, 0) + 1, "closes_ns": at(23, 0)}
    assert plan_window(RULES, **night, always_open=True) == (at(0, 0), at(23, 0))


@pytest.mark.parametrize(
    ("put_wall", "call_wall", "strength"),
    [
        # VIX 20, congestion, fresh: 50 + 10 + 10 + 5 = 75, and the walls.
        (24_000.0, 25_875.0, 83.0),  # 4 % below, 3.5 % above: + 8
        (24_000.0, 25_700.0, 78.0),  # 2.8 % above is near: + 3
        (math.nan, 25_875.0, 78.0),
        (math.nan, math.nan, 75.0),
    ],
)
def test_strength_is_that_of_the_worked_example(
    put_wall: float, call_wall: float, strength: float
) -> None:
    row = nifty(25_000.0, put_wall=put_wall, call_wall=call_wall)
    assert strength_of(20.0, P.CONGESTION, row, 0) == strength


def test_a_second_entry_in_a_trend_at_a_low_vix_has_only_the_base() -> None:
    assert strength_of(15.0, P.BULLISH, nifty(), 1) == 50.0
    assert strength_of(17.99, P.BULLISH, nifty(), 0) == 55.0


def structure(width: float = 200.0, lot_size: int = 65) -> ResolvedStructure:
    leg = ResolvedLeg(
        1, "NFO", "NIFTY24NOV2624800PE", Kind.PUT, "BUY", Decimal(24_800), date(2026, 11, 24), 1,
        lot_size, Decimal("0.05"), 1_800, 20.0, 19.0, 21.0, 0.14, -0.1,
    )  # fmt: skip
    return ResolvedStructure("NIFTY", 25_000.0, (leg,), 40.0, 38.0, width, 0.0, 4.0, 1)


def test_contracts_give_the_expiry_and_the_margin_of_all_lots() -> None:
    found = with_contracts(plan(lots=2), structure())
    assert found.expiry == date(2026, 11, 24)
    assert found.margin_estimate == Decimal(200 * 65 * 2)


def test_the_weakest_plans_are_dropped_until_the_rest_fit_the_margin() -> None:
    plans = [
        plan(instrument=name, strength=strength, margin_estimate=Decimal(margin))
        for name, strength, margin in
        (("A", 75.0, 40_000), ("B", 60.0, 30_000), ("C", 60.0, 30_000))
    ]  # fmt: skip
    inactive = plan(instrument="D", margin_estimate=Decimal(900_000), is_active=False)
    # 100,000 of 110,000 is 91 %; without B 70,000 is 64 %.
    assert beyond_margin([*plans, inactive], Decimal(110_000), RULES) == (plans[1],)
    assert beyond_margin(plans, Decimal(117_648), RULES) == ()
    assert beyond_margin(plans, Decimal(40_000), RULES) == (plans[1], plans[2], plans[0])


@pytest.mark.parametrize(
    ("strategy", "phase", "code"),
    [
        (S.BULL_PUT_SPREAD, P.BEARISH, "PLAN_CONTRADICTED"),
        (S.BULL_PUT_SPREAD, P.CONGESTION, ""),
        (S.BEAR_CALL_SPREAD, P.BULLISH, "PLAN_CONTRADICTED"),
        (S.BEAR_CALL_SPREAD, P.BEARISH, ""),
        (S.IRON_CONDOR, P.BULLISH, "PLAN_CONTRADICTED"),
        (S.IRON_CONDOR, P.BEARISH, "PLAN_CONTRADICTED"),
        (S.IRON_CONDOR, P.CONGESTION, ""),
        (S.IRON_CONDOR, P.BLOWOFF, "BLOWOFF"),
        (S.BULL_PUT_SPREAD, P.BLOWOFF, "BLOWOFF"),
    ],
)
def test_a_plan_ends_when_the_market_turns_against_it(
    strategy: StrategyType, phase: Phase, code: str
) -> None:
    found = end_of(plan(strategy=strategy), regime(phase), at(10, 1))
    assert (found.code if found else "") == code


def test_a_condor_of_a_high_vix_outlives_a_change_of_phase() -> None:
    assert end_of(plan(vix_regime=V.HIGH), regime(P.BULLISH), at(10, 1)) is None


def test_a_plan_ends_at_its_hour() -> None:
    assert end_of(plan(), regime(), at(13, 59)) is None
    found = end_of(plan(), regime(), at(14, 0))
    assert found == Refusal("PLAN_EXPIRED", "NIFTY: the plan was valid until 14:00")


@pytest.mark.parametrize(
    ("net", "count", "now", "band", "is_halted", "code"),
    [
        (500, 0, at(13, 0), V.NORMAL, False, ""),
        (500, 1, at(13, 0), V.NORMAL, False, ""),
        (0, 0, at(13, 0), V.NORMAL, False, "REENTRY_AFTER_LOSS"),
        (-5, 0, at(13, 0), V.NORMAL, False, "REENTRY_AFTER_LOSS"),
        (500, 2, at(13, 0), V.NORMAL, False, "REENTRY_LIMIT"),
        (500, 0, at(13, 0) + 1, V.NORMAL, False, "REENTRY_TOO_LATE"),
        (500, 0, at(13, 0), V.ELEVATED, False, "REENTRY_VIX_CHANGED"),
        (500, 0, at(13, 0), V.NORMAL, True, "REENTRY_HALTED"),
    ],
)
def test_a_second_entry_needs_a_profit_time_the_same_vix_and_no_breaker(
    net: int, count: int, now: int, band: VixRegime, is_halted: bool, code: str
) -> None:
    found = reentry_hold(
        plan(reentry_count=count),
        Decimal(net),
        context=context(band=band),
        now_ns=now,
        is_halted=is_halted,
        rules=RULES,
    )
    assert (found.code if found else "") == code


def test_without_a_context_nothing_is_entered_again() -> None:
    found = reentry_hold(
        plan(), Decimal(1), context=None, now_ns=at(10, 0), is_halted=False, rules=RULES
    )
    assert found is not None
    assert found.code == "REENTRY_VIX_CHANGED"


def test_the_page_names_a_plan_as_the_specification_does() -> None:
    row = plan_row(with_contracts(plan(), structure()))
    assert row["date"] == "2026-11-20"
    assert row["strategy_type"] == "IRON_CONDOR"
    assert row["expiry_date"] == "24NOV26"
    assert row["valid_until_hhmm"] == "14:00"
    assert row["is_active"] is True
    assert plan_row(plan())["expiry_date"] == ""
