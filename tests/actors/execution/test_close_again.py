"""A close that was given up is not the last word: a person asks again, and one under way goes
first."""

from __future__ import annotations

import pytest

from domain.errors import BrokerRejected
from domain.intents import StrategyType
from domain.readings import Phase
from messages.trading import CloseStructure
from tests.kit.trading_desk import LONG_CALL, LOT, Desk, make_intent

SYMBOL = LONG_CALL[0].symbol


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch, virtual_risk_enabled=False)


def opened(desk):
    intent = make_intent(StrategyType.DITM_CALL, LONG_CALL)
    desk.turn(phase=Phase.BULLISH)
    desk.propose(intent)
    desk.run(3)
    assert desk.broker.net() == {SYMBOL: LOT}
    return intent.strategy_id


def ask(desk, strategy_id, number):
    key = f"{strategy_id}:close:manual:{number}"
    message = CloseStructure(strategy_id=strategy_id, reason="mine", key=key, by="me")
    desk.deliver("execution_agent", message)


def test_what_was_given_up_is_closed_when_a_person_asks_again(desk) -> None:
    def take_no_sale(request):
        if request.action == "SELL":
            raise BrokerRejected("no sale today")
        return request.quantity

    strategy_id = opened(desk)
    desk.broker.script = take_no_sale
    ask(desk, strategy_id, 1)
    desk.run(20)
    assert desk.statuses() == ["DONE", "DEAD_LETTER"]
    desk.broker.script = lambda request: request.quantity
    ask(desk, strategy_id, 2)
    desk.run(5)
    assert desk.broker.net() == {}
    assert desk.statuses()[-1] == "DONE"


def test_two_presses_sell_once(desk) -> None:
    strategy_id = opened(desk)
    ask(desk, strategy_id, 1)
    ask(desk, strategy_id, 2)
    desk.run(10)
    assert desk.broker.net() == {}
    assert sum(row.quantity for row in desk.broker.requests if row.action == "SELL") == LOT
    assert desk.statuses() == ["DONE", "DONE", "DONE"]
