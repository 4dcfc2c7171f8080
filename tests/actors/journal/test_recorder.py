"""The recorder writes each fact once, in order, and says each decision in plain words."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from actors.journal.recorder import Recorder
from domain.orders import Fill
from messages.base import Message
from messages.control import PauseTrading
from messages.lifecycle import AlertRaised, ReportsWanted
from messages.market import FeedSwitched
from messages.trading import CloseStructure, OrderFilled, PositionChanged
from persistence.database import JournalBase, open_engine
from persistence.journal import JournalStore
from tests.kit.recording_context import RecordingContext, make_runtime

FILL = Fill(
    1, "k:1:BUY", "S", 1, "NFO", "NIFTY24NOV2625950CE", "NRML", "BUY", 65, Decimal("101.5"), 5
)


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    runtime = make_runtime(tmp_path)
    JournalBase.metadata.create_all(open_engine(runtime.journal_url))
    return RecordingContext("recorder", runtime)


def record(context: RecordingContext, message: Message) -> None:
    """One life of the recorder that hears one message."""
    recorder = Recorder(context, None)
    recorder.start()
    recorder.on_message(message)
    recorder.stop()


def facts(context: RecordingContext) -> list[str]:
    store = JournalStore(open_engine(context.runtime.journal_url))
    assert store.verify() == []
    return [fact.kind for fact in store.facts()]


def test_a_fact_is_on_disk_when_its_handler_returns(context: RecordingContext) -> None:
    record(context, OrderFilled(fill=FILL, broker="alpha", command_id=1, id="x:1:1", at_ns=7))
    assert facts(context) == ["OrderFilled"]


def test_a_message_told_again_after_a_crash_is_one_fact(context: RecordingContext) -> None:
    message = FeedSwitched(
        from_broker="a", to_broker="b", reason="mute", using_fallback=True, id="f:1:1"
    )
    record(context, message)
    record(context, message)
    assert facts(context) == ["FeedSwitched"]


def test_readings_of_which_the_newest_wins_do_not_go_to_the_recorder() -> None:
    assert not PositionChanged.is_recorded()
    assert not ReportsWanted.is_recorded()
    assert OrderFilled.is_recorded()


def test_a_decision_is_said_in_plain_words(context: RecordingContext) -> None:
    at_ns = 1_795_149_900_000_000_000
    record(context, OrderFilled(fill=FILL, broker="alpha", command_id=1, id="x:1:1", at_ns=at_ns))
    line = (context.runtime.data_dir / "log" / "decisions.log").read_text()
    assert line == "10:15:00  execution: bought 65 NIFTY24NOV2625950CE at 101.50 on alpha\n"


def test_a_critical_alert_is_said_where_a_person_looks_once_a_minute(
    context: RecordingContext,
) -> None:
    recorder = Recorder(context, None)
    recorder.start()
    for second in range(3):
        at_ns = 1_795_149_900_000_000_000 + second * 1_000_000_000
        text = f"the short is naked for {second} s"
        recorder.on_message(
            AlertRaised(
                level="CRITICAL", text=text, dedupe_key="S", id=f"x:1:{second}", at_ns=at_ns
            )
        )
    recorder.stop()
    lines = (context.runtime.data_dir / "log" / "decisions.log").read_text().splitlines()
    assert lines == ["10:15:00  CRITICAL: the short is naked for 0 s"]
    assert facts(context) == ["AlertRaised"] * 3


def test_what_a_person_did_stands_in_the_audit_trail(context: RecordingContext) -> None:
    record(context, PauseTrading(by="me", reason="budget day", id="d:1:1", at_ns=3))
    (row,) = JournalStore(open_engine(context.runtime.journal_url)).audit(10)
    assert (row["user_id"], row["action"], row["category"]) == ("me", "PauseTrading", "CONTROL")


def test_the_audit_trail_knows_from_where_a_person_asked(context: RecordingContext) -> None:
    record(context, PauseTrading(by="me@192.0.2.7", reason="", id="d:1:1", at_ns=3))
    record(context, OrderFilled(fill=FILL, broker="alpha", command_id=1, id="x.y:1:1", at_ns=7))
    store = JournalStore(open_engine(context.runtime.journal_url))
    assert store.verify() == []
    rows = store.audit(10)
    told = [(row["user_id"], row["ip_address"]) for row in rows]
    assert told == [("x.y", ""), ("me", "192.0.2.7")]


def test_a_close_that_a_person_ordered_stands_in_the_audit_trail(
    context: RecordingContext,
) -> None:
    recorder = Recorder(context, None)
    recorder.start()
    close = CloseStructure(strategy_id="S", reason="manual", key="k", by="me", id="d:1:2", at_ns=3)
    context.deliver(recorder, close)
    recorder.stop()
    (row,) = JournalStore(open_engine(context.runtime.journal_url)).audit(10)
    assert (row["user_id"], row["action"], row["category"]) == ("me", "CloseStructure", "EXECUTION")
