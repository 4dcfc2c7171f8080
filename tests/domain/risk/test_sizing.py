"""The eight-step chain with the worked numbers of tomic.md 7.6."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.intents import StrategyType as S
from domain.readings import StrategyOdds
from domain.risk.sizing import (
    SizingInputs,
    breakeven_odds,
    capital_after_stops,
    check_stops,
    highest_correlation,
    plan_ceiling,
    sector_of,
    size_position,
)
from tests.kit.risk_makers import a_condor, a_put_spread, a_resolved_leg, a_strangle, a_structure

# Capital ten lakh, loss 50 a unit, p 0.55, R 2; spot so low that the volatility target does not
# bind.
WORKED = SizingInputs(
    strategy=S.IRON_CONDOR,
    capital=1_000_000.0,
    spot=100.0,
    sigma=0.25,
    delta=0.30,
    loss_per_unit=50.0,
    win_rate=0.55,
    reward_risk=2.0,
    vix=16.0,
    correlation=0.0,
    margin_per_unit=100.0,
    sector_margin=0.0,
    free=1_000_000.0,
    used=0.0,
    positions=0,
    lot_size=65,
)


def outputs(**changes):
    return [step.output for step in size_position(replace(WORKED, **changes)).steps]


def refusal(**changes):
    sizing = size_position(replace(WORKED, **changes))
    assert sizing.units == 0
    return sizing.refusal.code


def test_the_worked_example_ends_at_two_lots():
    sizing = size_position(replace(WORKED, vix=35.0, correlation=0.8))
    # 0.2 x 10 lakh / (0.25 x 100 x 0.30) = 26,666.7; half Kelly 0.1625 x 10 lakh / 50 = 3,250;
    # 2 % of 10 lakh / 50 = 400; VIX 35 halves; correlation 0.8 takes 0.7.
    assert [step.output for step in sizing.steps] == pytest.approx(
        [26_666.67, 3_250, 400, 200, 140, 140, 140, 140], abs=0.01
    )
    assert (sizing.units, sizing.lots) == (130, 2)


def test_another_lot_size_rounds_differently():
    sizing = size_position(replace(WORKED, vix=35.0, correlation=0.8, lot_size=50))
    assert (sizing.units, sizing.lots) == (100, 2)


def test_each_step_keeps_what_came_in_what_went_out_and_why():
    steps = size_position(WORKED).steps
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [step.name for step in steps] == [
        "volatility_target", "half_kelly", "two_pct_rule", "vix_overlay", "idm", "sector_heat",
        "position_cap", "margin_reserve",
    ]  # fmt: skip
    assert steps[0].input is None
    assert [step.input for step in steps[1:]] == [step.output for step in steps[:-1]]
    assert all(step.reason for step in steps)
    assert "0.1625" in steps[1].reason


@pytest.mark.parametrize(
    ("changes", "expected", "steps"),
    [
        ({"sigma": 0.0}, "VOLATILITY_UNKNOWN", 1),
        ({"spot": math.nan}, "VOLATILITY_UNKNOWN", 1),
        ({"reward_risk": 0.0}, "KELLY_NO_EDGE", 2),
        ({"win_rate": 0.30}, "KELLY_NO_EDGE", 2),
        ({"sector_margin": 200_000.0}, "SECTOR_HEAT", 6),
        ({"positions": 10}, "POSITION_CAP", 7),
        ({"free": 250_000.0, "used": 750_000.0}, "MARGIN_RESERVE", 8),
        ({"free": 0.0, "used": 0.0}, "MARGIN_UNKNOWN", 6),
        ({"lot_size": 500}, "BELOW_ONE_LOT", 8),
    ],
)
def test_the_chain_stops_at_the_first_zero(changes, expected, steps):
    assert refusal(**changes) == expected
    assert len(size_position(replace(WORKED, **changes)).steps) == steps


def test_limits_are_strict_where_the_rule_says_so():
    assert outputs(vix=30.0)[3] == 400
    assert outputs(correlation=0.7)[4] == 400
    assert not refusal_or_none(positions=9)
    # 6 lots of 65 at 100 are 39,000 of ten lakh: 161,000 beside it make exactly 20 %.
    assert not refusal_or_none(sector_margin=161_000.0)
    assert refusal_or_none(sector_margin=161_001.0) == "SECTOR_HEAT"
    # 289,000 free less 39,000 leaves exactly 25 % of ten lakh.
    assert not refusal_or_none(free=289_000.0, used=711_000.0)
    assert refusal_or_none(free=288_999.0, used=711_001.0) == "MARGIN_RESERVE"


def refusal_or_none(**changes):
    found = size_position(replace(WORKED, **changes)).refusal
    return found.code if found else ""


def test_a_size_below_one_lot_names_the_step_that_made_it_small():
    found = size_position(replace(WORKED, lot_size=500)).refusal
    assert found.text.startswith("400 units are less than one lot of 500 (two_pct_rule")


def test_lots_of_the_signal_are_a_ceiling_and_no_floor():
    assert size_position(replace(WORKED, lots_max=1)).units == 65
    assert size_position(replace(WORKED, lots_max=50)).lots == 6


def test_a_plan_is_halved_in_high_vix_but_keeps_one_lot():
    assert plan_ceiling(4, "morning_plan", 30.0) == 2
    assert plan_ceiling(1, "morning_plan", 30.0) == 1
    assert plan_ceiling(4, "morning_plan", 25.0) == 4
    assert plan_ceiling(4, "event_driven", 30.0) == 2
    assert plan_ceiling(4, "continuous", 30.0) == 4


def test_gamma_capture_spends_a_premium_budget_instead():
    gamma = {"strategy": S.GAMMA_CAPTURE, "premium": 10.0, "win_rate": 0.1, "lot_size": 65}
    # min(0.5 % of 10 lakh, 5,000) / 10 = 500 units = 7 lots of 65.
    assert size_position(replace(WORKED, **gamma)).units == 455
    assert outputs(**gamma)[:3] == [500, 500, 500]
    assert size_position(replace(WORKED, **gamma, max_abs_inr=2_000.0)).units == 195
    assert size_position(replace(WORKED, **gamma, max_capital_pct=0.1)).units == 65


@given(
    vix=st.floats(5, 80),
    correlation=st.floats(0, 1),
    loss=st.floats(0.5, 5_000),
    sigma=st.floats(0.01, 2),
    win_rate=st.floats(0.01, 0.99),
    reward=st.floats(0.05, 5),
    margin=st.floats(0, 20_000),
    sector=st.floats(0, 1_000_000),
    used=st.floats(0, 2_000_000),
    positions=st.integers(0, 15),
    lot=st.integers(1, 500),
)
def test_no_step_ever_adds(
    vix, correlation, loss, sigma, win_rate, reward, margin, sector, used, positions, lot
):
    sizing = size_position(
        replace(
            WORKED, spot=24_000.0, vix=vix, correlation=correlation, loss_per_unit=loss,
            sigma=sigma, win_rate=win_rate, reward_risk=reward, margin_per_unit=margin,
            sector_margin=sector, used=used, positions=positions, lot_size=lot,
        )
    )  # fmt: skip
    sizes = [step.output for step in sizing.steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizing.units == sizing.lots * lot
    assert sizing.units <= sizes[-1] * (1 + 1e-9)
    assert (sizing.refusal is None) == (sizing.units > 0)
    assert sizing.units * loss <= 0.02 * WORKED.capital * (1 + 1e-9)


def test_a_credit_structure_is_held_to_its_own_odds():
    assert breakeven_odds(S.BULL_PUT_SPREAD, a_put_spread(), 130.0) == pytest.approx(
        (0.75, 70 / 130)
    )
    assert breakeven_odds(S.IRON_CONDOR, a_condor(), 65.0) == pytest.approx((0.75, 2.0))


def test_the_word_of_a_signal_may_only_lower_the_odds():
    assert breakeven_odds(S.BULL_PUT_SPREAD, a_put_spread(), 130.0, (0.9, 5.0)) == pytest.approx(
        (0.75, 70 / 130)
    )
    assert breakeven_odds(S.BULL_PUT_SPREAD, a_put_spread(), 130.0, (0.6, 0.2)) == (0.6, 0.2)


def test_thirty_journaled_trades_take_the_place_of_the_structures_own_odds():
    odds = StrategyOdds("BULL_PUT_SPREAD", 30, 0.8, 0.4)
    spread = a_put_spread()
    assert breakeven_odds(S.BULL_PUT_SPREAD, spread, 130.0, journaled=odds) == (0.8, 0.4)
    lower = breakeven_odds(S.BULL_PUT_SPREAD, spread, 130.0, (0.7, 3.0), odds)
    assert lower == (0.7, 0.4)


def test_a_naked_structure_is_stopped_at_one_credit_lost():
    assert breakeven_odds(S.SHORT_STRANGLE, a_strangle(), 690.0) == pytest.approx((0.75, 1.0))


def test_a_long_option_has_the_default_odds():
    call = a_structure(a_resolved_leg("BUY", "CE", 22_000, 2_000.0, 0.9), width=0.0)
    assert breakeven_odds(S.DITM_CALL, call, 2_000.0) == (0.55, 2.0)


def test_nifty_and_banknifty_are_one_bet():
    assert highest_correlation("NIFTY", ["BANKNIFTY"], {}) > 0.7
    assert highest_correlation("NIFTY", [], {}) == 0
    assert highest_correlation("NIFTY", ["NIFTY"], {}) == 1
    measured = {frozenset(("TCS", "INFY")): 0.8, frozenset(("TCS", "ITC")): 0.1}
    assert highest_correlation("TCS", ["INFY", "ITC"], measured) == 0.8


def test_a_stock_is_a_sector_of_its_own():
    assert sector_of("SENSEX") == sector_of("NIFTY") == "INDEX"
    assert sector_of("TCS") == "TCS"


def test_stops_in_a_row_halve_and_then_end_the_day():
    assert capital_after_stops(1_000_000.0, 1) == 1_000_000.0
    assert capital_after_stops(1_000_000.0, 2) == 500_000.0
    assert check_stops(2) is None
    assert check_stops(3).code == "STOPS_IN_ROW"


def test_nonsense_is_no_size():
    with pytest.raises(ValueError, match="cannot be sized"):
        size_position(replace(WORKED, lot_size=0))
