"""The router as an actor: its answer, its facts, and dry runs that leave no trace."""

from decimal import Decimal

import pytest

from actors.routing.conflict_router import ConflictRouter, RouterSettings
from domain.instruments import Kind
from domain.intents import Bias, Signal, StrategyType
from domain.positions import BookSnapshot, Position
from domain.readings import MarginState, Phase, Regime
from messages.books import MarginRead
from messages.trading import (
    PositionChanged,
    RouteSignals,
    SignalRouted,
    SignalSetAside,
    SignalsRouted,
)
from tests.kit.recording_context import RecordingContext

REGIME = Regime(version=1, phase=Phase.CONGESTION, as_of_ns=1)


def a_signal(instrument="NIFTY", strategy=StrategyType.IRON_CONDOR, strength=70.0):
    return Signal(
        correlation_id=f"{instrument}:{strategy}", source="VOLATILITY", instrument=instrument,
        strategy=strategy, direction="SELL", bias=Bias.NEUTRAL, strength=strength,
    )  # fmt: skip


def a_short(quantity=65):
    return Position(
        symbol="NIFTY29DEC2625000PE", exchange="NFO", product="NRML", direction="SELL",
        quantity=quantity, average_price=Decimal(100), strategy_id="s1", strategy_tag="t",
        strategy="IRON_CONDOR", leg_no=0, underlying="NIFTY", kind=Kind.PUT,
        strike=Decimal(25_000), expiry=None, entry_ns=0, broker="alpha",
    )  # fmt: skip


@pytest.fixture
def context():
    return RecordingContext("conflict_router")


def route(router, context, *signals, dry=False):
    context.deliver(router, RouteSignals(cycle=7, signals=signals, regime=REGIME, dry=dry))
    return context.told_to("signal_loop", SignalsRouted)[-1]


def test_winner_carries_the_routers_word_and_the_loser_hears_why(context):
    router = ConflictRouter(context, RouterSettings())
    strangle = a_signal(strategy=StrategyType.SHORT_STRANGLE, strength=60.0)
    answer = route(router, context, strangle, a_signal())
    assert answer.cycle == 7
    (winner,) = answer.accepted
    assert winner.strategy is StrategyType.IRON_CONDOR
    assert winner.extras["router_priority_score"] == "104.00"  # 90 + 0.2 x 70
    assert winner.extras["router_action"] == "ACCEPT"
    assert context.heard(SignalRouted)[0].signal == winner
    assert [one.signal for one in context.heard(SignalSetAside)] == [strangle]


def test_dry_run_tells_no_fact_and_keeps_no_decision(context):
    router = ConflictRouter(context, RouterSettings())
    answer = route(router, context, a_signal(), dry=True)
    assert answer.dry
    assert len(answer.accepted) == 1
    assert context.announced == []
    assert context.reports == []
    real = route(router, context, a_signal())
    assert real.diagnostics["route_count"] == 1
    assert len(real.diagnostics["decisions"]) == 1


def test_full_book_rejects(context):
    router = ConflictRouter(context, RouterSettings(positions_max=1))
    assert route(router, context, a_signal()).decisions[0].action == "ACCEPT"
    context.deliver(router, PositionChanged(book=BookSnapshot(positions=(a_short(),))))
    assert route(router, context, a_signal()).decisions[0].code == "POSITION_LIMIT"
    context.deliver(router, PositionChanged(book=BookSnapshot(positions=(a_short(0),))))
    assert route(router, context, a_signal()).decisions[0].action == "ACCEPT"


def test_hot_sector_rejects_with_the_margin_last_heard(context):
    router = ConflictRouter(context, RouterSettings())
    context.deliver(router, PositionChanged(book=BookSnapshot(positions=(a_short(),))))
    margin = MarginState("alpha", Decimal(100), Decimal(79), Decimal(21), 1)
    context.deliver(router, MarginRead(margin=margin))
    answer = route(router, context, a_signal("BANKNIFTY"))
    assert answer.decisions[0].code == "SECTOR_HEAT"
    assert context.heard(SignalSetAside)[0].refusal.code == "SECTOR_HEAT"
    assert answer.diagnostics["sector_heat"] == {"INDEX": 0.21}


@pytest.mark.parametrize("bad", [{"positions_max": 0}, {"sector_heat_max": 0.0}])
def test_limits_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        RouterSettings(**bad)
