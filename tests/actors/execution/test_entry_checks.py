"""Before its first order an entry is asked once more what risk asked: the world has moved since."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.intents import StrategyType
from domain.readings import Phase, Regime, VixFlag
from messages.control import ApproveCommand
from messages.trading import CloseStructure, CommandEnded
from tests.kit.trading_desk import CONDOR, Desk, leg, make_intent


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def refusal_of(desk):
    return desk.announced(CommandEnded)[-1].refusal


def test_an_entry_sized_before_the_regime_turned_is_never_sent(desk) -> None:
    desk.turn(phase=Phase.BLOWOFF, vix=45.0, vix_flags=(VixFlag.HALT_SHORT_VEGA,))
    desk.propose(make_intent())
    desk.run(3)

    assert desk.broker.requests == []
    assert desk.statuses() == ["FAILED"]
    assert refusal_of(desk).code == "HALT_SHORT_VEGA"
    assert "no premium is sold above 40" in refusal_of(desk).text


def test_an_approval_does_not_send_what_the_regime_has_refused_meanwhile(
    tmp_path, monkeypatch
) -> None:
    desk = Desk(tmp_path, monkeypatch, mode="semi_auto")
    desk.propose(make_intent())
    desk.run(40)
    assert desk.statuses() == ["AWAITING_APPROVAL"]
    desk.turn(phase=Phase.BEARISH)
    desk.deliver("execution_agent", ApproveCommand(command_id=1, approved=True, by="me"))
    desk.run(3)

    assert desk.broker.requests == []
    assert refusal_of(desk).code == "BEARISH_BLOCKS"


def test_a_second_structure_of_the_same_side_is_never_sent(desk) -> None:
    desk.propose(make_intent(number=1))
    desk.run(3)
    desk.propose(make_intent(StrategyType.IRON_CONDOR, CONDOR, number=2))
    desk.run(3)

    assert len(desk.broker.requests) == 2
    assert desk.statuses() == ["DONE", "FAILED"]
    assert refusal_of(desk).code == "UNDERLYING_LIMIT"
    assert "is open" in refusal_of(desk).text


def test_what_was_closed_this_moment_stands_in_nobodys_way(desk) -> None:
    desk.propose(make_intent(number=1))
    desk.run(3)
    first = make_intent(number=1).strategy_id
    close = CloseStructure(strategy_id=first, reason="manual", key="close-1", by="me")
    desk.deliver("execution_agent", close)
    while desk.broker.net():
        desk.run(0.25)
    desk.run(0.25)
    assert desk.store.standing_entries()  # its end is told and not yet marked
    desk.propose(make_intent(number=2))
    desk.run(3)

    assert desk.statuses()[0] == "DONE"
    assert desk.statuses()[-1] == "DONE"
    assert desk.broker.net()


def test_a_book_that_has_not_heard_of_a_close_stands_in_nobodys_way(desk) -> None:
    desk.propose(make_intent(number=1))
    desk.run(3)
    desk.kill("position_book")
    first = make_intent(number=1).strategy_id
    close = CloseStructure(strategy_id=first, reason="manual", key="close-1", by="me")
    desk.deliver("execution_agent", close)
    while desk.broker.net():
        desk.run(0.25)
    desk.run(0.25)
    assert desk.store.standing_entries()
    desk.propose(make_intent(number=2))
    desk.run(3)

    assert desk.statuses()[-1] == "DONE"


def test_of_two_entries_that_wait_together_the_first_goes(tmp_path, monkeypatch) -> None:
    desk = Desk(tmp_path, monkeypatch, mode="semi_auto")
    desk.propose(make_intent(number=1))
    desk.propose(make_intent(StrategyType.IRON_CONDOR, CONDOR, number=2))
    desk.run(1)
    assert desk.statuses() == ["AWAITING_APPROVAL", "FAILED"]
    assert "is on its way" in refusal_of(desk).text
    desk.deliver("execution_agent", ApproveCommand(command_id=1, approved=True, by="me"))
    desk.run(3)

    assert desk.statuses() == ["DONE", "FAILED"]


def test_the_other_side_of_an_underlying_may_stand_beside(desk) -> None:
    desk.propose(make_intent(number=1))
    desk.run(3)
    desk.turn(phase=Phase.BULLISH)
    intent = make_intent(
        StrategyType.GAMMA_CAPTURE, (leg(26400, "C", "BUY"), leg(25500, "P", "BUY")), number=2
    )
    desk.propose(replace(intent, signal=replace(intent.signal, direction="BUY")))
    desk.run(3)

    assert desk.statuses() == ["DONE", "DONE"]


def test_an_entry_waits_for_a_regime_that_a_new_life_has_not_heard(desk) -> None:
    desk.regime = Regime()
    desk.kill("execution_agent")
    desk.begin("execution_agent")
    desk.propose(make_intent())
    desk.run(2)
    assert desk.broker.requests == []
    assert "REGIME_UNKNOWN" in desk.store.command(1).last_error
    desk.turn(vix_flags=(), vix=14.0, as_of_ns=desk.now_ns)
    desk.run(4)

    assert desk.statuses() == ["DONE"]
