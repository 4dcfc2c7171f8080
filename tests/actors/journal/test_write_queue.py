"""What the journal could not write is written later, in order; nothing of it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from actors.journal.journaling_agent import JournalingAgent
from actors.journal.recorder import Recorder
from actors.journal.write_queue import WAITING_MAX, WriteQueue
from domain.errors import StorageFailure
from messages.market import FeedSwitched
from messages.trading import CloseStructure, OrderFilled, StructureClosed, StructureOpened
from persistence.database import JournalBase, open_engine
from persistence.journal import JournalStore
from tests.kit.recording_context import RecordingContext, make_runtime
from tests.kit.trading_desk import Desk, make_intent

SWITCHED = FeedSwitched(from_broker="alpha", to_broker="beta", using_fallback=True, reason="mute")


@contextmanager
def no_writing(url: str, table: str) -> Iterator[None]:
    """Every write of that table fails, as on a disk that takes nothing."""
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO away")
    yield
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE away RENAME TO {table}")


def test_facts_that_could_not_be_written_are_written_later_in_order(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    JournalBase.metadata.create_all(open_engine(runtime.journal_url))
    context = RecordingContext("recorder", runtime)
    recorder = Recorder(context, None)
    recorder.start()
    with no_writing(runtime.journal_url, "facts"):
        recorder.on_message(replace(SWITCHED, id="x:1:1", at_ns=7))
        close = CloseStructure(strategy_id="S", reason="manual", key="c", by="me")
        recorder.on_message(replace(close, id="x:1:2", at_ns=8))
        context.advance(3.0)
    context.advance(1.0)
    recorder.stop()
    store = JournalStore(open_engine(runtime.journal_url))
    assert [fact.kind for fact in store.facts()] == ["FeedSwitched", "CloseStructure"]
    assert [row["action"] for row in store.audit(10)] == ["CloseStructure"]
    assert store.verify() == []


def test_a_trade_that_could_not_be_journaled_is_journaled_later(tmp_path, monkeypatch) -> None:
    desk = Desk(tmp_path, monkeypatch)
    url = desk.runtime.journal_url
    JournalBase.metadata.create_all(open_engine(url))
    context = RecordingContext("journaling_agent", desk.runtime, now_ns=desk.now_ns)
    agent = JournalingAgent(context, None)
    agent.start()
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    desk.deliver(
        "execution_agent",
        CloseStructure(strategy_id=intent.strategy_id, reason="tp_hit", key="c", by="me"),
    )
    desk.run(5)
    heard = (OrderFilled, StructureOpened, StructureClosed)
    with no_writing(url, "journal_entries"):
        for message in desk.heard:
            if isinstance(message, heard):
                context.deliver(agent, message)
        context.advance(2.0)
    context.advance(1.0)
    (row,) = JournalStore(open_engine(url)).entries()
    assert row["exit_reason"] == "tp_hit"
    assert Decimal(row["pnl"]) < 0


def test_a_queue_that_is_full_says_so(tmp_path: Path) -> None:
    def fail() -> None:
        raise StorageFailure("disk is full")

    queue = WriteQueue(RecordingContext("recorder", make_runtime(tmp_path)))
    for _ in range(WAITING_MAX):
        queue.put(fail)
    with pytest.raises(StorageFailure, match="wait already"):
        queue.put(fail)
