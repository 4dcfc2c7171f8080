"""The door: exits pass, entries need every breaker's word, silence is a denial, a kill is
latched."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from actors.risk import breaker_gate
from actors.risk.breaker_gate import BreakerGate, GateSettings
from domain.errors import StorageFailure
from domain.positions import intent_notional
from domain.supervision.topology import Node
from messages.books import BrokerConnectionChanged, ReconciliationDone
from messages.control import PauseTrading, ResumeAnswered, ResumeTrading
from messages.lifecycle import BranchGaveUp, NodeRestarted
from messages.market import SessionClosed, SessionOpened
from messages.trading import (
    BreakerVerdict,
    ClearOrder,
    OrderCleared,
    OrderDenied,
    OrderProposed,
    TradingModeChanged,
    WeighOrder,
)
from persistence.latches import read_latch
from tests.kit.recording_context import START_NS, RecordingContext
from tests.kit.risk_makers import BREAKERS, an_intent, breaker_nodes

ASKED = [*BREAKERS[:5], "breaker.connection.alpha"]
EXIT, ENTRY = True, False


def connected(proven=True, state="connected"):
    return BrokerConnectionChanged(
        broker="alpha", state=state, reason="", sandbox_proven=proven, proven_ns=START_NS
    )


def reconciled(clean=True, reason="", started_ns=START_NS):
    return ReconciliationDone(
        broker="alpha", clean=clean, reason=reason, unexplained=(), started_ns=started_ns
    )


OPENED = SessionOpened(
    day=date(2026, 11, 20),
    opens_ns=START_NS,
    closes_ns=START_NS + 1,
    intraday_exit_ns=0,
    square_off_ns=0,
)


@pytest.fixture
def life(runtime):
    lives = []

    def begin(ready=True):
        context = RecordingContext("breaker_gate", runtime, life=len(lives) + 1)
        gate = BreakerGate(context, GateSettings(broker="alpha"))
        gate.start()
        lives.append(gate)
        if ready:
            for fact in (OPENED, connected(), reconciled()):
                context.deliver(gate, fact)
        return gate, context

    yield begin
    for gate in lives:
        gate._engine.dispose()


def ask(gate, context, is_exit=ENTRY, command_id=7, broker="alpha"):
    context.deliver(
        gate,
        ClearOrder(
            command_id=command_id,
            broker=broker,
            underlying="NIFTY",
            notional=Decimal(1),
            margin=Decimal(1),
            leg_orders=4,
            is_exit=is_exit,
            reply_to="execution_agent",
        ),
    )


def answer(gate, context, names=ASKED, command_id=7, action="clear", **fields):
    for name in names:
        verdict = BreakerVerdict(command_id=command_id, breaker=name, action=action, **fields)
        context.deliver(gate, verdict)


def denied(context):
    return [(row.command_id, row.refusal.code) for row in context.heard(OrderDenied)]


def mode(context):
    return context.heard(TradingModeChanged)[-1].mode


def test_an_entry_is_cleared_when_every_breaker_of_its_broker_agrees(life):
    gate, context = life()
    ask(gate, context)
    assert sorted(n for n, m in context.told if isinstance(m, WeighOrder)) == sorted(ASKED)
    answer(gate, context, ASKED[:-1])
    assert not context.heard(OrderCleared)
    answer(gate, context, ASKED[-1:])
    assert [row.command_id for row in context.heard(OrderCleared)] == [7]
    context.advance(2)
    assert not context.heard(OrderDenied)


def test_silence_is_a_denial_that_names_who(life):
    gate, context = life()
    ask(gate, context)
    answer(gate, context, ASKED[1:])
    context.advance(1.0)
    [refused] = context.heard(OrderDenied)
    assert refused.refusal.code == "BREAKER_SILENT"
    assert "breaker.daily_max_loss" in refused.refusal.text
    answer(gate, context, ASKED[:1])
    assert not context.heard(OrderCleared)


@pytest.mark.parametrize("kept", [(), breaker_nodes()[1:], breaker_nodes()[:5]])
def test_an_entry_is_denied_where_a_breaker_of_its_broker_does_not_stand(life, runtime, kept):
    runtime.tree = Node("root", children=kept)
    gate, context = life()
    assert mode(context) == "halted"
    ask(gate, context)
    assert denied(context) == [(7, "BREAKER_MISSING")]
    ask(gate, context, EXIT, 8)
    assert [row.command_id for row in context.heard(OrderCleared)] == [8]
    assert "the topology runs without breaker." in resume(gate, context).reason


def test_an_exit_waits_for_nobody_in_any_mode(life):
    gate, context = life(ready=False)
    ask(gate, context, EXIT, 1)
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    ask(gate, context, EXIT, 2)
    assert [row.command_id for row in context.heard(OrderCleared)] == [1, 2]
    assert not [m for _, m in context.told if isinstance(m, WeighOrder)]


def test_one_denial_is_enough_and_names_its_breaker(life):
    gate, context = life()
    ask(gate, context)
    answer(gate, context, ASKED[:-2])
    answer(gate, context, ASKED[-2:-1], action="defer", reason="30 orders", retry_after_s=4.0)
    answer(gate, context, ASKED[-1:], action="deny", reason="too much")
    [refused] = context.heard(OrderDenied)
    assert (refused.refusal.code, refused.refusal.text) == ("CONNECTION", "too much")
    assert refused.retry_after_s == 0


def test_a_throttle_only_defers(life):
    gate, context = life()
    ask(gate, context)
    answer(gate, context, ASKED[1:])
    answer(gate, context, ASKED[:1], action="defer", reason="30 orders", retry_after_s=4.0)
    [refused] = context.heard(OrderDenied)
    assert refused.retry_after_s == 4.0


def test_a_defer_does_not_hide_a_silent_breaker(life):
    gate, context = life()
    ask(gate, context)
    answer(gate, context, ASKED[1:2], action="defer", reason="30 orders", retry_after_s=4.0)
    context.advance(1.0)
    assert denied(context) == [(7, "BREAKER_SILENT")]


def propose(gate, context):
    """The intent, and the question that went to the breakers for it."""
    intent = an_intent()
    context.deliver(gate, OrderProposed(intent=intent))
    return intent, [m for _, m in context.told if isinstance(m, WeighOrder)][-1].command_id


def ask_about(gate, context, intent, **fields):
    order = ClearOrder(
        command_id=7,
        broker="alpha",
        underlying=intent.structure.underlying,
        notional=intent_notional(intent),
        margin=intent.margin_required,
        leg_orders=4,
        is_exit=ENTRY,
        reply_to="execution_agent",
    )
    context.deliver(gate, replace(order, **fields))


def asked(context):
    return [m.command_id for _, m in context.told if isinstance(m, WeighOrder)]


def test_breakers_think_while_the_row_is_written_and_nothing_is_cleared_before_it_stands(life):
    gate, context = life()
    intent, early = propose(gate, context)
    answer(gate, context, command_id=early)
    assert not context.heard(OrderCleared)
    ask_about(gate, context, intent)
    assert [row.command_id for row in context.heard(OrderCleared)] == [7]
    assert asked(context) == [early] * len(ASKED)


def test_the_last_breaker_may_answer_after_execution_asked(life):
    gate, context = life()
    intent, early = propose(gate, context)
    answer(gate, context, ASKED[:-1], early)
    ask_about(gate, context, intent)
    assert not context.heard(OrderCleared)
    answer(gate, context, ASKED[-1:], early)
    assert [row.command_id for row in context.heard(OrderCleared)] == [7]


def test_one_early_yes_clears_one_order(life):
    gate, context = life()
    intent, early = propose(gate, context)
    answer(gate, context, command_id=early)
    ask_about(gate, context, intent)
    ask_about(gate, context, intent, command_id=8)
    assert [row.command_id for row in context.heard(OrderCleared)] == [7]
    assert asked(context)[-1] == 8


@pytest.mark.parametrize("action", ["deny", "defer"])
def test_a_breaker_that_objects_early_is_asked_again_for_the_order_itself(life, action):
    gate, context = life()
    intent, early = propose(gate, context)
    answer(gate, context, ASKED[1:], early)
    answer(gate, context, ASKED[:1], early, action=action, reason="too soon")
    ask_about(gate, context, intent)
    assert not context.heard(OrderDenied)
    assert asked(context)[-1] == 7
    answer(gate, context)
    assert [row.command_id for row in context.heard(OrderCleared)] == [7]


@pytest.mark.parametrize(
    "other", [{"broker": "beta"}, {"underlying": "X"}, {"notional": 1}, {"margin": 1}]
)
def test_an_early_yes_to_other_figures_counts_for_nothing(life, other):
    gate, context = life()
    intent, early = propose(gate, context)
    answer(gate, context, command_id=early)
    ask_about(gate, context, intent, **other)
    assert not context.heard(OrderCleared)


def test_an_early_yes_is_forgotten_after_the_deadline(life):
    gate, context = life()
    intent, early = propose(gate, context)
    answer(gate, context, command_id=early)
    context.advance(1.0)
    ask_about(gate, context, intent)
    assert not context.heard(OrderCleared)
    assert asked(context)[-1] == 7


def test_silence_to_an_early_question_is_a_denial_once_execution_asked(life):
    gate, context = life()
    intent, early = propose(gate, context)
    answer(gate, context, ASKED[1:], early)
    ask_about(gate, context, intent)
    context.advance(1.0)
    assert denied(context) == [(7, "BREAKER_SILENT")]


def test_a_kill_after_an_early_yes_still_denies(life):
    gate, context = life()
    intent, early = propose(gate, context)
    answer(gate, context, command_id=early)
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    ask_about(gate, context, intent)
    assert denied(context) == [(7, "KILLED")]


def test_a_kill_verdict_denies_and_latches(life):
    gate, context = life()
    ask(gate, context)
    answer(gate, context, ASKED[:1], action="kill", reason="loss")
    answer(gate, context, ASKED[1:])
    assert denied(context) == [(7, "KILLED")]
    assert mode(context) == "halted"
    assert read_latch(gate._engine, "kill").engaged


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (connected(proven=False), "SANDBOX_NOT_ACTIVE"),
        (connected(state="unreachable"), "BROKER_AWAY"),
        (
            SessionClosed(day=date(2026, 11, 20), reason="holiday", next_opens_ns=0),
            "SESSION_CLOSED",
        ),
        (
            NodeRestarted(name="executor.alpha", life=2, reason="", handles_orders=True),
            "NOT_RECONCILED",
        ),
        (PauseTrading(by="me", reason="stop"), "KILLED"),
    ],
)  # fmt: skip
def test_an_entry_is_refused_with_the_code_of_what_is_wrong(life, fact, code):
    gate, context = life()
    context.deliver(gate, fact)
    ask(gate, context)
    assert denied(context) == [(7, code)]
    assert not [m for _, m in context.told if isinstance(m, WeighOrder)]


def test_what_goes_wrong_while_breakers_think_still_counts(life):
    gate, context = life()
    ask(gate, context)
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    answer(gate, context)
    assert denied(context) == [(7, "KILLED")]


def test_a_proof_that_is_not_renewed_closes_the_door(life):
    gate, context = life()
    context.advance(140)
    assert mode(context) == "reducing"
    ask(gate, context)
    assert denied(context) == [(7, "SANDBOX_NOT_ACTIVE")]


def test_a_start_is_halted_until_the_books_agree(life):
    gate, context = life(ready=False)
    assert mode(context) == "halted"
    for fact in (OPENED, connected(), reconciled(clean=False, reason="one row differs")):
        context.deliver(gate, fact)
    assert mode(context) == "halted"
    context.deliver(gate, reconciled())
    assert mode(context) == "active"


def test_a_restart_of_a_book_keeper_halts_until_the_next_clean_pass(life):
    gate, context = life()
    restart = NodeRestarted(name="execution_agent", life=2, reason="crash", handles_orders=True)
    context.deliver(gate, restart)
    assert mode(context) == "halted"
    context.deliver(gate, reconciled())
    assert mode(context) == "active"


def test_a_pass_that_began_before_the_restart_does_not_open_the_gate(life):
    gate, context = life()
    context.advance(1)
    restart = NodeRestarted(name="executor.alpha", life=2, reason="crash", handles_orders=False)
    context.deliver(gate, restart)
    context.deliver(gate, reconciled())
    assert mode(context) == "halted"
    context.deliver(gate, reconciled(started_ns=context.now_ns()))
    assert mode(context) == "active"


def test_a_new_life_of_anyone_is_told_the_mode(life):
    gate, context = life()
    context.clear()
    restart = NodeRestarted(name="risk_agent", life=2, reason="", handles_orders=True)
    context.deliver(gate, restart)
    assert [(name, told.mode) for name, told in context.told] == [("risk_agent", "active")]
    assert context.heard(TradingModeChanged) == []


def test_an_order_branch_that_gives_up_kills(life):
    gate, context = life()
    context.deliver(gate, BranchGaveUp(name="web", reason="x", handles_orders=False))
    assert mode(context) == "active"
    context.deliver(gate, BranchGaveUp(name="executors", reason="x", handles_orders=True))
    assert context.heard(TradingModeChanged)[-1].killed


def test_the_latch_survives_a_restart_with_its_date(life):
    gate, context = life()
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    assert [row.level for row in context.alerts] == ["CRITICAL"]
    again, context = life()
    told = context.heard(TradingModeChanged)[-1]
    assert told.killed
    assert "stop" in told.reason
    assert "2026-11-20" in told.reason
    ask(again, context)
    assert denied(context) == [(7, "KILLED")]


def test_the_latch_is_on_disk_before_anyone_hears_of_it(life):
    gate, context = life()
    seen = []
    announce = context.announce

    def announce_and_look(message):
        if isinstance(message, TradingModeChanged):
            seen.append(read_latch(gate._engine, "kill").engaged)
        announce(message)

    context.announce = announce_and_look
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    assert seen == [True]


def test_a_second_kill_changes_nothing(life):
    gate, context = life()
    context.deliver(gate, PauseTrading(by="me", reason="first"))
    context.deliver(gate, PauseTrading(by="me", reason="second"))
    assert len(context.alerts) == 1
    assert read_latch(gate._engine, "kill").reason == "first (by me)"


def resume(gate, context, verdict="clear", silent=0):
    context.deliver(gate, ResumeTrading(by="me", reply_to="control_desk", request="r1"))
    asked = [m for _, m in context.told if isinstance(m, WeighOrder) and m.command_id < 0]
    if asked:
        answer(gate, context, ASKED[silent:], asked[-1].command_id, verdict, reason="loss")
        context.advance(1.0)
    return context.told_to("control_desk", ResumeAnswered)[-1]


def test_a_resume_clears_the_latch_when_nothing_holds_it(life):
    gate, context = life()
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    assert resume(gate, context).cleared
    assert mode(context) == "active"
    assert not read_latch(gate._engine, "kill").engaged


def test_a_resume_is_refused_while_a_kill_class_breaker_is_tripped(life):
    gate, context = life()
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    found = resume(gate, context, "kill")
    assert not found.cleared
    assert "loss" in found.reason
    assert context.heard(TradingModeChanged)[-1].killed


def test_a_resume_is_refused_while_a_breaker_is_silent_or_books_differ(life):
    gate, context = life()
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    assert not resume(gate, context, silent=1).cleared
    restart = NodeRestarted(name="position_book", life=2, reason="", handles_orders=True)
    context.deliver(gate, restart)
    assert "reconciled" in resume(gate, context).reason


def test_a_pause_that_comes_while_a_resume_is_decided_wins(life):
    gate, context = life()
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    context.deliver(gate, ResumeTrading(by="me", reply_to="control_desk", request="r1"))
    asked = [m for _, m in context.told if isinstance(m, WeighOrder)][-1]
    context.deliver(gate, PauseTrading(by="you", reason="again"))
    answer(gate, context, ASKED, asked.command_id)
    context.advance(2.0)
    told = context.told_to("control_desk", ResumeAnswered)
    assert [(row.cleared, row.reason) for row in told] == [(False, "stopped again: again (by you)")]
    assert read_latch(gate._engine, "kill").engaged
    assert mode(context) == "halted"


def test_a_resume_is_not_held_by_a_breaker_that_only_denies(life):
    gate, context = life()
    context.deliver(gate, PauseTrading(by="me", reason="stop"))
    assert resume(gate, context, "deny").cleared


def refusing(monkeypatch, module, times):
    """The disk takes no latch for so many writes."""
    left, real = [None] * times, module.write_latch

    def write(*args):
        if left:
            left.pop()
            raise StorageFailure("database is locked")
        real(*args)

    monkeypatch.setattr(module, "write_latch", write)


def test_a_kill_that_the_disk_does_not_take_stops_trading_and_is_latched_later(
    life, monkeypatch, runtime
):
    gate, context = life()
    refusing(monkeypatch, breaker_gate, times=2)
    context.deliver(gate, PauseTrading(by="me", reason="enough"))
    assert (mode(context), context.heard(TradingModeChanged)[-1].killed) == ("halted", True)
    ask(gate, context)
    assert denied(context) == [(7, "KILLED")]
    assert read_latch(gate._engine, "kill") is None
    assert "a restart would not know it yet" in context.alerts[0].text
    context.advance(2)
    latch = read_latch(gate._engine, "kill")
    assert (latch.engaged, latch.reason) == (True, "enough (by me)")


def test_a_resume_that_the_disk_does_not_take_is_none(life, monkeypatch):
    gate, context = life()
    context.deliver(gate, PauseTrading(by="me", reason="enough"))
    refusing(monkeypatch, breaker_gate, times=1)
    resume(gate, context)
    [said] = context.told_to("control_desk", ResumeAnswered)
    assert (said.cleared, said.reason) == (False, "database is locked; try again")
    assert context.heard(TradingModeChanged)[-1].killed
