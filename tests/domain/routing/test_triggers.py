"""When plans become signals, and which move of VIX makes them anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.clock import seconds
from domain.injection import ENTRY_MODES
from domain.instruments import Kind
from domain.intents import DailyPlan, Leg, StrategyType
from domain.readings import VixRegime
from domain.risk.validation import check_signal
from domain.routing.triggers import has_passed, plan_hold, plan_signals, vix_jump, with_vix
from domain.signals.legs import plan_legs

NOW = 1_795_149_900_000_000_000
MINUTE = seconds(60)
PLAN = DailyPlan(
    plan_id="NIFTY:2026-11-20:1", day=date(2026, 11, 20), instrument="NIFTY",
    strategy=StrategyType.BULL_PUT_SPREAD, entry_mode="morning_plan", vix_at_plan=15.0,
    vix_regime=VixRegime.NORMAL, regime_at_plan="CONGESTION", pcr_at_plan=1.4, short_delta=0.25,
    wing_delta=0.1, legs=(Leg(Kind.PUT, "BUY", delta_target=0.1),), lots=2, strength=68.0,
    rationale="many puts", made_ns=NOW, valid_until_ns=NOW + 60 * MINUTE,
    expiry=date(2026, 11, 24),
)  # fmt: skip


def trail_of(*minutes_and_vix: tuple[float, float]):
    trail = ()
    for minute, vix in minutes_and_vix:
        trail = with_vix(trail, NOW + round(minute * MINUTE), vix)
    return trail


@pytest.mark.parametrize(
    ("last", "word"),
    [
        (17.25, "rose 15%"),  # 15 x 1.15
        (17.24, ""),
        (12.75, "fell 15%"),  # 15 x 0.85
        (12.76, ""),
    ],
)
def test_a_jump_is_fifteen_per_cent_of_the_value_half_an_hour_ago(last: float, word: str) -> None:
    found = vix_jump(trail_of((0, 15.0), (15, 15.2), (30, last)))
    assert found.startswith(f"VIX {word}") if word else found == ""


def test_half_an_hour_must_be_known() -> None:
    assert vix_jump(trail_of((0, 15.0), (29.9, 20.0))) == ""
    assert vix_jump(()) == ""


def test_the_value_of_half_an_hour_ago_is_the_newest_that_old() -> None:
    # At minute 45 the value that counts is that of minute 10, not the 10.0 of minute 0.
    trail = trail_of((0, 10.0), (10, 15.0), (20, 15.0), (45, 16.0))
    assert trail[0] == (NOW + 10 * MINUTE, 15.0)
    assert vix_jump(trail) == ""


def test_an_unknown_vix_leaves_no_trail() -> None:
    assert trail_of((0, 0.0), (1, float("nan"))) == ()


@pytest.mark.parametrize(
    ("sent", "now", "code"),
    [
        (0, 0, ""),
        (1, 14, "PLAN_TRIED"),
        (1, 15.9, "PLAN_TRIED"),
        (1, 16, ""),
        (0, 60, "PLAN_EXPIRED"),
    ],
)
def test_a_plan_is_tried_once_and_every_quarter_of_an_hour(
    sent: float, now: float, code: str
) -> None:
    sent_ns = NOW + round(sent * MINUTE) if sent else 0
    found = plan_hold(PLAN, sent_ns, NOW + round(now * MINUTE))
    assert (found.code if found else "") == code


def test_a_signal_carries_its_plan_its_expiry_and_its_ceiling() -> None:
    (signal,) = plan_signals([PLAN], NOW, regime_version=7, valid_s=60)
    assert (signal.source, signal.strategy, signal.direction) == ("PLAN", PLAN.strategy, "SELL")
    assert (signal.expiry, signal.lots_max, signal.legs) == (PLAN.expiry, 2, PLAN.legs)
    assert (signal.dte_min, signal.dte_max, signal.product) == (0, 0, "")
    assert signal.extras["plan_id"] == PLAN.plan_id
    assert signal.valid_until_ns == NOW + seconds(60)
    assert signal.entry_mode in ENTRY_MODES
    late = plan_signals([PLAN], NOW + 59 * MINUTE, regime_version=7, valid_s=120)
    assert late[0].valid_until_ns == PLAN.valid_until_ns


def test_two_tries_of_a_plan_have_names_of_their_own() -> None:
    again = replace(PLAN, plan_id=PLAN.plan_id)
    names = {
        one.correlation_id
        for at in (NOW, NOW + 1)
        for one in plan_signals([again], at, regime_version=1, valid_s=60)
    }
    assert len(names) == 2


def test_a_hold_of_the_loop_passes_and_a_refusal_of_the_router_does_not() -> None:
    assert all(has_passed(code) for code in ("START_GRACE", "MODE_HALTED", "OPENING_BLOCK"))
    assert not any(has_passed(code) for code in ("OUTRANKED", "POSITION_OPEN", "SECTOR_HEAT"))


@pytest.mark.parametrize("strategy", ["IRON_CONDOR", "BULL_PUT_SPREAD", "BEAR_CALL_SPREAD"])
def test_the_signal_of_every_plan_passes_risks_first_look(strategy: str) -> None:
    kind = StrategyType(strategy)
    plan = replace(PLAN, strategy=kind, legs=plan_legs(kind, 0.25, 0.10))
    (signal,) = plan_signals([plan], NOW, regime_version=1, valid_s=60)
    assert check_signal(signal, NOW) is None
