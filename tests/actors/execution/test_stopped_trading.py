"""After /tomic/stop no entry leaves any more; what has left and every exit go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.clock import seconds
from domain.errors import NotSent
from messages.control import (
    ApproveCommand,
    DeadLetterManaged,
    ManageDeadLetter,
    StartTrading,
    StopTrading,
)
from messages.trading import CloseStructure, CommandEnded, ProposalRecorded
from persistence.database import open_engine
from persistence.lease import LeaseStore
from persistence.settings import RUNNING, SettingStore
from tests.kit.trading_desk import LOT, Desk, make_intent

AGENT = "execution_agent"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


def stop(desk) -> None:
    desk.deliver(AGENT, StopTrading(by="me", reason="stopped by a person"))


def last_code(desk) -> str:
    return desk.announced(CommandEnded)[-1].refusal.code


def test_an_entry_that_waits_for_a_word_ends_with_the_stop(tmp_path, monkeypatch) -> None:
    desk = Desk(tmp_path, monkeypatch, mode="semi_auto")
    desk.propose(make_intent())
    desk.run(2)
    stop(desk)
    desk.deliver(AGENT, ApproveCommand(command_id=1, approved=True, by="me"))
    desk.run(3)

    assert desk.broker.requests == []
    assert (desk.statuses(), last_code(desk)) == (["FAILED"], "TRADING_STOPPED")


def test_an_entry_that_the_gate_has_not_answered_ends_with_the_stop(desk) -> None:
    answer = desk.gate
    desk.gate = lambda ask: None
    desk.propose(make_intent())
    stop(desk)
    desk.gate = answer
    desk.run(5)

    assert desk.broker.requests == []
    assert (desk.statuses(), last_code(desk)) == (["FAILED"], "TRADING_STOPPED")


def test_a_new_entry_is_refused_until_trading_is_started(desk) -> None:
    stop(desk)
    desk.propose(make_intent(number=1))
    desk.run(2)
    assert (desk.statuses(), last_code(desk)) == (["FAILED"], "TRADING_STOPPED")
    assert "stopped by a person (by me)" in desk.announced(CommandEnded)[-1].refusal.text

    desk.deliver(AGENT, StartTrading(by="me"))
    desk.propose(make_intent(number=2))
    desk.run(3)
    assert desk.statuses() == ["FAILED", "DONE"]


def test_a_structure_under_way_is_finished_and_an_exit_goes_on(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    assert len(desk.broker.requests) == 1
    stop(desk)
    desk.run(3)
    assert sorted(desk.broker.net().values()) == [-LOT, LOT]

    close = CloseStructure(strategy_id=intent.strategy_id, reason="tp_hit", key="c", by="x")
    desk.deliver(AGENT, close)
    desk.run(3)
    assert desk.broker.net() == {}


def test_a_new_life_remembers_that_trading_is_stopped(desk) -> None:
    SettingStore(open_engine(desk.runtime.database_url)).write(RUNNING, False)
    desk.kill(AGENT)
    desk.begin(AGENT)
    desk.propose(make_intent())
    desk.run(2)

    assert desk.broker.requests == []
    assert last_code(desk) == "TRADING_STOPPED"


def test_a_launch_that_does_not_start_by_itself_sends_nothing(tmp_path, monkeypatch) -> None:
    desk = Desk(tmp_path, monkeypatch, auto_start=False)
    desk.propose(make_intent())
    desk.run(2)

    assert desk.broker.requests == []


def test_no_dead_entry_is_tried_again_while_trading_is_stopped(desk) -> None:
    def down(request):
        raise NotSent("connection refused")

    desk.broker.script = down
    desk.propose(make_intent())
    desk.run(10)
    stop(desk)
    desk.deliver(
        AGENT, ManageDeadLetter(command_id=1, action="retry", by="me", reply_to="d", request="r")
    )

    (answer,) = [m for _, m in desk.told if isinstance(m, DeadLetterManaged)]
    assert answer.http_status == 409
    assert desk.statuses() == ["DEAD_LETTER"]


def test_an_entry_decided_before_another_instance_took_the_lease_is_refused(desk) -> None:
    lease = LeaseStore(open_engine(desk.runtime.database_url))
    lease.take(desk.runtime.installation, desk.now_ns, 30)
    lease.take("the other machine", desk.now_ns + seconds(31), 30)
    desk.propose(replace(make_intent(), fencing_number=1))
    desk.run(3)

    [said] = [m for _, m in desk.told if isinstance(m, ProposalRecorded)]
    assert said.refusal.code == "LEASE_LOST"
    assert "the other machine took the control lease" in said.refusal.text
    assert (desk.broker.requests, desk.statuses()) == ([], [])
