"""Entries whose tries are used up wait for a person, who may have them tried again or not."""

from __future__ import annotations

import pytest

from domain.errors import BrokerRejected, NotSent, RateLimited
from domain.orders import OrderStatus
from messages.control import DeadLetterManaged, ManageDeadLetter
from messages.trading import CommandEnded, TradingModeChanged
from tests.kit.trading_desk import BROKER, LOT, Desk, denied, make_intent


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def down(kind=NotSent, words="connection refused by 127.0.0.1:1", only=""):
    def script(request):
        if only in request.symbol:
            raise kind(words)
        return request.quantity

    return script


def dead_entry(desk) -> None:
    desk.broker.script = down()
    desk.propose(make_intent())
    desk.run(10)
    assert desk.statuses() == ["DEAD_LETTER"]


def ask_again(desk) -> DeadLetterManaged:
    desk.deliver(
        "execution_agent",
        ManageDeadLetter(command_id=1, action="retry", by="me", reply_to="desk", request="r"),
    )
    return [m for _, m in desk.told if isinstance(m, DeadLetterManaged)][-1]


@pytest.mark.parametrize(
    ("kind", "code"), [(NotSent, "NOT_SENT"), (RateLimited, "BROKER_RATE_LIMIT")]
)
def test_tries_that_are_used_up_wait_for_a_person_with_the_brokers_words(desk, kind, code) -> None:
    desk.broker.script = down(kind, "the broker is overwhelmed")
    desk.propose(make_intent())
    desk.run(10)

    ended = desk.announced(CommandEnded)[0]
    assert (ended.status, ended.refusal.code) == ("DEAD_LETTER", code)
    assert "the broker is overwhelmed" in ended.refusal.text
    alerts = [a for a in desk.contexts["execution_agent"].alerts if a.level == "CRITICAL"]
    assert any("the broker is overwhelmed" in alert.text for alert in alerts)
    assert {row.status for row in desk.store.orders_of(1)} == {
        OrderStatus.FAILED,
        OrderStatus.CANCELLED,
    }


def test_a_reason_told_is_that_of_the_order_and_not_of_an_earlier_delay(desk) -> None:
    answers = [denied("ORDER_RATE", retry_after_s=1.0), desk.gate]
    desk.gate = lambda ask: answers.pop(0)(ask)
    desk.broker.script = down(BrokerRejected, "margin is short")
    desk.propose(make_intent())
    desk.run(4)

    ended = desk.announced(CommandEnded)[0]
    assert (ended.status, ended.refusal.code) == ("FAILED", "BROKER_REJECT")
    assert "margin is short" in ended.refusal.text


def test_a_dead_entry_that_a_person_has_tried_again_is_sent_anew(desk) -> None:
    dead_entry(desk)
    desk.broker.script = lambda request: request.quantity
    assert ask_again(desk).http_status == 200
    desk.run(4)

    assert desk.statuses() == ["DONE"]
    assert sorted(desk.broker.net().values()) == [-LOT, LOT]
    assert [message.status for message in desk.announced(CommandEnded)] == ["DEAD_LETTER", "DONE"]
    keys = [row.client_order_id for row in desk.store.orders_of(1)]
    assert len(keys) == len(set(keys)) == 4


def test_a_dead_entry_tried_again_in_vain_waits_for_a_person_again(desk) -> None:
    dead_entry(desk)
    ask_again(desk)
    desk.run(10)

    assert desk.statuses() == ["DEAD_LETTER"]
    assert len(desk.broker.requests) == 6


def test_an_entry_tried_again_survives_the_death_of_the_agent(desk) -> None:
    dead_entry(desk)
    desk.kill(f"executor.{BROKER}")
    ask_again(desk)
    desk.kill("execution_agent")
    desk.broker.script = lambda request: request.quantity
    desk.begin(f"executor.{BROKER}")
    desk.begin("execution_agent")
    desk.run(4)

    assert desk.statuses() == ["DONE"]
    assert sorted(desk.broker.net().values()) == [-LOT, LOT]


def test_a_dead_entry_whose_hedge_was_traded_is_not_tried_again(desk) -> None:
    desk.broker.script = down(only="25500PE")
    desk.propose(make_intent())
    desk.run(20)
    assert desk.statuses() == ["DEAD_LETTER"]
    assert desk.broker.net() == {}

    answer = ask_again(desk)
    assert answer.http_status == 409
    assert "taken back" in answer.text


def test_the_kill_switch_leaves_no_entry_for_a_person_to_try_again(desk) -> None:
    desk.broker.script = down()
    desk.propose(make_intent())
    desk.run(1)
    desk.deliver(
        "execution_agent",
        TradingModeChanged(mode="halted", killed=True, reason="loss", since_ns=desk.now_ns),
    )
    desk.run(10)

    assert desk.statuses() == ["FAILED"]
    assert desk.announced(CommandEnded)[0].refusal.code == "KILLED"
