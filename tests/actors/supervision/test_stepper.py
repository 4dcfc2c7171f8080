"""A replay repeats itself: the order of events does not depend on the order of deliveries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.actor import Actor, Context
from actors.runtime import ReplayPlan
from actors.supervision import stepper
from actors.supervision.directory import Directory
from actors.supervision.stepper import Stepper
from adapters.tick_bus import Batch
from domain.prices import TICK_DTYPE
from messages.lifecycle import HealthReported
from tests.kit.probe_actors import Noted, Poke
from tests.kit.recording_context import make_runtime
from tests.kit.simulated_tree import SimulatedTree

Simulate = Callable[..., SimulatedTree]

SECOND = 1_000_000_000
OPEN_NS = 1_795_149_900 * SECOND
STEPS = 5


class RecordedRows:
    """A market of STEPS rows, one a second, or as far apart as `interval_ns` says."""

    def __init__(self, interval_ns: int = SECOND) -> None:
        self.now_ns, self.step = OPEN_NS, 0
        self._interval_ns = interval_ns

    def advance(self, to_ns: int) -> dict[str, Any]:
        self.now_ns = max(self.now_ns, to_ns)
        self.step = min(STEPS, (self.now_ns - OPEN_NS) // self._interval_ns)
        ended = self.step >= STEPS
        next_ns = None if ended else OPEN_NS + (self.step + 1) * self._interval_ns
        return {"now_ns": self.now_ns, "next_ns": next_ns, "ended": ended, "step": self.step}


class TestStepper(Stepper):
    """A stepper whose market is above."""

    __test__ = False

    def open_market(self) -> Any:
        return RecordedRows()


class MinuteStepper(TestStepper):
    """Its market has a row a minute."""

    def open_market(self) -> Any:
        return RecordedRows(60 * SECOND)


class Source(Actor):
    """Publishes each half second, and tells what it published."""

    PUBLISHES = ("ticks",)

    def start(self) -> None:
        self._count = 0
        self.context.every(0.5, self._publish)
        self.context.subscribe("ticks.", lambda _: None)  # who hears nothing rests

    def _publish(self) -> None:
        self._count += 1
        self.context.report({"beats": self._count})
        columns = np.zeros(1, TICK_DTYPE)
        self.context.publish(f"ticks.{self.context.name}", columns, {})
        self.context.announce(Noted(text=f"{self.context.name}:{self._count}"))


class Board(Actor):
    """The status board's place: the newest report of each."""

    STEPPED = False

    def start(self) -> None:
        self.newest: dict[str, int] = {}

    def on_health_reported(self, message: HealthReported) -> None:
        if "beats" in message.body:
            self.newest[message.name] = message.body["beats"]


