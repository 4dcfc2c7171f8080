"""What a host does one after the other proves it alive each time: many calls are no silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actors.actor import Actor
from actors.supervision.directory import Directory
from tests.kit.recording_context import make_runtime
from tests.kit.simulated_tree import SimulatedTree

Simulate = Callable[..., SimulatedTree]


def test_each_call_that_was_put_off_shows_life_when_it_begins(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = simulate(make_runtime(tmp_path), {"directory": Directory, "caller": Actor})
    tree.start("directory", "caller")
    engine, board = tree.engine("caller"), tree.shared.board
    beats: list[int] = []

    def call() -> None:
        beats.append(board.get("caller", "beat_ns"))
        board.put("caller", beat_ns=0)  # as long ago as can be

    engine.context.soon.extend(("work", call) for _ in range(3))
    engine.handle("round", call)
    assert len(beats) == 4
    assert min(beats) > 0
