"""A condor whose put was breached is wanted again with its puts two strikes lower."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from domain.intents import Refusal
from domain.intents import StrategyType as S
from domain.routing.reopening import FROM, reopened
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import EXPIRY, STRANGLE_LEGS, a_condor, a_signal, a_strangle, an_intent

CONDOR = an_intent(structure=a_condor())
LISTED = {EXPIRY: [Decimal(strike) for strike in range(22_000, 26_001, 50)]}
STRIKES = [leg.strike for leg in a_condor().legs]


def symbol(kind, structure=None):
    legs = (structure or a_condor()).legs
    return next(x.symbol for x in legs if x.direction == "SELL" and x.option_type == kind)


def test_only_the_breached_side_moves_and_by_two_listed_strikes():
    wish = reopened(CONDOR, [symbol("PE")], LISTED, START_NS)
    moved = [after.strike - before for after, before in zip(wish.legs, STRIKES, strict=True)]
    kinds = [leg.option_type for leg in wish.legs]
    assert [m for m, kind in zip(moved, kinds, strict=True) if kind == "PE"] == [-100, -100]
    assert [m for m, kind in zip(moved, kinds, strict=True) if kind == "CE"] == [0, 0]
    up = reopened(CONDOR, [symbol("CE")], LISTED, START_NS)
    moved = [after.strike - before for after, before in zip(up.legs, STRIKES, strict=True)]
    assert sorted(moved) == [0, 0, 100, 100]


def test_it_is_the_same_trade_of_no_more_lots():
    wish = reopened(CONDOR, [symbol("PE")], LISTED, START_NS)
    signal = CONDOR.signal
    assert (wish.strategy, wish.direction, wish.bias) == (
        signal.strategy, signal.direction, signal.bias,
    )  # fmt: skip
    assert (wish.lots_max, wish.expiry, wish.product) == (CONDOR.lots, EXPIRY, CONDOR.product)
    assert {leg.expiry for leg in wish.legs} == {EXPIRY}
    assert wish.extras[FROM] == CONDOR.strategy_id
    assert wish.reason.endswith("was cut for its delta: its puts two strikes further out")


def test_what_was_opened_again_is_not_opened_a_third_time():
    again = replace(CONDOR, signal=replace(CONDOR.signal, extras={FROM: "S0"}))
    refusal = reopened(again, [symbol("PE")], LISTED, START_NS)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "REOPENED_ONCE"


def test_without_a_strike_so_far_out_there_is_no_wish():
    lowest = min(leg.strike for leg in a_condor().legs if leg.option_type == "PE")
    short = {EXPIRY: [strike for strike in LISTED[EXPIRY] if strike >= lowest - 50]}
    refusal = reopened(CONDOR, [symbol("PE")], short, START_NS)
    assert refusal.code == "REOPEN_NO_STRIKE"


def test_a_strangle_moves_the_side_that_was_breached():
    signal = a_signal(S.SHORT_STRANGLE, STRANGLE_LEGS)
    strangle = an_intent(signal=signal, structure=a_strangle())
    before = {leg.option_type: leg.strike for leg in a_strangle().legs}
    wish = reopened(strangle, [symbol("CE", a_strangle())], LISTED, START_NS)
    after = {leg.option_type: leg.strike for leg in wish.legs}
    assert (after["PE"] - before["PE"], after["CE"] - before["CE"]) == (0, 100)
