"""Structures into legs."""

import pytest

from domain.instruments import Kind
from domain.intents import STRATEGY_TRAITS, StrategyType
from domain.signals.legs import LegShape, structure_legs, wing_points_of

S = StrategyType
SHAPE = LegShape(short_delta=0.25, wing_points=200.0, ditm_delta=0.90)


def words(strategy, shape=SHAPE):
    """Each leg as side, type and how it is found."""
    rows = []
    for leg in structure_legs(strategy, shape):
        where = leg.offset or (
            f"d{leg.delta_target}" if leg.delta_target else f"w{leg.wing_points}"
        )
        rows.append(f"{leg.direction} {leg.option_type} {where}")
    return rows


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (S.BULL_PUT_SPREAD, ["BUY PE w200.0", "SELL PE d0.25"]),
        (S.BEAR_CALL_SPREAD, ["BUY CE w200.0", "SELL CE d0.25"]),
        (S.IRON_CONDOR, ["BUY PE w200.0", "SELL PE d0.25", "BUY CE w200.0", "SELL CE d0.25"]),
        (S.RISK_REVERSAL, ["BUY PE w200.0", "SELL PE d0.25", "BUY CE d0.25"]),
        (S.JADE_LIZARD, ["BUY CE w200.0", "SELL CE d0.25", "SELL PE d0.25"]),
        (S.SHORT_STRANGLE, ["SELL PE d0.25", "SELL CE d0.25"]),
        (S.SHORT_STRADDLE, ["SELL PE ATM", "SELL CE ATM"]),
        (S.CALENDAR_DIAGONAL, ["BUY CE ATM", "SELL CE ATM"]),
        (S.DITM_CALL, ["BUY CE d0.9"]),
        (S.DITM_PUT, ["BUY PE d0.9"]),
    ],
)
def test_legs_of_each_structure(strategy, expected):
    assert words(strategy) == expected


@pytest.mark.parametrize(
    "strategy", [s for s in S if s not in (S.SKIP, S.GAMMA_CAPTURE, S.TAIL_HEDGE)]
)
def test_every_sold_leg_of_a_structure_that_is_not_naked_has_its_cover(strategy):
    legs = structure_legs(strategy, SHAPE)
    assert len(legs) >= STRATEGY_TRAITS[strategy].legs_min
    if STRATEGY_TRAITS[strategy].naked:
        return
    for leg in legs:
        if leg.direction == "SELL":
            assert any(
                other.direction == "BUY" and other.option_type == leg.option_type for other in legs
            )


@pytest.mark.parametrize(
    "strategy", [s for s in S if s not in (S.SKIP, S.GAMMA_CAPTURE, S.TAIL_HEDGE)]
)
def test_every_leg_is_found_in_exactly_one_way(strategy):
    for leg in structure_legs(strategy, SHAPE):
        ways = (leg.symbol, leg.strike, leg.offset, leg.delta_target, leg.wing_points)
        assert sum(1 for way in ways if way) == 1


def test_calendar_buys_the_next_expiry_against_the_front_of_its_type():
    shape = LegShape(0.25, 200.0, 0.90, calendar_type=Kind.PUT)
    back, front = structure_legs(S.CALENDAR_DIAGONAL, shape)
    assert (back.direction, back.expiry_offset, back.option_type) == ("BUY", 1, Kind.PUT)
    assert (front.direction, front.expiry_offset, front.option_type) == ("SELL", 0, Kind.PUT)


def test_strategies_without_legs_of_ours_are_an_error():
    with pytest.raises(ValueError, match="SKIP"):
        structure_legs(S.SKIP, SHAPE)


def test_wings_of_the_table_else_one_percent_of_spot():
    table = {"NIFTY": 200}
    assert wing_points_of("NIFTY", 26_000.0, table) == 200.0
    assert wing_points_of("RELIANCE", 1_472.0, table) == 15.0
