"""A long single option has a stop at its broker behind its virtual guard, and never more than it
holds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.errors import BrokerRejected
from domain.intents import StrategyType
from domain.orders import Purpose
from domain.readings import Phase
from messages.trading import CloseStructure, StructureClosed
from tests.kit.trading_desk import LONG_CALL, LOT, Desk, make_intent

AGENT = "execution_agent"
SYMBOL = LONG_CALL[0].symbol


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def opened(desk):
    intent = make_intent(StrategyType.DITM_CALL, LONG_CALL)
    desk.turn(phase=Phase.BULLISH)
    desk.propose(intent)
    desk.run(3)
    assert desk.broker.net() == {SYMBOL: LOT}
    return intent


def close(desk, intent) -> None:
    message = CloseStructure(
        strategy_id=intent.strategy_id, reason="trail_hit",
        key=f"{intent.strategy_id}:close:1", by="position_manager",
    )  # fmt: skip
    desk.deliver(AGENT, message)


def stops(desk):
    return [row for row in desk.broker.requests if row.price_type == "SL"]


def test_a_stop_lies_a_quarter_below_what_was_paid(desk) -> None:
    opened(desk)
    paid = desk.broker.book["B1"].average_price
    [stop] = stops(desk)
    assert (stop.action, stop.quantity) == ("SELL", LOT)
    assert stop.trigger_price == (paid * Decimal("0.75") / Decimal("0.05")).to_integral_value(
        "ROUND_FLOOR"
    ) * Decimal("0.05")
    assert 0 < stop.price < stop.trigger_price


def test_a_close_takes_the_stop_out_before_it_sells_and_ends_flat(desk) -> None:
    intent = opened(desk)
    close(desk, intent)
    desk.run(5)
    assert desk.broker.net() == {}
    assert desk.broker.cancelled == ["B2"]
    [told] = desk.announced(StructureClosed)
    assert told.reason == "trail_hit"


def test_a_stop_that_fills_while_it_is_taken_out_sells_nothing_twice(desk) -> None:
    intent = opened(desk)
    desk.broker.fill("B2")
    close(desk, intent)
    desk.run(5)
    assert desk.broker.net() == {}
    assert [row.purpose for row in desk.store.orders_of_strategy(intent.strategy_id)] == [
        Purpose.ENTRY, Purpose.STOP,
    ]  # fmt: skip


def test_a_new_life_finds_the_stop_and_places_no_second(desk) -> None:
    opened(desk)
    desk.kill(AGENT)
    desk.begin(AGENT)
    desk.run(5)
    assert len(stops(desk)) == 1


def test_a_stop_that_is_refused_three_times_is_told_and_the_long_stays(desk) -> None:
    def refuse_stops(request):
        if request.price_type == "SL":
            raise BrokerRejected("no stops today")
        return request.quantity

    desk.broker.script = refuse_stops
    opened(desk)
    desk.run(10)
    assert len(stops(desk)) == 3
    assert desk.broker.net() == {SYMBOL: LOT}
    assert any("only its virtual guard" in text for text in desk.alerts())


def test_switched_off_no_stop_is_placed(tmp_path, monkeypatch) -> None:
    desk = Desk(tmp_path, monkeypatch, virtual_risk_enabled=False)
    opened(desk)
    assert stops(desk) == []
