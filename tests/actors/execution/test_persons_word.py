"""A person's word on an order of unknown fate: asked for, taken once, the cause of no order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.errors import BrokerRejected, OutcomeUnknown
from domain.intents import StrategyType
from domain.orders import OrderStatus
from messages.control import DecideOutcome, OutcomeDecided
from messages.trading import CloseStructure
from tests.kit.trading_desk import CONDOR, LOT, Desk, make_intent


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def lost_beside_strangers(desk, *, symbol="25300PE", action="BUY", arrived: bool) -> None:
    """The first such order gets no answer; the book shows two like it, B<n> among them if it
    arrived."""
    desk.broker.carries_tag, desk.broker.arrives = False, arrived
    lost: list[str] = []

    def script(request):
        if lost or not request.symbol.endswith(symbol) or request.action != action:
            return request.quantity
        lost.append(request.client_order_id)
        raise OutcomeUnknown("timed out")

    desk.broker.script = script
    place = desk.broker._place

    def place_beside(request):
        first = not lost
        placed = place(request)
        if lost and first:
            for name in ["HAND1"] if arrived else ["HAND1", "HAND2"]:
                desk.broker.book[name] = by_hand(desk, request, name)
        return placed

    desk.broker._place = place_beside


def by_hand(desk, request, name):
    from domain.brokers import BrokerOrder

    return BrokerOrder(
        order_id=name, exchange="NFO", symbol=request.symbol, action=request.action,
        quantity=request.quantity, price_type=request.price_type, product=request.product,
        price=request.price, trigger_price=request.trigger_price, status="complete",
        filled_quantity=0, average_price=request.price, rejection="", tag="",
        ordered_at_ns=desk.now_ns,
    )  # fmt: skip


def unknown_row(desk):
    return next(row for row in desk.store.unfinished() if row.needs_reconcile)


def say(desk, row, word: str, order_id: str = "") -> OutcomeDecided:
    desk.deliver(
        "execution_agent",
        DecideOutcome(
            client_order_id=row.client_order_id, word=word, broker_order_id=order_id,
            reason="the broker told me by telephone", by="anna@10.0.0.1", request="r",
        ),
    )  # fmt: skip
    return desk.announced(OutcomeDecided)[-1]


def outcomes(desk):
    return desk.contexts["execution_agent"].reports[-1]["outcomes"]


def sent(desk, symbol: str, action: str) -> int:
    wanted = [r for r in desk.broker.requests if r.symbol.endswith(symbol) and r.action == action]
    return len(wanted)


def test_what_waits_is_told_with_its_likely_orders_and_what_is_held(desk) -> None:
    lost_beside_strangers(desk, arrived=True)
    desk.propose(make_intent())
    desk.run(20)

    row = unknown_row(desk)
    [told] = outcomes(desk)
    assert (told["order"], told["command_id"], told["leg_no"]) == (row.client_order_id, 1, 1)
    assert (told["waits_for"], told["broker"]) == ("person", "alpha")
    assert told["held"] == {"underlying": "NIFTY"}
    # The book was read at once and at 1, 2, 4, 8 and 15 s; next at 30 s.
    assert told["asked_times"] == 6
    assert told["next_ns"] == row.sent_ns + 30 * 10**9
    likely = {one["broker_order_id"]: one for one in told["likely"]}
    assert set(likely) == {"B1", "HAND1"}
    assert likely["HAND1"]["price"] == str(row.price)
    assert likely["HAND1"]["ordered_ns"] == desk.broker.book["HAND1"].ordered_at_ns


def test_an_order_that_a_person_names_ours_is_adopted_and_the_entry_goes_on(desk) -> None:
    lost_beside_strangers(desk, arrived=True)
    desk.propose(make_intent())
    desk.run(10)
    answer = say(desk, unknown_row(desk), "OURS", "B1")
    assert (answer.http_status, answer.by) == (200, "anna@10.0.0.1")
    desk.run(5)

    assert desk.statuses() == ["DONE"]
    assert sent(desk, "25300PE", "BUY") == 1
    assert outcomes(desk) == []


def test_an_entry_that_a_person_says_never_arrived_ends_and_is_not_sent_again(desk) -> None:
    lost_beside_strangers(desk, arrived=False)
    desk.propose(make_intent())
    desk.run(35)
    assert say(desk, unknown_row(desk), "NEVER_ARRIVED").http_status == 200
    desk.run(60)

    assert desk.statuses() == ["FAILED"]
    command = desk.store.command(1)
    assert command.error_code == "NEVER_ARRIVED"
    assert "anna" in command.last_error
    assert len(desk.broker.requests) == 1


def test_entries_on_the_underlying_are_released_by_the_word(desk) -> None:
    lost_beside_strangers(desk, arrived=False)
    desk.propose(make_intent())
    desk.run(33)
    call = make_intent(StrategyType.GAMMA_CAPTURE, (CONDOR[3], CONDOR[1]), number=2)
    desk.propose(replace(call, signal=replace(call.signal, direction="BUY")))
    desk.run(4)
    assert desk.statuses() == ["UNKNOWN_OUTCOME", "PENDING"]
    assert "/tomic/outcomes" in desk.store.command(2).last_error
    say(desk, unknown_row(desk), "NEVER_ARRIVED")
    desk.run(5)

    assert desk.statuses() == ["FAILED", "DONE"]


def test_a_word_outlives_the_agent_that_took_it(desk) -> None:
    lost_beside_strangers(desk, arrived=True)
    desk.propose(make_intent())
    desk.run(10)
    row = unknown_row(desk)
    take_mail, desk.settle = desk.settle, lambda: None
    say_quietly = DecideOutcome(
        client_order_id=row.client_order_id, word="OURS", broker_order_id="B1", reason="", by="a",
        request="r",
    )  # fmt: skip
    desk.deliver("execution_agent", say_quietly)
    desk.kill("execution_agent")  # before anybody heard of it
    desk.settle = take_mail
    desk.begin("execution_agent")
    desk.run(5)

    assert say(desk, row, "OURS", "B1").http_status == 200
    assert desk.statuses() == ["DONE"]
    assert sent(desk, "25300PE", "BUY") == 1


def test_the_same_word_twice_is_one_and_another_word_is_refused(desk) -> None:
    lost_beside_strangers(desk, arrived=True)
    desk.propose(make_intent())
    desk.run(10)
    row = unknown_row(desk)
    assert say(desk, row, "NEVER_ARRIVED").code == "TOO_SOON"
    assert say(desk, row, "OURS", "B1").http_status == 200
    assert say(desk, row, "OURS", "B1").http_status == 200
    desk.run(1)
    after = desk.store.order(row.client_order_id)
    for word, order_id in (("OURS", "HAND1"), ("NEVER_ARRIVED", "")):
        answer = say(desk, row, word, order_id)
        assert (answer.http_status, answer.code) == (409, "NOT_WAITING")
        assert "B1" in answer.text
    assert desk.store.order(row.client_order_id) == after
    assert say(desk, replace(row, client_order_id="nobody"), "OURS", "B1").http_status == 404


def test_a_word_is_not_taken_while_the_book_cannot_be_read(desk) -> None:
    lost_beside_strangers(desk, arrived=False)
    desk.propose(make_intent())
    desk.run(35)
    desk.book_ok = False
    desk.run(20)
    answer = say(desk, unknown_row(desk), "NEVER_ARRIVED")
    assert (answer.http_status, answer.code) == (409, "BOOK_UNREADABLE")
    [told] = outcomes(desk)
    assert told["reason"] == "its order book cannot be read"


def test_an_exit_that_never_arrived_goes_again_for_what_the_broker_still_shows(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(5)
    lost_beside_strangers(desk, symbol="25500PE", action="BUY", arrived=False)
    close = CloseStructure(strategy_id=intent.strategy_id, reason="drill", key="c", by="me")
    desk.deliver("execution_agent", close)
    desk.run(40)
    row = unknown_row(desk)
    assert row.is_exit
    assert say(desk, row, "NEVER_ARRIVED").http_status == 200
    desk.run(10)

    assert desk.broker.net() == {}
    assert desk.statuses() == ["DONE", "DONE"]


def test_an_exit_that_arrived_after_all_is_not_doubled_by_a_wrong_word(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(5)
    lost_beside_strangers(desk, symbol="25500PE", action="BUY", arrived=True)
    close = CloseStructure(strategy_id=intent.strategy_id, reason="drill", key="c", by="me")
    desk.deliver("execution_agent", close)
    desk.run(40)
    assert say(desk, unknown_row(desk), "NEVER_ARRIVED").http_status == 200
    desk.run(20)

    # The broker shows no short any more, so nothing is bought for it again.
    assert sent(desk, "25500PE", "BUY") == 1


def test_an_order_the_broker_lost_is_gone_by_a_persons_word(desk) -> None:
    def refuse(*_):
        raise BrokerRejected("no such order")

    desk.broker.script, desk.broker.cancel = lambda request: 0, refuse
    desk.propose(make_intent())
    desk.run(0.5)
    [row] = [row for row in desk.store.unfinished() if row.is_working]
    del desk.broker.book[row.broker_order_id]
    desk.run(45)
    [told] = outcomes(desk)
    assert (told["waits_for"], told["likely"]) == ("person", [])
    assert say(desk, unknown_row(desk), "OURS", "B9").code == "ID_KNOWN"
    assert say(desk, unknown_row(desk), "NEVER_ARRIVED").http_status == 200
    desk.run(10)

    assert desk.store.order(row.client_order_id).status is OrderStatus.CANCELLED
    assert desk.statuses() == ["FAILED"]
    assert len(desk.broker.requests) == 1
    assert LOT not in desk.broker.net().values()
