"""The desk turns each request into a command and each outcome into one answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.desk.control_desk import ControlDesk
from domain.supervision.topology import Node
from messages.control import (
    CloseRecorded,
    DecideOutcome,
    DeskAnswered,
    DeskRequest,
    InjectSignal,
    OutcomeDecided,
    PauseTrading,
    ResumeAnswered,
    ResumeTrading,
    SignalInjected,
    StartTrading,
    StopTrading,
    TradingResumed,
)
from messages.lifecycle import NodeRestarted, RestartNode
from messages.trading import CloseStructure, TradingModeChanged
from persistence.database import MainBase, open_engine
from persistence.settings import RESUMED_NS, SettingStore
from tests.kit.recording_context import RecordingContext, make_runtime

SIGNAL = {"instrument": "NIFTY", "strategy_type": "DITM_CALL", "direction": "BUY"}


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    tree = Node("root", strategy="one_for_one", children=(Node("feeds", actor="x"),))
    runtime = make_runtime(tmp_path, tree=tree)
    MainBase.metadata.create_all(open_engine(runtime.database_url))
    return RecordingContext("control_desk", runtime)


@pytest.fixture
def desk(context: RecordingContext) -> ControlDesk:
    return start(context, auto_start=True)


def start(context: RecordingContext, *, auto_start: bool, life: int = 1) -> ControlDesk:
    settings = SimpleNamespace(auto_start=auto_start, mode="sandbox")
    context.runtime.settings = settings
    context.life = life
    actor = ControlDesk(context, None)
    actor.start()
    return actor


def ask(context: RecordingContext, desk: ControlDesk, action: str, /, **body: Any) -> None:
    context.deliver(desk, DeskRequest(request="r1", action=action, body=body, by="me"))


def answers(context: RecordingContext) -> list[DeskAnswered]:
    return context.told_to("status_board", DeskAnswered)


def test_auto_start_begins_the_loop(context: RecordingContext, desk: ControlDesk) -> None:
    assert [message.by for message in context.heard(StartTrading)] == ["auto start"]


def test_a_stop_by_a_person_survives_a_crash_of_the_desk(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "stop")
    context.clear()
    start(context, auto_start=True, life=2)
    assert context.heard(StartTrading) == []


def test_a_new_signal_loop_is_started_again(context: RecordingContext, desk: ControlDesk) -> None:
    context.clear()
    restarted = NodeRestarted(name="signal_loop", life=2, reason="killed", handles_orders=False)
    context.deliver(desk, restarted)
    assert len(context.heard(StartTrading)) == 1
    ask(context, desk, "stop")
    context.clear()
    context.deliver(desk, restarted)
    assert context.heard(StartTrading) == []


def test_start_is_refused_while_the_kill_latch_is_set(
    context: RecordingContext, desk: ControlDesk
) -> None:
    context.deliver(
        desk, TradingModeChanged(mode="halted", killed=True, reason="day loss", since_ns=1)
    )
    ask(context, desk, "start")
    assert answers(context)[-1].http_status == 409


def mode(killed: bool, reason: str = "budget day") -> TradingModeChanged:
    return TradingModeChanged(
        mode="halted" if killed else "active", killed=killed, reason=reason, since_ns=1
    )


def test_pause_is_answered_when_the_gate_has_latched_it(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "pause", reason="budget day")
    assert context.heard(PauseTrading)[0].reason == "budget day"
    context.deliver(desk, mode(killed=False))
    assert answers(context) == []
    context.deliver(desk, mode(killed=True))
    (answer,) = answers(context)
    assert (answer.http_status, answer.body["message"]) == (200, "TOMIC paused: budget day")


def test_a_pause_that_nobody_latched_is_not_called_paused(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "pause")
    context.advance(5.1)
    (answer,) = answers(context)
    assert (answer.http_status, answer.body["code"]) == (503, "NO_ANSWER")
    assert "nothing proves that trading is paused" in answer.body["message"]
    context.deliver(desk, mode(killed=True))
    assert len(answers(context)) == 1


def test_a_second_pause_is_answered_at_once(context: RecordingContext, desk: ControlDesk) -> None:
    context.deliver(desk, mode(killed=True))
    ask(context, desk, "pause")
    assert len(context.heard(PauseTrading)) == 1
    assert answers(context)[0].http_status == 200


def test_resume_waits_for_the_gates_word(context: RecordingContext, desk: ControlDesk) -> None:
    ask(context, desk, "resume")
    (asked,) = context.told_to("breaker_gate", ResumeTrading)
    assert answers(context) == []
    context.deliver(
        desk, ResumeAnswered(request=asked.request, cleared=False, reason="day loss 6.4 %")
    )
    (answer,) = answers(context)
    assert (answer.http_status, answer.body["message"]) == (409, "day loss 6.4 %")


def test_a_silent_actor_becomes_an_answer_and_its_late_word_is_dropped(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "resume")
    context.advance(5.1)
    (answer,) = answers(context)
    assert answer.http_status == 503
    assert "breaker_gate did not answer" in answer.body["message"]
    context.deliver(desk, ResumeAnswered(request="r1", cleared=True, reason=""))
    assert len(answers(context)) == 1


def test_a_bad_signal_names_every_field_and_goes_nowhere(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "inject_signal", instrument="", strategy_type="MOON_SHOT", direction="UP")
    (answer,) = answers(context)
    assert answer.http_status == 400
    named = {row["field"] for row in answer.body["details"]}
    assert {"instrument", "strategy_type", "direction"} <= named
    assert context.told_to("risk_agent") == []


def test_a_signal_is_answered_when_risk_has_its_row(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "inject_signal", **SIGNAL)
    (told,) = context.told_to("risk_agent", InjectSignal)
    assert told.by == "me"
    assert answers(context) == []
    context.deliver(
        desk,
        SignalInjected(
            request=told.request, correlation_id="c1", duplicate=False, conflict=False, pending=1
        ),
    )
    (answer,) = answers(context)
    assert (answer.http_status, answer.body["correlation_id"]) == (202, "c1")


def test_the_same_key_with_another_payload_is_a_conflict(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "inject_signal", **SIGNAL)
    context.deliver(
        desk,
        SignalInjected(request="r1", correlation_id="c", duplicate=True, conflict=True, pending=0),
    )
    assert answers(context)[-1].body["code"] == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize("state", ["stopped", "paused"])
def test_no_signal_is_taken_while_nothing_may_be_entered(
    context: RecordingContext, desk: ControlDesk, state: str
) -> None:
    if state == "stopped":
        ask(context, desk, "stop")
    else:
        context.deliver(
            desk, TradingModeChanged(mode="halted", killed=True, reason="x", since_ns=1)
        )
    ask(context, desk, "inject_signal", **SIGNAL)
    assert answers(context)[-1].http_status == 409
    assert state in answers(context)[-1].body["message"]


def test_only_nodes_of_the_tree_are_restarted(context: RecordingContext, desk: ControlDesk) -> None:
    ask(context, desk, "restart_node", name="feeds")
    ask(context, desk, "restart_node", name="nobody")
    assert [message.name for message in context.heard(RestartNode)] == ["feeds"]
    assert [answer.http_status for answer in answers(context)] == [202, 404]


def test_a_close_by_hand_that_is_asked_again_is_another(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "close_structure", strategy_id="S1")
    context.advance(1)
    ask(context, desk, "close_structure", strategy_id="S1")
    keys = [message.key for message in context.told_to("execution_agent", CloseStructure)]
    assert len(set(keys)) == 2
    assert all(key.startswith("S1:close:manual:") for key in keys)


def test_a_close_is_taken_when_its_row_is_on_disk_and_not_before(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "close_structure", strategy_id="S1")
    assert answers(context) == []
    [close] = context.told_to("execution_agent", CloseStructure)
    assert (close.reply_to, close.request) == ("control_desk", "r1")
    context.deliver(
        desk, CloseRecorded(request="r1", http_status=202, code="", text="S1 is being closed")
    )
    [answer] = answers(context)
    assert (answer.http_status, answer.body["message"]) == (202, "S1 is being closed")


def test_a_close_that_nobody_wrote_down_is_said_to_be_unproven(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "close_structure", strategy_id="S1")
    context.advance(5)
    [answer] = answers(context)
    assert (answer.http_status, answer.body["code"]) == (503, "NO_ANSWER")
    assert answer.body["message"].endswith("nothing proves that it was done")


def test_stop_and_start_are_told_to_all(context: RecordingContext, desk: ControlDesk) -> None:
    context.clear()
    ask(context, desk, "stop")
    ask(context, desk, "start")
    assert len(context.heard(StopTrading)) == 1
    assert len(context.heard(StartTrading)) == 1


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("resume", {}),
        ("inject_signal", SIGNAL),
        ("close_structure", {"strategy_id": "S"}),
        ("approve", {"command_id": 1, "approved": True}),
        ("dead_letter", {"command_id": 1, "action": "retry"}),
    ],
)
def test_what_a_person_orders_of_one_actor_is_told_to_the_audit_trail_too(
    context: RecordingContext, desk: ControlDesk, action: str, body: dict[str, Any]
) -> None:
    context.clear()
    ask(context, desk, action, **body)
    carried = [
        message for whom, message in context.told if whom not in ("recorder", "status_board")
    ]
    told = [type(row) for row in context.told_to("recorder")]
    assert told == [DeskRequest, *(type(row) for row in carried)]  # what a replay asks again
    assert len(carried) == 1


def test_a_scan_changes_nothing_and_no_replay_asks_for_it(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "scan")
    assert context.told_to("recorder") == []


def test_a_dead_letter_is_not_tried_again_while_paused_but_may_be_removed(
    context: RecordingContext, desk: ControlDesk
) -> None:
    paused = TradingModeChanged(mode="halted", killed=True, reason="x", since_ns=1)
    context.deliver(desk, paused)
    context.clear()
    ask(context, desk, "dead_letter", command_id=1, action="retry")
    assert (answers(context)[-1].http_status, context.told_to("execution_agent")) == (409, [])
    ask(context, desk, "dead_letter", command_id=1, action="delete")
    assert len(context.told_to("execution_agent")) == 1


@pytest.mark.parametrize("state", ["stopped", "paused"])
def test_no_approval_is_taken_while_no_entry_may_be_made(
    context: RecordingContext, desk: ControlDesk, state: str
) -> None:
    if state == "stopped":
        ask(context, desk, "stop")
    else:
        context.deliver(desk, mode(killed=True))
    ask(context, desk, "approve", command_id=7, approved=True)
    answer = answers(context)[-1]
    assert answer.http_status == 409
    assert f"the runtime is {state}" in answer.body["message"]
    assert context.told_to("execution_agent") == []


def test_a_resume_that_the_gate_granted_is_a_fact_that_outlives_the_desk(
    context: RecordingContext, desk: ControlDesk
) -> None:
    ask(context, desk, "resume")
    context.deliver(desk, ResumeAnswered(request="r1", cleared=False, reason="day loss"))
    assert context.heard(TradingResumed) == []
    ask(context, desk, "resume")
    context.deliver(desk, ResumeAnswered(request="r1", cleared=True, reason=""))
    assert len(context.heard(TradingResumed)) == 1
    stored = SettingStore(open_engine(context.runtime.database_url))
    assert stored.read(RESUMED_NS, 0) == context.now_ns()


def test_a_persons_word_is_audited_and_answered_by_executions_word(context, desk) -> None:
    ask(context, desk, "decide_outcome", order="k", word="OURS", broker_order_id="B7", reason="")
    told = [(target, m) for target, m in context.told if isinstance(m, DecideOutcome)]
    assert [target for target, _ in told] == ["execution_agent", "recorder"]
    assert told[0][1].by == "me"
    answer = OutcomeDecided(
        request="r1", client_order_id="k", http_status=409, code="TAKEN", text="taken", by="me"
    )
    context.deliver(desk, answer)
    [said] = answers(context)
    assert (said.http_status, said.body["code"], said.body["message"]) == (409, "TAKEN", "taken")