class Listener(Actor):
    """Writes down what it hears, with the clock; echoes each fact to the other listener."""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self.lines: list[tuple[str, int]] = []

    def start(self) -> None:
        self.context.subscribe("ticks.", self._on_batch)

    def _note(self, text: str) -> None:
        self.lines.append((text, (self.context.now_ns() - OPEN_NS) // 1_000_000))

    def _on_batch(self, batch: Batch) -> None:
        self._note(f"{batch.topic}:{batch.sequence}")

    def on_noted(self, message: Noted) -> None:
        self._note(message.text)
        other = {"left": "right", "right": "left"}[self.context.name]
        self.context.work(lambda: message.text, lambda text: self._tell(other, str(text)))

    def _tell(self, other: str, text: str) -> None:
        for number in (1, 2):
            self.context.tell(other, Poke(what=text, number=number))

    def on_poke(self, message: Poke) -> None:
        self._note(f"{message.id}:{message.what}:{message.number}")


class Sleeper(Actor):
    """Hears nothing and beats; far apart or near, at its own times or with the others."""

    def start(self) -> None:
        self.beats: dict[float, list[int]] = {0.7: [], 1.0: [], 30.0: []}
        for period_s, beats in self.beats.items():
            self.context.every(period_s, lambda beats=beats: beats.append(self._second()))

    def _second(self) -> int:
        return self.context.now_ns() // SECOND % 60


class Onlooker(Listener):
    """Reads the market itself, as a shard does: ready when the step is there."""

    def has_market_step(self, number: int) -> bool:
        return True


class Greeter(Actor):
    """Tells one letter as it starts."""

    def start(self) -> None:
        self.context.tell("left", Poke(what="hello", number=0))


def replayed(
    simulate: Simulate, folder: Path, seed: int, instance: str = "", speed: float = 0.0
) -> SimulatedTree:
    """With an instance, both listeners speak to one broker and so take turns."""
    plan = ReplayPlan(file=folder, history=None, speed=speed, report=None, interval_ns=SECOND)
    runtime = make_runtime(folder, replay=plan)
    classes = {
        "directory": Directory, "stepper": TestStepper, f"left{instance}": Listener,
        f"right{instance}": Listener, "first": Source, "second": Source,
        "status_board": Board,
    }  # fmt: skip
    tree = simulate(runtime, classes, seed)
    tree.start("directory", "stepper", "status_board", "left", "right", "first", "second")
    return tree


def has_ended(tree: SimulatedTree) -> bool:
    return bool(tree.actor("stepper")._ended)


def test_two_runs_with_other_delays_hear_the_same_in_the_same_order(
    tmp_path: Path, simulate: Simulate
) -> None:
    runs = []
    for seed in (1, 2, 3):
        tree = replayed(simulate, tmp_path, seed)
        tree.run_until(lambda tree=tree: has_ended(tree))
        runs.append((tree.actor("left").lines, tree.actor("right").lines))
    assert len(runs[0][0]) > 40
    assert runs[0] == runs[1] == runs[2]


def test_a_fact_of_one_instant_is_heard_by_all_at_that_instant(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = replayed(simulate, tmp_path, 7)
    tree.run_until(lambda: has_ended(tree))
    heard = tree.actor("left").lines
    assert [at for text, at in heard if text == "first:1"] == [500]
    assert [at for text, at in heard if text == "first:4"] == [2000]
    at_500 = [text for text, at in heard if at == 500]
    assert at_500[:4] == ["ticks.first:1", "ticks.second:1", "first:1", "second:1"]
    assert [text.split(":")[-2:] for text in at_500[4:]] == [["1", "1"], ["1", "2"]] * 2


def test_who_comes_up_last_hears_what_was_told_before_it_came_at_the_first_instant(
    tmp_path: Path, simulate: Simulate
) -> None:
    plan = ReplayPlan(file=tmp_path, history=None, speed=0.0, report=None, interval_ns=SECOND)
    classes = {
        "directory": Directory, "stepper": TestStepper, "status_board": Board,
        "greeter": Greeter, "left": Listener, "right": Listener, "first": Source,
    }  # fmt: skip
    tree = simulate(make_runtime(tmp_path, replay=plan), classes, 3)
    tree.start("directory", "stepper", "status_board", "first", "greeter", "right")
    clock = tree.actor("stepper")
    tree.run_until(lambda: clock._hosts.get("greeter") and clock._hosts["greeter"].started)
    tree.start("left")
    tree.run_until(lambda: has_ended(tree))
    assert [at for text, at in tree.actor("left").lines if text.endswith(":hello:0")] == [0]


def test_actors_at_rest_beat_together_and_each_keeps_the_slower_beats_of_its_own(
    tmp_path: Path, simulate: Simulate
) -> None:
    plan = ReplayPlan(file=tmp_path, history=None, speed=0.0, report=None, interval_ns=SECOND)
    classes = {"directory": Directory, "stepper": MinuteStepper, "one": Sleeper, "two": Sleeper}
    tree = simulate(make_runtime(tmp_path, replay=plan), classes, 5)
    tree.start("directory", "stepper", "one", "two")
    tree.run_until(lambda: has_ended(tree))
    one, two = tree.actor("one").beats, tree.actor("two").beats
    assert OPEN_NS // SECOND % 60 == 0
    # Two seconds after its start it rests; from then on it beats each twelve seconds of the day.
    assert one[1.0][:8] == [1, 2, 3, 12, 24, 36, 48, 0]
    assert [at for at in one[0.7] if at % 12][3:] == []
    assert one[30.0][:3] == [30, 0, 30]
    assert one == two


def test_who_reads_the_market_itself_takes_no_turns_with_others_of_its_broker(
    tmp_path: Path, simulate: Simulate
) -> None:
    plan = ReplayPlan(file=tmp_path, history=None, speed=0.0, report=None, interval_ns=SECOND)
    names = ("asker:alpha", "left:alpha", "right:alpha")
    classes = {"directory": Directory, "stepper": TestStepper, "status_board": Board}
    classes |= dict(zip(names, (Greeter, Onlooker, Onlooker), strict=True))
    tree = simulate(make_runtime(tmp_path, replay=plan), classes, 5)
    tree.start("directory", "stepper", "status_board", "asker", "left", "right")
    tree.run_until(lambda: tree.actor("stepper")._begun)
    clock = tree.actor("stepper")
    assert [clock._lane(name) for name in ("asker", "left", "right")] == ["alpha", "left", "right"]
    sent: list[str] = []
    clock._send_round = sent.append
    clock._begin_round(["asker", "left", "right"])
    assert sent == ["left", "right", "asker"]


def test_a_round_that_is_done_leaves_no_time_to_wait_for(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = replayed(simulate, tmp_path, 7)
    tree.run_until(lambda: has_ended(tree))
    timers = [timer for _, _, timer in tree.engine("left")._timers._heap if timer.callback]
    assert len(timers) <= 2  # its heartbeat, and a receipt


def test_a_death_does_not_hold_up_the_recorded_clock(tmp_path: Path, simulate: Simulate) -> None:
    tree = replayed(simulate, tmp_path, 4)
    tree.run_until(lambda: any(at >= 1500 for _, at in getattr(tree.actor("left"), "lines", [])))
    tree.kill("right")
    tree.start("right")
    tree.run_until(lambda: has_ended(tree))
    assert tree.actor("right").context.life == 2
    assert [text for text, _ in tree.actor("left").lines if text == "first:8"]


def test_the_last_row_stands_as_long_as_every_other(tmp_path: Path, simulate: Simulate) -> None:
    tree = replayed(simulate, tmp_path, 6)
    tree.run_until(lambda: has_ended(tree))
    # The last row is that of 5 s; the sources went on for its one second, two beats each.
    last = {text: at for text, at in tree.actor("left").lines if text.startswith("first:")}
    assert last["first:12"] == 6000
    assert "first:13" not in last


def test_the_replay_ends_when_the_newest_report_of_each_is_taken_note_of(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = replayed(simulate, tmp_path, 7)
    tree.run_until(lambda: has_ended(tree))
    # All within far less than the second in which only one report goes out.
    assert tree.actor("status_board").newest == {"first": 12, "second": 12}


def test_those_who_share_a_broker_take_turns_and_hear_the_same(
    tmp_path: Path, simulate: Simulate
) -> None:
    together, in_turns = replayed(simulate, tmp_path, 8), replayed(simulate, tmp_path, 9, ":alpha")
    for tree in (together, in_turns):
        tree.run_until(lambda tree=tree: has_ended(tree))
    assert in_turns.actor("left").lines == together.actor("left").lines
    assert in_turns.actor("right").lines == together.actor("right").lines


def test_a_replay_in_which_nothing_moves_any_more_ends_and_says_who_is_missing(
    tmp_path: Path, simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = replayed(simulate, tmp_path, 4)
    tree.run_until(lambda: any(at >= 1500 for _, at in getattr(tree.actor("left"), "lines", [])))
    tree.kill("right")  # and it never comes up again
    monkeypatch.setattr(stepper, "STALLED_S", 0.0)
    tree.run_until(lambda: has_ended(tree))
    word = json.loads(tree.near.recv(4096))
    assert word["say"] == "gave_up"  # which ends the launcher with 3
    assert word["reason"].endswith("; it waits for right")


def test_a_replay_that_waits_as_long_as_its_speed_asks_does_not_stand_still(
    tmp_path: Path, simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = replayed(simulate, tmp_path, 4, speed=0.001)  # 500 s to the first beat
    tree.run_until(lambda: tree.actor("stepper")._begun and tree.actor("stepper")._moving)
    monkeypatch.setattr(stepper, "STALLED_S", 0.0)
    tree.actor("stepper")._look()
    assert not has_ended(tree)


def test_the_end_of_the_recording_is_told_to_the_launcher(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = replayed(simulate, tmp_path, 5)
    tree.run_until(lambda: has_ended(tree))
    assert tree.near.recv(4096) == b'{"say": "replay_ended"}'
