"""Who gets a processor first: the nodes that handle orders, while a market waits for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.hosting import process
from actors.runtime import ReplayPlan
from actors.supervision.directory import Directory
from tests.kit.recording_context import make_runtime
from tests.kit.simulated_tree import SimulatedTree

Simulate = Callable[..., SimulatedTree]


@pytest.mark.parametrize("replayed", [False, True], ids=["live", "replay"])
def test_who_handles_orders_goes_first_but_not_in_a_replay(
    tmp_path: Path, simulate: Simulate, replayed: bool
) -> None:
    plan = ReplayPlan(file=tmp_path, history=None, speed=0.0, report=None, interval_ns=1)
    runtime = make_runtime(tmp_path, replay=plan if replayed else None)
    classes = {"directory": Directory, "agent": Directory}
    shared = simulate(runtime, classes, order_path=("agent",)).shared
    first = {name for name in shared.nodes if shared.goes_first(name)}
    assert first == (set() if replayed else {"agent"})


@pytest.mark.parametrize("refusal", [PermissionError(1, "no right"), OSError(22, "not known")])
def test_a_system_that_does_not_grant_it_ends_nobody(
    monkeypatch: pytest.MonkeyPatch, refusal: OSError
) -> None:
    def refuse(*_: object) -> None:
        raise refusal

    monkeypatch.setattr("os.sched_setscheduler", refuse)
    assert not process.go_first()
    assert not process.may_go_first()
