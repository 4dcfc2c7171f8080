"""The month's hedge in risk: no regime and no other position stops it, its budget sizes it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.gates import ActiveStrategy, NakedPolicy, check_positions, check_regime
from domain.intents import Bias
from domain.intents import StrategyType as S
from domain.readings import Phase, Regime
from domain.risk.sizing import SizingInputs, size_position
from domain.risk.validation import check_signal
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import a_leg, a_signal

HEDGE = a_signal(S.TAIL_HEDGE, (a_leg("BUY", "PE", delta_target=0.05),), source="HEDGE")
POLICY = NakedPolicy(True, True, True, True, False, False)
INPUTS = SizingInputs(
    strategy=S.TAIL_HEDGE, capital=1_000_000, spot=25_000, sigma=0.15, delta=0.05,
    loss_per_unit=20, win_rate=0.55, reward_risk=2.0, vix=35.0, correlation=1.0,
    margin_per_unit=20, sector_margin=0, free=900_000, used=100_000, positions=10, lot_size=65,
    premium=20.0, max_abs_inr=5_000.0,
)  # fmt: skip


def test_five_thousand_rupees_buy_three_lots_of_a_put_at_twenty_in_any_market():
    # 5,000 / 20 = 250 units = 3 lots of 65; VIX 35, a full book and its own sector cut nothing.
    sizing = size_position(INPUTS)
    assert (sizing.units, sizing.lots, sizing.refusal) == (195, 3, None)


def test_a_hedge_without_a_budget_or_a_price_is_refused():
    for missing in ({"max_abs_inr": 0.0}, {"premium": 0.0}):
        assert size_position(replace(INPUTS, **missing)).refusal.code == "NO_LOSS_ESTIMATE"


def test_a_hedge_too_dear_for_its_budget_is_refused():
    assert size_position(replace(INPUTS, premium=80.0)).refusal.code == "BELOW_ONE_LOT"


@pytest.mark.parametrize("phase", list(Phase))
def test_no_phase_and_no_unknown_regime_stops_it(phase):
    for regime in (Regime(phase=phase), Regime(version=1, phase=phase, as_of_ns=START_NS)):
        assert check_regime(HEDGE, regime, START_NS, POLICY) is None


def held(strategy, bias=Bias.BEARISH, direction="BUY"):
    return ActiveStrategy("S1", "NIFTY", strategy, direction, bias, Decimal(0))


def test_it_stands_beside_everything_but_another_hedge():
    assert check_positions(HEDGE, [held(S.DITM_PUT)], False) is None
    assert check_positions(HEDGE, [held(S.TAIL_HEDGE)], False).code == "STRATEGY_ACTIVE"


def test_it_stands_in_nobodys_way():
    signal = a_signal(S.DITM_PUT, ())
    assert check_positions(signal, [held(S.TAIL_HEDGE)], False) is None
    assert check_positions(signal, [held(S.DITM_PUT)], False) is not None


def test_only_the_runtime_buys_it():
    assert check_signal(HEDGE, START_NS) is None
    assert check_signal(replace(HEDGE, source="HTTP"), START_NS).code == "HEDGE_ONLY"
