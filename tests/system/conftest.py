"""Fixtures of tests that run the real system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.kit.running_tree import PROGRAM, RunningTree
from tests.kit.trading_system import ROOM_FOR_DRILLS, TradingSystem, trading_system


@pytest.fixture
def start_tree(tmp_path: Path) -> Iterator[Callable[..., RunningTree]]:
    """Starts trees of `children` of the root (YAML text) and reaps them after the test."""
    running: list[RunningTree] = []

    def start(
        branches: str, *words: str, ready: bool = True, program: Sequence[str] = PROGRAM
    ) -> RunningTree:
        folder = tmp_path / f"tree{len(running)}"
        folder.mkdir()
        tree = RunningTree(folder, branches, *words, program=program)
        running.append(tree)
        return tree.wait_ready() if ready else tree

    yield start
    for tree in running:
        tree.reap()


@pytest.fixture(scope="module")
def quiet_system() -> Iterator[TradingSystem]:
    """The default tree without scans of its own: only what a test injects is traded."""
    with trading_system({"TOMIC_SIGNAL_LOOP_ENABLED": "false"}, ROOM_FOR_DRILLS) as system:
        yield system
