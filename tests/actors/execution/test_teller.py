"""What is told of every entry that traded: its result, once, also when it never stood."""

from __future__ import annotations

import pytest

from domain.charges import order_charges, rates_on
from domain.clock import exchange_time
from domain.errors import BrokerRejected
from domain.orders import Purpose
from messages.trading import (
    CloseStructure,
    CommandEnded,
    OrderCleared,
    OrderFilled,
    StructureClosed,
    StructureOpened,
    TradingModeChanged,
)
from tests.kit.trading_desk import Desk, denied, make_intent

AGENT, RECORDER = "execution_agent", "recorder"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def refuse_shorts(request):
    if request.symbol.endswith("25500PE"):
        raise BrokerRejected("not allowed")
    return request.quantity


def taken_back(desk) -> StructureClosed:
    desk.broker.script = refuse_shorts
    desk.propose(make_intent())
    desk.run(10)
    (closed,) = desk.announced(StructureClosed)
    return closed


def test_an_entry_whose_hedge_was_sold_again_tells_what_it_lost(desk) -> None:
    closed = taken_back(desk)
    assert desk.statuses() == ["FAILED"]
    assert desk.announced(StructureOpened) == []
    filled = [row for row in desk.broker.book.values() if row.filled_quantity]
    rates = rates_on(exchange_time(desk.now_ns).date())
    costs = [
        order_charges(row.action, row.quantity, row.average_price, rates).total for row in filled
    ]
    assert len(filled) == 2
    assert closed.charges == sum(costs)
    assert closed.net == closed.gross - closed.charges
    assert closed.net < 0


def test_an_entry_that_was_taken_back_never_stood_and_says_why(desk) -> None:
    closed = taken_back(desk)
    assert not closed.stood
    assert closed.reason == "external"
    assert "25500PE" in closed.detail


def test_an_entry_that_the_kill_switch_took_back_says_so(desk) -> None:
    desk.broker.script = lambda request: 0 if request.action == "SELL" else request.quantity
    desk.propose(make_intent())
    desk.run(1)
    desk.broker.script = lambda request: request.quantity
    killed = TradingModeChanged(mode="halted", killed=True, reason="loss", since_ns=desk.now_ns)
    desk.deliver("execution_agent", killed)
    desk.run(10)
    (closed,) = desk.announced(StructureClosed)
    assert (closed.stood, closed.reason) == (False, "kill")


def test_the_result_of_an_entry_is_told_once_over_all_lives(desk) -> None:
    taken_back(desk)
    desk.run(2)
    desk.begin("execution_agent")
    desk.run(2)
    assert len(desk.announced(StructureClosed)) == 1


def test_an_entry_that_filled_nothing_has_no_result(desk) -> None:
    desk.gate = denied("DAILY_MAX_LOSS")
    desk.propose(make_intent())
    desk.run(3)
    assert desk.statuses() == ["FAILED"]
    assert desk.announced(StructureClosed) == []


def test_an_ended_entry_tells_under_which_word_of_the_gate_it_went_out(desk) -> None:
    """The journal has it from the row: the gate's own word to the recorder dies with the gate."""
    desk.gate = lambda ask: OrderCleared(command_id=ask.command_id, id="breaker_gate:7:42")
    desk.propose(make_intent())
    desk.run(3)
    (ended,) = desk.announced(CommandEnded)
    assert (ended.status, ended.cleared_by) == ("DONE", "breaker_gate:7:42")


def test_an_entry_that_the_gate_denied_after_it_had_cleared_it_has_no_clearance(desk) -> None:
    desk.gate = lambda ask: OrderCleared(command_id=ask.command_id, id="breaker_gate:7:42")
    desk.kill("executor.alpha")
    desk.propose(make_intent())
    assert [row.cleared_by for row in desk.store.open_commands()] == ["breaker_gate:7:42"]
    desk.gate = denied("DAILY_MAX_LOSS")
    desk.begin("execution_agent")
    desk.run(2)
    (ended,) = desk.announced(CommandEnded)
    assert (ended.status, ended.cleared_by) == ("FAILED", "")


def test_a_persons_reason_for_a_close_is_kept_beside_the_word_manual(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    close = CloseStructure(strategy_id=intent.strategy_id, reason="budget day", key="c", by="me")
    desk.deliver("execution_agent", close)
    desk.run(5)
    (closed,) = desk.announced(StructureClosed)
    assert (closed.stood, closed.reason, closed.detail) == (True, "manual", "budget day")


def test_a_fill_says_what_its_order_was_for(desk) -> None:
    taken_back(desk)
    purposes = [message.purpose for message in desk.announced(OrderFilled)]
    assert purposes == [Purpose.ENTRY, Purpose.UNWIND]


def test_what_died_with_its_sender_before_the_recorder_had_it_is_told_again(desk) -> None:
    desk.contexts[AGENT].busy.add(RECORDER)
    desk.propose(make_intent())
    desk.run(5)
    fills = [row.fill for row in desk.announced(OrderFilled)]
    assert fills
    assert len(desk.announced(CommandEnded)) == 1

    desk.kill(AGENT)
    desk.begin(AGENT)
    desk.run(5)
    assert [row.fill for row in desk.announced(OrderFilled)] == [*fills, *fills]
    assert len(desk.announced(CommandEnded)) == 2
    assert desk.store.untold_fills() == []
    assert desk.store.ended_untold() == []


def test_what_the_recorder_has_is_told_once(desk) -> None:
    desk.propose(make_intent())
    desk.run(5)
    fills = [row.fill for row in desk.announced(OrderFilled)]
    desk.kill(AGENT)
    desk.begin(AGENT)
    desk.run(5)
    assert [row.fill for row in desk.announced(OrderFilled)] == fills
