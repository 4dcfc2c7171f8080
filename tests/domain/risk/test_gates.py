"""Regime, position, margin and credit gates: tomic.md 7.4-7.7, 15.3."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.charges import rates_on
from domain.gates import ActiveStrategy, NakedPolicy, check_positions, check_regime
from domain.intents import Bias
from domain.intents import StrategyType as S
from domain.readings import Phase, VixFlag
from domain.risk.gates import (
    check_credit,
    check_delivery,
    check_margin_known,
    check_prices,
    check_reconciled,
)
from tests.kit.market_makers import CALENDAR
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import (
    a_condor,
    a_margin,
    a_put_spread,
    a_regime,
    a_resolved_leg,
    a_signal,
    a_structure,
)

OPEN = NakedPolicy(True, True, True, True, live=False, acknowledged=False)
RATES = rates_on(date(2026, 11, 20))
SELLERS = (S.BULL_PUT_SPREAD, S.BEAR_CALL_SPREAD, S.IRON_CONDOR, S.JADE_LIZARD, S.SHORT_STRANGLE,
           S.SHORT_STRADDLE, S.RISK_REVERSAL)  # fmt: skip


def code(strategy, regime, policy=OPEN, now_ns=START_NS):
    refusal = check_regime(a_signal(strategy), regime, now_ns, policy)
    return refusal.code if refusal else ""


def test_no_regime_and_an_old_regime_block_everything():
    assert code(S.IRON_CONDOR, a_regime(version=0)) == "REGIME_UNKNOWN"
    at_limit = START_NS + 1_800 * 10**9
    assert code(S.IRON_CONDOR, a_regime(), now_ns=at_limit) == ""
    assert code(S.DITM_CALL, a_regime(Phase.BULLISH), now_ns=at_limit + 1) == "STALE_REGIME"


@pytest.mark.parametrize("strategy", SELLERS)
@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (VixFlag.HALT_SHORT_VEGA, "HALT_SHORT_VEGA"),
        (VixFlag.PREMIUMS_TOO_LOW, "PREMIUMS_TOO_LOW"),
        (VixFlag.UNKNOWN, "VIX_UNKNOWN"),
    ],
)
def test_a_vix_flag_blocks_every_seller_of_premium(strategy, flag, expected):
    assert code(strategy, a_regime(Phase.CONGESTION, flag)) == expected


@pytest.mark.parametrize("strategy", [S.DITM_CALL, S.CALENDAR_DIAGONAL])
def test_a_vix_flag_does_not_block_who_sells_no_premium(strategy):
    assert code(strategy, a_regime(Phase.BULLISH, VixFlag.UNKNOWN)) == ""


@pytest.mark.parametrize(
    ("phase", "strategy", "expected"),
    [
        (Phase.BLOWOFF, S.IRON_CONDOR, "BLOWOFF"),
        (Phase.BLOWOFF, S.DITM_CALL, "BLOWOFF"),
        (Phase.BEARISH, S.DITM_CALL, "BEARISH_BLOCKS"),
        (Phase.BEARISH, S.BULL_PUT_SPREAD, "BEARISH_BLOCKS"),
        (Phase.BEARISH, S.RISK_REVERSAL, "BEARISH_BLOCKS"),
        (Phase.BEARISH, S.BEAR_CALL_SPREAD, ""),
        (Phase.BULLISH, S.DITM_PUT, "BULLISH_BLOCKS"),
        (Phase.BULLISH, S.BEAR_CALL_SPREAD, "BULLISH_BLOCKS"),
        (Phase.BULLISH, S.BULL_PUT_SPREAD, ""),
        (Phase.CONGESTION, S.DITM_CALL, "CONGESTION_BLOCKS"),
        (Phase.CONGESTION, S.DITM_PUT, "CONGESTION_BLOCKS"),
        (Phase.CONGESTION, S.IRON_CONDOR, ""),
        (Phase.CONGESTION, S.GAMMA_CAPTURE, ""),
        (Phase.BULLISH, S.JADE_LIZARD, "NAKED_NEEDS_CONGESTION"),
        (Phase.CONGESTION, S.JADE_LIZARD, ""),
    ],
)
def test_the_phase_decides_who_may_enter(phase, strategy, expected):
    assert code(strategy, a_regime(phase)) == expected


def test_the_first_rule_of_the_order_speaks():
    worst = a_regime(Phase.BLOWOFF, VixFlag.PREMIUMS_TOO_LOW, VixFlag.HALT_SHORT_VEGA)
    assert code(S.IRON_CONDOR, worst) == "HALT_SHORT_VEGA"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"allowed": False}, "NAKED_NOT_ALLOWED"),
        ({"short_strangle": False}, "NAKED_NOT_ENABLED"),
        ({"live": True}, "NAKED_NOT_ACKNOWLEDGED"),
        ({"live": True, "acknowledged": True}, ""),
    ],
)
def test_naked_premium_needs_every_one_of_its_switches(change, expected):
    assert code(S.SHORT_STRANGLE, a_regime(), replace(OPEN, **change)) == expected


def test_defined_risk_only_blocks_naked_premium():
    high = a_regime(Phase.CONGESTION, VixFlag.DEFINED_RISK_ONLY)
    assert code(S.SHORT_STRANGLE, high) == "DEFINED_RISK_ONLY"
    assert code(S.IRON_CONDOR, high) == ""
    assert code(S.RISK_REVERSAL, high) == ""


def active(strategy=S.IRON_CONDOR, direction="SELL", bias=Bias.NEUTRAL, underlying="NIFTY", **more):
    return ActiveStrategy("id", underlying, strategy, direction, bias, **more)


def position_code(signal, rows, pyramiding=False):
    refusal = check_positions(signal, rows, pyramiding)
    return refusal.code if refusal else ""


def test_one_structure_of_a_side_is_enough_for_an_underlying():
    assert position_code(a_signal(), []) == ""
    assert position_code(a_signal(), [active()]) == "STRATEGY_ACTIVE"
    assert position_code(a_signal(), [active(S.BULL_PUT_SPREAD, bias=Bias.BULLISH)]) == (
        "UNDERLYING_LIMIT"
    )
    assert position_code(a_signal(), [active(underlying="BANKNIFTY")]) == ""


def test_an_entry_on_its_way_counts_as_a_position():
    refusal = check_positions(a_signal(), [active(pending=True)], allow_pyramiding=False)
    assert refusal is not None
    assert "on its way" in refusal.text


def test_the_same_view_on_the_other_side_needs_pyramiding():
    long_call = a_signal(S.DITM_CALL, ())
    put_spread = active(S.BULL_PUT_SPREAD, bias=Bias.BULLISH)
    assert position_code(long_call, [put_spread]) == "SAME_BIAS_OPEN"
    assert position_code(long_call, [put_spread], pyramiding=True) == ""
    call_spread = active(S.BEAR_CALL_SPREAD, bias=Bias.BEARISH)
    assert position_code(long_call, [call_spread]) == ""


def test_a_symbol_with_an_unexplained_difference_takes_no_entry():
    symbol = "NFO:" + a_condor().legs[0].symbol
    assert check_reconciled(a_condor(), [symbol]).code == "RECONCILE_OPEN"
    assert check_reconciled(a_condor(), ["NFO:OTHER"]) is None


@pytest.mark.parametrize(
    ("leg", "fields", "refused"),
    [
        (0, {"bid": 0.0}, False),
        (0, {"ask": 0.0}, True),
        (1, {"bid": 0.0}, True),
        (1, {"ask": 0.0}, True),
        (1, {}, False),
    ],
)
def test_nothing_is_entered_that_could_not_be_left(leg, fields, refused):
    legs = list(a_condor().legs)
    legs[leg] = replace(legs[leg], **fields)
    refusal = check_prices(a_structure(*legs))
    assert (refusal is not None) is refused
    if refusal:
        assert refusal.code == "NO_EXECUTABLE_PRICE"
        assert legs[leg].symbol in refusal.text


def test_margin_older_than_a_minute_is_unknown():
    minute = 60 * 10**9
    assert check_margin_known(None, START_NS).code == "MARGIN_UNKNOWN"
    assert check_margin_known(a_margin(as_of_ns=0), START_NS).code == "MARGIN_UNKNOWN"
    assert check_margin_known(a_margin(), START_NS + minute) is None
    assert check_margin_known(a_margin(), START_NS + minute + 1).code == "MARGIN_UNKNOWN"


def test_a_credit_must_be_a_share_of_the_width_after_costs():
    assert check_credit(S.BULL_PUT_SPREAD, a_put_spread(), RATES) is None
    assert check_credit(S.IRON_CONDOR, a_condor(), RATES) is None
    thin = check_credit(S.BULL_PUT_SPREAD, a_put_spread(short=100.0), RATES)
    assert thin.code == "CREDIT_TOO_THIN"


def test_the_refusal_of_a_thin_credit_tells_both_shares():
    # Credit 38 of 200 is 19 %. Eight orders of one lot (65): brokerage 160 and its GST 28.80; sales
    # of 15,470 pay STT 23.21; turnover of 30,940 pays exchange 10.84 and GST 1.95; stamp 0.46:
    # 225.30 in all, 3.47 a unit. (38 - 3.47) / 200 = 17.3 %.
    refusal = check_credit(S.IRON_CONDOR, a_structure(*_priced(50.0, 69.0, 69.0, 50.0)), RATES)
    assert refusal.text == "credit 17% of width after costs, needs 20%"


def _priced(*prices):
    return [
        replace(leg, ltp=p, bid=p, ask=p) for leg, p in zip(a_condor().legs, prices, strict=True)
    ]


def test_half_the_spread_of_every_leg_is_lost_twice():
    # Mid credit 70; bids and asks lie 5 apart from it on each leg, so the way in costs 10, and out
    # 10.
    wide = a_structure(
        a_resolved_leg("BUY", "PE", 23_600, 50.0, bid=45.0, ask=55.0),
        a_resolved_leg("SELL", "PE", 23_800, 120.0, bid=115.0, ask=125.0),
    )
    assert wide.credit == 70.0
    assert wide.credit_executable == 60.0
    refusal = check_credit(S.BULL_PUT_SPREAD, wide, RATES)
    assert refusal.code == "CREDIT_TOO_THIN"
    assert refusal.text.startswith("credit 24%")


def test_nothing_is_sold_for_nothing():
    refusal = check_credit(S.BULL_PUT_SPREAD, a_put_spread(short=50.0), RATES)
    assert refusal.code == "NO_NET_CREDIT"


def test_a_jade_lizard_must_bring_the_width_of_its_call_spread():
    legs = (
        a_resolved_leg("SELL", "PE", 23_800, 120.0),
        a_resolved_leg("SELL", "CE", 24_200, 110.0),
        a_resolved_leg("BUY", "CE", 24_400, 45.0),
    )
    assert check_credit(S.JADE_LIZARD, a_structure(*legs), RATES).code == "JADE_CREDIT_BELOW_WIDTH"
    assert check_credit(S.JADE_LIZARD, a_structure(*legs, width=185.0), RATES) is None


def test_a_stocks_options_are_not_opened_when_they_would_have_to_be_left_at_once():
    expiry = date(2026, 11, 24)
    leg = a_resolved_leg("BUY", "CE", 24_000, 50.0, expiry=expiry, symbol="TCS24NOV2624000CE")
    stock = replace(a_structure(leg), underlying="TCS")
    calendars = {"NFO": CALENDAR}
    # Thursday, Friday and Tuesday are left on Wednesday; Monday is a holiday.
    assert check_delivery(stock, date(2026, 11, 18), calendars) is None
    refusal = check_delivery(stock, date(2026, 11, 19), calendars)
    assert refusal.code == "DELIVERY_NEAR"
    assert (
        refusal.text == "TCS24NOV2624000CE settles in shares 2 sessions from now; it is not opened"
    )
    assert check_delivery(a_structure(leg), date(2026, 11, 19), calendars) is None
