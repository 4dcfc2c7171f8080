"""A trade's row has the execution of its entry, though legs fill before the structure stands."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.journal.journaling_agent import JournalingAgent
from domain.orders import Fill
from messages.trading import CommandEnded, OrderFilled, StructureOpened
from persistence.database import JournalBase, open_engine
from persistence.journal import JournalStore
from tests.kit.recording_context import RecordingContext, make_runtime


@pytest.fixture
def context(tmp_path: Path) -> RecordingContext:
    runtime = make_runtime(tmp_path)
    JournalBase.metadata.create_all(open_engine(runtime.journal_url))
    return RecordingContext("journaling_agent", runtime)


@pytest.fixture
def agent(context: RecordingContext) -> JournalingAgent:
    actor = JournalingAgent(context, None)
    actor.start()
    return actor


def filled(strategy_id: str, ticks: float, latency_ms: float) -> OrderFilled:
    fill = Fill(1, "k", strategy_id, 0, "NFO", "CE1", "NRML", "BUY", 65, Decimal("101.5"), 5)
    return OrderFilled(
        fill=fill, broker="alpha", command_id=1, latency_ms=latency_ms, slippage_ticks=ticks
    )


def opened(strategy_id: str) -> StructureOpened:
    signal = SimpleNamespace(instrument="NIFTY", direction="SELL", extras={})
    intent: Any = SimpleNamespace(
        idempotency_key=f"{strategy_id}:entry", correlation_id="c", strategy_id=strategy_id,
        strategy_tag="T", signal=signal, structure=SimpleNamespace(legs=(), credit=86.0),
        quantity=65, entry_reason="", regime_phase="CONGESTION", regime_score=0, vix=14.0,
        sizing=(),
    )  # fmt: skip
    return StructureOpened(intent=intent, command_id=1, at_ns=9)


def executions(context: RecordingContext) -> list[tuple[float, float]]:
    rows = JournalStore(open_engine(context.runtime.journal_url)).entries()
    return [(row["slippage_ticks"], row["latency_ms"]) for row in rows]


def test_the_worst_of_its_fills_stands_in_the_row(
    context: RecordingContext, agent: JournalingAgent
) -> None:
    for message in (filled("S", 2.0, 40.0), filled("S", 1.0, 90.0), opened("S")):
        context.deliver(agent, message)
    assert executions(context) == [(2.0, 90.0)]
    context.deliver(agent, filled("S", 5.0, 10.0))
    assert executions(context) == [(5.0, 90.0)]


def test_fills_of_a_structure_that_never_stood_are_forgotten(
    context: RecordingContext, agent: JournalingAgent
) -> None:
    context.deliver(agent, filled("S", 2.0, 40.0))
    ended = CommandEnded(
        command_id=1, correlation_id="c", strategy_id="S", status="FAILED", is_exit=False
    )
    context.deliver(agent, ended)
    context.deliver(agent, opened("S"))
    assert executions(context) == [(0.0, 0.0)]
