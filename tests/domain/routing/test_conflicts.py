"""Who wins an underlying: the table of resolution, limits, priorities and heat."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.instruments import Kind
from domain.intents import Bias, Signal, StrategyType
from domain.positions import Position
from domain.readings import MarginState, Phase
from domain.routing.conflicts import (
    Exposure,
    RoutingLimits,
    diagnostics,
    exposure_of,
    priority_of,
    resolve,
    route,
)

P, S = Phase, StrategyType
LIMITS = RoutingLimits()


def signal(source, bias=Bias.NEUTRAL, strength=50.0, instrument="NIFTY", strategy=S.IRON_CONDOR):
    return Signal(
        correlation_id=f"{source}:{instrument}:{strategy}",
        source=source,
        instrument=instrument,
        strategy=strategy,
        direction="SELL",
        bias=bias,
        strength=strength,
    )


UP = signal("SNIPER", Bias.BULLISH, strategy=S.DITM_CALL)
DOWN = signal("SNIPER", Bias.BEARISH, strategy=S.DITM_PUT)
VOL = signal("VOLATILITY")
VOL_UP = signal("VOLATILITY", Bias.BULLISH, strategy=S.BULL_PUT_SPREAD)
VOL_DOWN = signal("VOLATILITY", Bias.BEARISH, strategy=S.BEAR_CALL_SPREAD)


@pytest.mark.parametrize(
    ("sniper", "vol", "phase", "action", "code", "winner"),
    [
        (None, None, P.BULLISH, "REJECT", "NO_SIGNAL", None),
        (UP, VOL, P.BLOWOFF, "DEFER", "BLOWOFF_DEFER", None),
        (UP, None, P.BEARISH, "REJECT", "BEARISH_BLOCKS_LONG", None),
        (UP, VOL, P.BEARISH, "ACCEPT", "ONLY_VOL", VOL),
        (DOWN, None, P.BEARISH, "ACCEPT", "ONLY_SNIPER", DOWN),
        (UP, None, P.CONGESTION, "DEFER", "CONGESTION_DEFERS_SNIPER", None),
        (None, VOL, P.CONGESTION, "ACCEPT", "ONLY_VOL", VOL),
        (UP, None, P.BULLISH, "ACCEPT", "ONLY_SNIPER", UP),
        (UP, VOL_UP, P.BULLISH, "ACCEPT", "SAME_BIAS", UP),
        (UP, VOL_UP, P.CONGESTION, "ACCEPT", "SAME_BIAS", VOL_UP),
        (DOWN, VOL_DOWN, P.BEARISH, "ACCEPT", "SAME_BIAS", VOL_DOWN),
        (UP, VOL, P.CONGESTION, "ACCEPT", "CONGESTION_VOL_LEADS", VOL),
        (UP, VOL_DOWN, P.BULLISH, "ACCEPT", "BULLISH_SNIPER_LEADS", UP),
        (DOWN, VOL, P.BEARISH, "ACCEPT", "BEARISH_VOL_LEADS", VOL),
    ],
)
def test_resolution_follows_the_table(sniper, vol, phase, action, code, winner):
    verdict = resolve(sniper, vol, phase)
    assert (verdict.action, verdict.code, verdict.winner) == (action, code, winner)
    assert verdict.reason


def test_what_is_compared_is_bias_and_not_the_side_of_the_order():
    # A bull put spread is SELL, a deep call BUY: both are bullish.
    assert replace(UP, direction="BUY").direction != VOL_UP.direction
    assert resolve(replace(UP, direction="BUY"), VOL_UP, P.BULLISH).code == "SAME_BIAS"


def test_equal_priority_goes_to_the_sniper():
    # Bullish: 80 + 0.2 x 0 = 80 = 60 + 0.2 x 100.
    sniper, vol = replace(UP, strength=0.0), replace(VOL_UP, strength=100.0)
    assert priority_of(sniper, P.BULLISH) == priority_of(vol, P.BULLISH) == 80.0
    assert resolve(sniper, vol, P.BULLISH).winner is sniper


@pytest.mark.parametrize(
    ("one", "phase", "expected"),
    [
        (UP, P.BULLISH, 90.0), (UP, P.CONGESTION, 10.0), (UP, P.BEARISH, 40.0),
        (UP, P.BLOWOFF, 20.0), (VOL, P.BULLISH, 70.0), (VOL, P.CONGESTION, 100.0),
        (VOL, P.BEARISH, 80.0), (VOL, P.BLOWOFF, 30.0), (signal("PLAN"), P.BULLISH, 10.0),
    ],
)  # fmt: skip
def test_priority_is_base_plus_a_fifth_of_the_score(one, phase, expected):
    assert priority_of(one, phase) == pytest.approx(expected)


NOW = 1_795_149_900_000_000_000  # 2026-11-20 10:15 IST


def run(signals, phase=P.CONGESTION, exposure=None, limits=LIMITS):
    return route(signals, phase, exposure=exposure or Exposure(), limits=limits, now_ns=NOW)


def test_volatility_index_is_never_traded():
    for name in ("INDIAVIX", "VIX", "vix"):
        routing = run([signal("VOLATILITY", instrument=name)])
        assert [row.code for row in routing.decisions] == ["CONTEXT_ONLY"]
        assert routing.accepted == ()


def test_best_of_each_agent_competes_and_the_others_are_told():
    weak = replace(VOL, strength=40.0, strategy=S.SHORT_STRANGLE)
    routing = run([weak, VOL])
    assert [one for one, _ in routing.accepted] == [VOL]
    assert [(one, why.code) for one, why in routing.set_aside] == [(weak, "OUTRANKED")]
    assert len(routing.decisions) == 1


def test_losers_of_a_deferred_underlying_hear_its_code():
    routing = run([VOL], P.BLOWOFF)
    assert [(one, why.code) for one, why in routing.set_aside] == [(VOL, "BLOWOFF_DEFER")]
    assert routing.decisions[0].action == "DEFER"


def test_position_cap_counts_what_this_cycle_already_took():
    names = ["AAA", "BBB", "CCC"]
    signals = [signal("VOLATILITY", instrument=name) for name in reversed(names)]
    routing = run(signals, exposure=Exposure(position_count=8))
    assert [row.instrument for row in routing.decisions] == names
    assert [row.code for row in routing.decisions] == ["ONLY_VOL", "ONLY_VOL", "POSITION_LIMIT"]
    assert "10 positions" in routing.decisions[2].reason


def test_hot_sector_is_rejected_at_exactly_the_limit():
    cool, hot = Exposure(1, {"INDEX": 0.1999}), Exposure(1, {"INDEX": 0.20})
    assert run([VOL], exposure=cool).decisions[0].action == "ACCEPT"
    assert run([VOL], exposure=hot).decisions[0].code == "SECTOR_HEAT"


def test_accepted_are_sorted_by_priority_then_name():
    signals = [
        signal("VOLATILITY", strength=10.0, instrument="AAA"),
        signal("VOLATILITY", strength=90.0, instrument="CCC"),
        signal("VOLATILITY", strength=90.0, instrument="BBB"),
    ]
    assert [one.instrument for one, _ in run(signals).accepted] == ["BBB", "CCC", "AAA"]


@settings(max_examples=60, deadline=None)
@given(st.permutations([UP, VOL, signal("VOLATILITY", instrument="BANKNIFTY"), VOL_DOWN]))
def test_outcome_does_not_depend_on_the_order_of_arrival(signals):
    routing = run(signals, P.BULLISH)
    again = run([VOL_DOWN, signal("VOLATILITY", instrument="BANKNIFTY"), VOL, UP], P.BULLISH)
    assert routing.decisions == again.decisions
    assert routing.accepted == again.accepted


def position(underlying, kind, direction, strike, quantity, price, strategy_id="s1"):
    return Position(
        symbol=f"{underlying}{strike}{kind}", exchange="NFO", product="NRML", direction=direction,
        quantity=quantity, average_price=Decimal(price), strategy_id=strategy_id, strategy_tag="t",
        strategy="IRON_CONDOR", leg_no=0, underlying=underlying, kind=kind, strike=Decimal(strike),
        expiry=None, entry_ns=0, broker="alpha",
    )  # fmt: skip


def margin(free, used):
    return MarginState("alpha", Decimal(1_000_000), Decimal(free), Decimal(used), 1)


def test_heat_shares_used_margin_by_notional_over_sectors():
    rows = [
        position("NIFTY", Kind.PUT, "SELL", 25_000, 60, 100),  # 1,500,000
        position("SENSEX", Kind.PUT, "SELL", 50_000, 10, 100, "s2"),  # 500,000, same sector
        position("RELIANCE", Kind.PUT, "SELL", 1_000, 500, 10, "s3"),  # 500,000
    ]
    limits = RoutingLimits(sectors={"RELIANCE": "ENERGY"})
    exposure = exposure_of(rows, margin(750_000, 250_000), limits)
    assert exposure.position_count == 3
    # used share 0.25; index 2,000,000 of 2,500,000
    assert exposure.sector_heat == pytest.approx({"INDEX": 0.20, "ENERGY": 0.05})


def test_legs_of_one_strategy_count_as_one_position_and_flat_rows_as_none():
    rows = [
        position("NIFTY", Kind.PUT, "SELL", 25_000, 65, 100),
        position("NIFTY", Kind.PUT, "BUY", 24_800, 65, 60),
        position("NIFTY", Kind.CALL, "SELL", 26_000, 0, 60, "closed"),
    ]
    assert exposure_of(rows, None, LIMITS) == Exposure(1)


def test_diagnostics_count_what_was_blocked_by_code():
    routing = run([VOL, signal("VOLATILITY", instrument="VIX")])
    found = diagnostics(routing.decisions, Exposure(2), LIMITS, route_count=4)
    assert found["blocking_reasons"] == {"CONTEXT_ONLY": 1}
    assert (found["route_count"], found["position_count"], found["max_positions"]) == (4, 2, 10)
    assert found["decisions"][0]["reason_code"] == "ONLY_VOL"
    assert found["sector_limit"] == 0.20
