"""The table of tomic.md 7.2."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.intents import StrategyType as S
from domain.risk.validation import check_signal, legs_fault, structure_fault
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import (
    CONDOR_LEGS,
    PUT_SPREAD_LEGS,
    STRANGLE_LEGS,
    a_condor,
    a_leg,
    a_put_spread,
    a_resolved_leg,
    a_signal,
    a_strangle,
    a_structure,
)

DITM = a_signal(S.DITM_CALL, ())


@pytest.mark.parametrize(
    ("signal", "code"),
    [
        (a_signal(instrument=""), "MISSING_INSTRUMENT"),
        (a_signal(S.SKIP, ()), "UNKNOWN_STRATEGY"),
        (a_signal(instrument="INDIAVIX"), "CONTEXT_ONLY"),
        (a_signal(instrument="VIX"), "CONTEXT_ONLY"),
        (a_signal(direction="BUY"), "DIRECTION"),
        (replace(DITM, direction="SELL"), "DIRECTION"),
        (a_signal(legs=()), "LEGS_REQUIRED"),
        (a_signal(S.GAMMA_CAPTURE, ()), "LEGS_REQUIRED"),
        (a_signal(legs=CONDOR_LEGS[:2]), "LEGS_INVALID"),
        (a_signal(valid_until_ns=START_NS - 1), "SIGNAL_EXPIRED"),
    ],
)
def test_a_signal_that_breaks_a_rule_is_refused_with_its_code(signal, code):
    refusal = check_signal(signal, START_NS)
    assert refusal is not None
    assert refusal.code == code


@pytest.mark.parametrize(
    "signal",
    [
        a_signal(),
        DITM,
        a_signal(S.BULL_PUT_SPREAD, PUT_SPREAD_LEGS),
        a_signal(S.SHORT_STRANGLE, STRANGLE_LEGS),
        a_signal(valid_until_ns=START_NS),
        a_signal(
            S.CALENDAR_DIAGONAL,
            (
                a_leg("SELL", "CE", offset="ATM", expiry_offset=0),
                a_leg("BUY", "CE", offset="ATM", expiry_offset=1),
            ),
        ),
        a_signal(
            S.RISK_REVERSAL,
            (
                a_leg("SELL", "PE", offset="OTM1"),
                a_leg("BUY", "CE", offset="OTM1"),
                a_leg("BUY", "PE", offset="OTM3"),
            ),
        ),
        a_signal(
            S.JADE_LIZARD,
            (
                a_leg("SELL", "PE", offset="OTM1"),
                a_leg("SELL", "CE", offset="OTM1"),
                a_leg("BUY", "CE", offset="OTM3"),
            ),
        ),
    ],
    ids=lambda signal: str(signal.strategy),
)
def test_a_whole_signal_passes(signal):
    assert check_signal(signal, START_NS) is None


@pytest.mark.parametrize(
    "collar",
    [[], [a_leg("BUY", "PE", offset="ATM")], [a_leg("BUY", "PE", offset="OTM3", expiry_offset=0)]],
    ids=["none", "closer to the money", "earlier"],
)
def test_a_risk_reversal_without_its_collar_is_no_signal_in_any_regime(collar):
    legs = (
        a_leg("SELL", "PE", offset="OTM1", expiry_offset=1),
        a_leg("BUY", "CE", offset="OTM1", expiry_offset=1),
        *collar,
    )
    refusal = check_signal(a_signal(S.RISK_REVERSAL, legs), START_NS)
    assert refusal is not None
    assert refusal.code == "LEGS_INVALID"


def spread(long, short):
    return legs_fault(S.BULL_PUT_SPREAD, (long, short))


def test_a_leg_is_named_by_exactly_one_way():
    both = a_leg("BUY", "PE", offset="OTM4", delta_target=0.1)
    assert "exactly one" in spread(both, PUT_SPREAD_LEGS[1])
    assert "exactly one" in spread(a_leg("BUY", "PE"), PUT_SPREAD_LEGS[1])


@pytest.mark.parametrize(
    "long",
    [
        a_leg("BUY", "PE", offset="ATM"),
        a_leg("BUY", "PE", offset="OTM1"),
        a_leg("BUY", "PE", offset="ITM2"),
        a_leg("BUY", "PE", offset="OTM4", expiry_offset=0),
    ],
    ids=["at the money", "the same strike", "in the money", "an earlier expiry"],
)
def test_a_long_that_does_not_cover_the_short_is_refused(long):
    short = a_leg("SELL", "PE", offset="OTM1", expiry_offset=1)
    assert "covers" in spread(long, short)


def test_a_long_of_fewer_units_does_not_cover():
    short = a_leg("SELL", "PE", offset="OTM1", ratio=2)
    assert "covers" in spread(PUT_SPREAD_LEGS[0], short)


def test_deltas_and_strikes_are_compared_by_how_far_out_they_are():
    near, far = a_leg("SELL", "PE", delta_target=0.25), a_leg("BUY", "PE", delta_target=0.10)
    assert spread(far, near) == ""
    closer = a_leg("BUY", "PE", delta_target=0.30)
    assert "covers" in spread(closer, near)
    short = a_leg("SELL", "PE", symbol="NIFTY29DEC2623800PE")
    assert spread(a_leg("BUY", "PE", symbol="NIFTY29DEC2623600PE"), short) == ""
    assert "covers" in spread(a_leg("BUY", "PE", symbol="NIFTY29DEC2624000PE"), short)


def test_the_resolved_contracts_are_judged_again():
    assert structure_fault(S.IRON_CONDOR, a_condor()) == ""
    assert structure_fault(S.BULL_PUT_SPREAD, a_put_spread()) == ""
    assert structure_fault(S.SHORT_STRANGLE, a_strangle()) == ""


def test_a_resolved_wing_on_the_wrong_side_is_refused():
    wrong = a_structure(
        a_resolved_leg("BUY", "PE", 24_000, 150.0), a_resolved_leg("SELL", "PE", 23_800, 120.0)
    )
    assert "not covered" in structure_fault(S.BULL_PUT_SPREAD, wrong)


def test_a_resolved_wing_that_expires_before_its_short_is_refused():
    early = a_structure(
        a_resolved_leg("BUY", "PE", 23_600, 50.0, expiry=date(2026, 12, 22)),
        a_resolved_leg("SELL", "PE", 23_800, 120.0),
    )
    assert "not covered" in structure_fault(S.BULL_PUT_SPREAD, early)


def test_a_calendar_needs_its_long_later():
    both = a_structure(
        a_resolved_leg("SELL", "CE", 24_000, 200.0), a_resolved_leg("BUY", "CE", 24_000, 200.0)
    )
    assert "not covered" in structure_fault(S.CALENDAR_DIAGONAL, both)


def test_half_a_condor_is_no_condor():
    half = a_structure(*a_condor().legs[:2])
    assert structure_fault(S.IRON_CONDOR, half)
