"""Loss per unit: tomic.md 7.3."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.intents import Refusal
from domain.intents import StrategyType as S
from domain.risk.loss import LossEstimate, exposure_delta, loss_per_unit
from tests.kit.risk_makers import (
    a_condor,
    a_put_spread,
    a_resolved_leg,
    a_signal,
    a_strangle,
    a_structure,
)


def loss(strategy, structure, *, margin_per_unit=0.0, sigma=0.16, **signal_fields):
    signal = a_signal(strategy, (), **signal_fields)
    found = loss_per_unit(signal, structure, sigma=sigma, margin_per_unit=margin_per_unit)
    return found.per_unit if isinstance(found, LossEstimate) else found.code


def test_a_vertical_loses_its_width_less_its_credit():
    assert loss(S.BULL_PUT_SPREAD, a_put_spread()) == pytest.approx(130)


def test_a_condor_loses_one_side_less_both_credits():
    assert loss(S.IRON_CONDOR, a_condor()) == pytest.approx(65)


def test_a_credit_too_good_to_be_true_is_floored_at_a_quarter_of_the_width():
    assert loss(S.BULL_PUT_SPREAD, a_put_spread(short=240.0)) == pytest.approx(50)


def test_the_credit_counts_at_prices_that_can_be_traded():
    structure = a_structure(
        a_resolved_leg("BUY", "PE", 23_600, 50.0, bid=49.0, ask=51.0),
        a_resolved_leg("SELL", "PE", 23_800, 120.0, bid=119.0, ask=121.0),
    )
    assert loss(S.BULL_PUT_SPREAD, structure) == pytest.approx(200 - 68)


def test_the_larger_word_of_the_signal_stands():
    assert loss(S.BULL_PUT_SPREAD, a_put_spread(), max_loss_per_unit=150.0) == 150.0
    assert loss(S.BULL_PUT_SPREAD, a_put_spread(), max_loss_per_unit=10.0) == pytest.approx(130)


def test_naked_premium_takes_the_worst_of_credit_move_and_margin():
    # Three credits of 230 are 690; three sigmas of 16 % a year on 24,000 are 725.7, by delta 0.25:
    # 181.4.
    assert loss(S.SHORT_STRANGLE, a_strangle()) == pytest.approx(690)
    assert loss(S.SHORT_STRANGLE, a_strangle(), margin_per_unit=3_000.0) == pytest.approx(1_500)
    # 4 a unit of credit is dwarfed by the move: 3 x 0.80 / sqrt(252) x 24000 x 0.25 = 907.1
    cheap = a_structure(a_resolved_leg("SELL", "PE", 23_800, 4.0, -0.25), width=0.0)
    assert loss(S.SHORT_STRANGLE, cheap, sigma=0.80) == pytest.approx(907.1, abs=0.1)


def long_call():
    return a_structure(a_resolved_leg("BUY", "CE", 22_000, 2_000.0, 0.9), width=0.0)


def test_a_long_option_loses_its_premium_or_its_stop():
    assert loss(S.DITM_CALL, long_call()) == pytest.approx(2_000)
    assert loss(S.DITM_CALL, long_call(), entry_price=2_000.0, stop_price=1_500.0) == 500
    assert loss(S.DITM_CALL, long_call(), entry_price=9_000.0, stop_price=1_500.0) == 2_000


def test_a_stop_on_the_underlying_goes_by_delta_and_never_above_the_premium():
    fields = {"price_basis": "UNDERLYING", "entry_price": 24_000.0}
    assert loss(S.DITM_CALL, long_call(), stop_price=23_800.0, **fields) == pytest.approx(180)
    assert loss(S.DITM_CALL, long_call(), stop_price=20_000.0, **fields) == pytest.approx(2_000)


def test_a_market_beyond_the_planned_entry_is_further_from_the_stop():
    # Planned at 23,900 with the stop at 23,800, but bought with NIFTY at 24,000: 200 x 0.9.
    fields = {"price_basis": "UNDERLYING", "entry_price": 23_900.0, "stop_price": 23_800.0}
    assert loss(S.DITM_CALL, long_call(), **fields) == pytest.approx(180)


def test_a_calendar_loses_its_debit():
    calendar = a_structure(
        a_resolved_leg("SELL", "CE", 24_000, 200.0), a_resolved_leg("BUY", "CE", 24_000, 290.0),
        width=0.0,
    )  # fmt: skip
    assert loss(S.CALENDAR_DIAGONAL, calendar) == pytest.approx(90)


def test_what_cannot_be_computed_is_refused():
    unpriced = a_structure(a_resolved_leg("BUY", "CE", 22_000, float("nan")), width=0.0)
    assert loss(S.DITM_CALL, unpriced) == "NO_LOSS_ESTIMATE"
    assert isinstance(
        loss_per_unit(a_signal(S.DITM_CALL, ()), unpriced, sigma=0.1, margin_per_unit=0.0), Refusal
    )


def test_delta_is_the_largest_of_net_and_shorts_or_the_default():
    assert exposure_delta(S.IRON_CONDOR, a_condor()) == pytest.approx(0.25)
    blind = replace(a_condor(), net_delta=float("nan"))
    assert exposure_delta(S.IRON_CONDOR, blind) == 0.30
    assert exposure_delta(S.DITM_CALL, replace(long_call(), net_delta=float("nan"))) == 0.90
