"""Fixtures of the supervision stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.actor import Actor
from tests.kit.simulated_tree import SimulatedTree


@pytest.fixture
def simulate() -> Iterator[Callable[..., SimulatedTree]]:
    """Makes simulated trees and closes them after the test."""
    trees: list[SimulatedTree] = []

    def make(
        runtime: Any, classes: dict[str, type[Actor]], seed: int = 0, **more: Any
    ) -> SimulatedTree:
        trees.append(SimulatedTree(runtime, classes, seed, **more))
        return trees[-1]

    yield make
    for tree in trees:
        tree.close()
