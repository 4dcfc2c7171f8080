"""What the bus dropped on its way to an actor is said, and not again and again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger

from actors.hosting import context as module
from actors.hosting.context import HostContext
from adapters.tick_bus import BusCounters
from messages.lifecycle import AlertRaised


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(ns=1)
    clock = SimpleNamespace(monotonic_ns=lambda: now.ns, time_ns=lambda: now.ns)
    monkeypatch.setattr(module, "time", clock)
    return now


def test_lost_and_unreadable_batches_are_alerted_at_most_once_a_minute(clock: Any) -> None:
    shared: Any = SimpleNamespace(
        nodes={"reader": SimpleNamespace(instance="")},
        runtime=SimpleNamespace(replay=None),
        stepped=frozenset(),
    )
    postman: Any = None
    context = HostContext("reader", 1, shared, postman, logger)
    counters = BusCounters()
    subscriber: Any = SimpleNamespace(drain=lambda **_: [], counters=counters)
    context.subscriber = subscriber
    said: list[AlertRaised] = []
    context.announce = said.append  # type: ignore[method-assign, assignment]
    context.drain_bus()
    assert said == []
    counters.missed, counters.refused["frame"] = 4, 1
    context.drain_bus()
    counters.missed = 6
    context.drain_bus()
    assert [row.text for row in said] == ["reader did not get 5 batches of market data, 5 in all"]
    clock.ns += 60_000_000_000
    context.drain_bus()
    context.drain_bus()
    assert [row.text for row in said[1:]] == [
        "reader did not get 2 batches of market data, 7 in all"
    ]
    assert {row.level for row in said} == {"RISK"}
