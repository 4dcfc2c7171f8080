"""The journal counts the minute, knows paper from live, and tells what trading has proven."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.journal.journaling_agent import JournalingAgent
from domain.intents import Refusal
from domain.settings import Settings
from messages.lifecycle import AlertRaised
from messages.market import FeedSwitched
from messages.trading import (
    CloseStructure,
    CommandEnded,
    OrderAccepted,
    OrderFilled,
    OrderProposed,
    OrderRejected,
    SignalRefused,
    StructureClosed,
    StructureOpened,
    TrackRecordTold,
)
from persistence.database import JournalBase, open_engine
from persistence.journal import JournalStore
from persistence.metrics import MetricStore
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime
from tests.kit.risk_makers import a_signal, an_intent
from tests.kit.trading_desk import Desk, make_intent

MINUTE_NS = 60 * 10**9
DAY_NS = 86_400 * 10**9


@pytest.fixture
def begin(tmp_path):
    """Lives of the agent on one folder."""

    def life(mode: str = "sandbox", sandbox: bool = True, now_ns: int = START_NS):
        runtime = make_runtime(tmp_path, settings=Settings(mode=mode), sandbox=sandbox)
        from persistence.database import MainBase

        MainBase.metadata.create_all(open_engine(runtime.database_url))
        JournalBase.metadata.create_all(open_engine(runtime.journal_url))
        context = RecordingContext("journaling_agent", runtime, now_ns=now_ns)
        agent = JournalingAgent(context, None)
        agent.start()
        return agent, context, MetricStore(open_engine(runtime.journal_url))

    return life


def happenings():
    """One of everything that is counted."""
    return (
        OrderAccepted(client_order_id="a", broker_order_id="1", broker="alpha"),
        OrderRejected(client_order_id="b", broker="alpha", error_class="", reason="no"),
        SignalRefused(
            signal=a_signal(), result="blocked_freshness", refusal=Refusal("STALE_QUOTE", "old")
        ),
        CommandEnded(
            command_id=1, correlation_id="", strategy_id="s", status="DEAD_LETTER", is_exit=True
        ),
        FeedSwitched(from_broker="a", to_broker="b", reason="silent", using_fallback=True),
        AlertRaised(level="CRITICAL", text="tripped", dedupe_key="breaker:DAILY_MAX_LOSS"),
        AlertRaised(level="RISK", text="2 commands", dedupe_key="lease:reclaimed"),
        StructureClosed(
            strategy_id="s", strategy_tag="t", reason="unhedged_cut", gross=Decimal(0),
            charges=Decimal(0), net=Decimal(0),
        ),
    )  # fmt: skip


def test_a_minute_is_written_when_it_is_over(begin):
    agent, context, store = begin()
    for message in happenings():
        context.deliver(agent, message)
    assert store.minutes(0) == []
    context.advance(60)
    (row,) = store.minutes(0)
    assert row["minute_ns"] == START_NS - START_NS % MINUTE_NS
    assert {name: count for name, count in row.items() if count and name != "minute_ns"} == {
        "orders_placed": 1, "orders_rejected": 1, "stale_blocks": 1, "dead_letters": 1,
        "failovers": 1, "breaker_trips": 1, "lease_reclaims": 1, "unhedged_incidents": 1,
    }  # fmt: skip
    context.advance(600)
    assert len(store.minutes(0)) == 1  # quiet minutes have no row


def test_minutes_of_two_months_ago_are_gone(begin):
    agent, context, store = begin()
    context.deliver(agent, happenings()[0])
    context.advance(60)
    agent, context, store = begin(now_ns=START_NS + 61 * DAY_NS)
    context.deliver(agent, happenings()[0])
    context.advance(60)
    assert [row["minute_ns"] >= START_NS + 60 * DAY_NS for row in store.minutes(0)] == [True]


def test_what_is_too_much_in_an_hour_is_told(begin):
    agent, context, _ = begin()
    for _ in range(21):
        context.deliver(agent, happenings()[2])
    context.advance(60)
    assert [row.dedupe_key for row in context.alerts] == ["observed:stale_blocks"]


def told(context):
    return [m for m in context.announced if isinstance(m, TrackRecordTold)][-1].record


def test_signals_count_for_their_day_and_their_mode(begin):
    agent, context, _ = begin()
    for _ in range(2):
        context.deliver(agent, OrderProposed(intent=an_intent()))
    agent, context, _ = begin(now_ns=START_NS + DAY_NS)
    context.deliver(agent, OrderProposed(intent=an_intent()))
    agent, context, _ = begin("semi_auto", sandbox=False, now_ns=START_NS + DAY_NS)
    context.deliver(agent, OrderProposed(intent=an_intent()))
    _, context, _ = begin()
    assert (told(context).paper.days, told(context).paper.signals) == (2, 3)


@pytest.mark.parametrize("on_paper", [True, False])
def test_a_trade_is_marked_as_of_paper_or_of_money_and_counts_there(
    tmp_path, monkeypatch, on_paper
):
    desk = Desk(tmp_path, monkeypatch)
    JournalBase.metadata.create_all(open_engine(desk.runtime.journal_url))
    intent = make_intent()
    desk.propose(intent)
    desk.run(3)
    desk.deliver(
        "execution_agent",
        CloseStructure(strategy_id=intent.strategy_id, reason="tp_hit", key="c", by="me"),
    )
    desk.run(5)
    store = JournalStore(open_engine(desk.runtime.journal_url))
    for now_on_paper in (on_paper, not on_paper):  # a new life in another mode changes nothing
        desk.runtime.is_on_paper = now_on_paper
        context = RecordingContext("journaling_agent", desk.runtime, now_ns=desk.now_ns)
        agent = JournalingAgent(context, None)
        agent.start()
        for message in desk.heard:
            if isinstance(message, (OrderFilled, StructureOpened, StructureClosed)):
                context.deliver(agent, message)
        (row,) = store.entries()
        assert row["paper"] is on_paper
        assert told(context).paper.trades == on_paper
        assert (store.first_live_entry_ns() > 0) is not on_paper
        assert ("first is not over" in told(context).phase.reason) is not on_paper
