"""What shows that a host lives: the calls of a replay's round do, an actor that only talks to
itself does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.actor import Actor, Context
from actors.runtime import ReplayPlan
from actors.supervision.directory import Directory
from tests.actors.supervision.test_stepper import TestStepper
from tests.kit.probe_actors import Poke
from tests.kit.recording_context import make_runtime
from tests.kit.simulated_tree import SimulatedTree

Simulate = Callable[..., SimulatedTree]


class Caller(Actor):
    """Three calls in its first event, of which each finds the beat of the moment and makes it
    old."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self.beats: list[int] = []

    def start(self) -> None:
        for _ in range(3):
            self.context.work(self._look, lambda _: None)

    def on_poke(self, message: Poke) -> None:
        """Talks to itself, as often as it is told."""
        self._look()
        if message.number:
            self.context.tell("caller", Poke(what="again", number=message.number - 1))

    def _look(self) -> None:
        board = self.context.plumbing.shared.board
        self.beats.append(board.get("caller", "beat_ns"))
        board.put("caller", beat_ns=0)


def test_each_call_of_a_round_shows_life_before_it_begins(
    tmp_path: Path, simulate: Simulate
) -> None:
    plan = ReplayPlan(file=tmp_path, history=None, speed=0.0, report=None, interval_ns=1)
    classes = {"directory": Directory, "stepper": TestStepper, "caller": Caller}
    tree = simulate(make_runtime(tmp_path, replay=plan), classes)
    tree.start("directory", "stepper", "caller")
    tree.run_until(lambda: tree.engine("caller").actor is not None)
    beats = tree.actor("caller").beats
    assert len(beats) == 3
    assert min(beats) > 0


def test_an_actor_that_only_talks_to_itself_shows_no_life(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = simulate(make_runtime(tmp_path), {"directory": Directory, "caller": Caller})
    tree.start("directory", "caller")
    engine = tree.engine("caller")
    tree.run_until(lambda: len(engine.actor.beats) == 3)  # its worker's, which are not looked at
    engine.actor.beats.clear()
    engine.handle("poke", lambda: engine.actor.on_poke(Poke(what="again", number=3)))
    assert engine.actor.beats[1:] == [0, 0, 0]
