"""The month's hedge: its budget as worked out in the specification, and who it stands beside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.intents import StrategyType as S
from domain.readings import Phase
from domain.routing.conflicts import Exposure, RoutingLimits, route
from domain.routing.hedge import Track, hedge_budget, hedge_signal
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import a_signal


@pytest.mark.parametrize(
    ("trades", "profit", "budget"),
    [
        (10, 1_000_000.0, 5_000.0),
        (29, 1_000_000.0, 5_000.0),
        (30, 1_000_000.0, 15_000.0),
        (50, 1_000_000.0, 15_000.0),
        (50, 100_000.0, 5_000.0),
        (50, -100_000.0, 5_000.0),
    ],
)
def test_the_budget_is_five_thousand_or_a_share_of_a_proven_months_profit(trades, profit, budget):
    assert hedge_budget(Track(trades, profit)) == budget


def a_hedge():
    return hedge_signal(Track(0, 0.0), START_NS, valid_s=60.0, regime_version=1)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_hedge_passes_in_every_phase_and_takes_nobodys_place(phase):
    condor = replace(a_signal(), source="VOLATILITY")
    full = Exposure(position_count=9)
    alone = route([condor], phase, exposure=full, limits=RoutingLimits(), now_ns=1)
    both = route([condor, a_hedge()], phase, exposure=full, limits=RoutingLimits(), now_ns=1)
    assert S.TAIL_HEDGE in [signal.strategy for signal, _ in both.accepted]
    rest = [pair for pair in both.accepted if pair[0].strategy is not S.TAIL_HEDGE]
    assert rest == list(alone.accepted)
    assert both.set_aside == alone.set_aside


def test_a_hedge_passes_when_the_book_is_full():
    full = Exposure(position_count=10, sector_heat={"INDEX": 0.9})
    (accepted,) = route(
        [a_hedge()], Phase.BLOWOFF, exposure=full, limits=RoutingLimits(), now_ns=1
    ).accepted
    assert (accepted[1].code, accepted[1].action) == ("INSURANCE", "ACCEPT")
