"""A host on its own: timers, reports, refusals, figures, without processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.actor import Actor
from actors.host import Host
from actors.hosting import context
from actors.hosting.masking import masked
from actors.hosting.timers import Timers
from actors.hosting.wire import Drain, Mail, Posted
from actors.supervision.directory import Directory
from messages.codec import encode
from tests.kit.probe_actors import Noted, Poke
from tests.kit.recording_context import make_runtime
from tests.kit.simulated_tree import SimulatedTree

Simulate = Callable[..., SimulatedTree]


class Chain(Actor):
    """Answers a poke with a fact, and passes the poke on to itself once."""

    def start(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_poke(self, message: Poke) -> None:
        self.seen.append((message.id, message.cause))
        self.context.announce(Noted(text="poked"))
        if message.what == "again":
            self.context.tell(self.context.name, Poke(what="last"))


def poke(what: str) -> Mail:
    """For the chain, by a sender of which nothing else is known."""
    letter = Posted(1, 0, False, encode(Poke(what=what, id="outside:1:1")))
    return Mail("chain", 1, "directory", 1, 1, (letter,))


class Hearer(Actor):
    """Keeps facts."""

    def start(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_noted(self, message: Noted) -> None:
        self.seen.append((message.id, message.cause))


def test_timers_due_at_one_time_run_in_the_order_they_were_planned() -> None:
    timers, ran = Timers(), []
    for name in ("a", "b", "c"):
        timers.once(100, lambda name=name: ran.append(name))
    timers.once(50, lambda: ran.append("first"))
    while callback := timers.take_due(100):
        callback()
    assert ran == ["first", "a", "b", "c"]


def test_a_cancelled_timer_never_runs_and_is_not_waited_for() -> None:
    timers = Timers()
    timers.once(10, lambda: None).cancel()
    assert timers.next_due_ns() is None


def test_a_repeating_timer_that_was_late_does_not_run_in_a_burst() -> None:
    timers, ran = Timers(), []
    timers.again(0, lambda: 10, lambda: ran.append(1))
    while callback := timers.take_due(1_000):
        callback()
    assert len(ran) == 1


def test_a_wake_up_is_asked_for_only_when_none_comes_early_enough(monkeypatch) -> None:
    host, asked = Host.__new__(Host), []
    due_s = iter((30.0, 30.0, 0.5, 0.5, 0.7, 0.1))
    monkeypatch.setattr(time, "monotonic_ns", lambda: 1_000)
    host._wakes = []
    host._engine = SimpleNamespace(next_due_ns=lambda: 1_000 + round(next(due_s) * 1e9))
    host.wakeupAfter = lambda after: asked.append(round(after.total_seconds(), 2))
    for _ in range(6):
        host._ask_for_wake_up(soon=False)
    assert asked == [30.0, 0.5, 0.1]


def test_a_host_that_waits_for_a_busy_one_is_woken_soon_without_a_timer(monkeypatch) -> None:
    host, asked = Host.__new__(Host), []
    monkeypatch.setattr(time, "monotonic_ns", lambda: 1_000)
    host._wakes, host._engine = [], SimpleNamespace(next_due_ns=lambda: None)
    host.wakeupAfter = lambda after: asked.append(after.total_seconds())
    host._ask_for_wake_up(soon=False)
    assert asked == []
    host._ask_for_wake_up(soon=True)
    assert asked == [pytest.approx(0.0205)]


@pytest.mark.parametrize(
    ("in_round", "due_s", "pause_s"),
    [(True, None, 0.01), (True, 5.0, 0.01), (True, 0.002, 0.002), (False, None, None),
     (False, 5.0, 5.0)],
)  # fmt: skip
def test_a_host_of_a_replay_looks_again_inside_a_round_and_rests_between_two(
    monkeypatch, in_round: bool, due_s: float | None, pause_s: float | None
) -> None:
    host = Host.__new__(Host)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 1_000)
    due_ns = None if due_s is None else 1_000 + round(due_s * 1e9)
    host._engine = SimpleNamespace(
        configured=True, stepping=SimpleNamespace(is_in_round=in_round), next_due_ns=lambda: due_ns
    )
    assert host._pause_s() == (None if pause_s is None else pytest.approx(pause_s))


def test_a_fact_is_made_bytes_once_however_many_hear_it(monkeypatch) -> None:
    made, posted = [], []
    monkeypatch.setattr(context, "encode", lambda message: made.append(message) or b"fact")
    host = context.HostContext.__new__(context.HostContext)
    host.name, host.life, host.cause, host.clock_ns, host.round = "teller", 1, "", 5, 1
    host.runtime, host._count, host._stepped, host.sent = SimpleNamespace(launch=1), 0, False, {}
    hearers = {"Noted": ("one", "two", "three")}
    host._shared = SimpleNamespace(hearers=hearers, hear_all=("recorder",), stepped=frozenset())
    host._postman = SimpleNamespace(post=lambda target, letter: posted.append((target, letter)))
    host.announce(Noted(text="a fact"))
    assert [target for target, _ in posted] == ["one", "two", "three", "recorder"]
    assert {letter.data for _, letter in posted} == {b"fact"}
    assert len(made) == 1


def test_messages_carry_their_sender_life_count_and_what_caused_them(
    tmp_path: Path, simulate: Simulate
) -> None:
    classes = {"directory": Directory, "chain": Chain, "hearer": Hearer}
    tree = simulate(make_runtime(tmp_path), classes)
    tree.start("directory", "chain", "hearer")
    tree.engine("chain").receive(poke("again"), "nowhere")
    tree.run_until(lambda: len(tree.actor("hearer").seen) == 2)
    assert tree.actor("chain").seen == [("outside:1:1", ""), ("chain:1.1:2", "outside:1:1")]
    assert tree.actor("hearer").seen == [
        ("chain:1.1:1", "outside:1:1"),
        ("chain:1.1:3", "chain:1.1:2"),
    ]


def test_what_was_told_counts_as_handled_when_its_target_has_handled_it_and_not_before(
    tmp_path: Path, simulate: Simulate
) -> None:
    """A fact is marked as told by this: true too early, a recorder's death would lose it."""
    classes = {"directory": Directory, "chain": Chain, "hearer": Hearer}
    tree = simulate(make_runtime(tmp_path), classes)
    tree.start("directory", "chain")
    chain = tree.engine("chain").context
    assert chain.has_handled("hearer")  # nothing was told yet
    tree.engine("chain").receive(poke("once"), "nowhere")
    assert not chain.has_handled("hearer")
    tree.start("hearer")
    assert tree.actor("hearer").seen or not chain.has_handled("hearer")
    tree.run_until(lambda: chain.has_handled("hearer"))
    assert len(tree.actor("hearer").seen) == 1


class Unfinished(Chain):
    """Has something in hand when it is asked to end."""

    def drain(self) -> bool:
        return False


def test_a_host_that_begins_to_end_owes_nobody_an_acknowledgement(
    tmp_path: Path, simulate: Simulate
) -> None:
    """A sender that ends too would wait for it."""
    classes = {"directory": Directory, "chain": Unfinished, "hearer": Hearer}
    tree = simulate(make_runtime(tmp_path), classes)
    tree.start("directory", "chain")
    engine, mail = tree.engine("chain"), poke("once")
    engine.receive(mail, "nowhere")
    assert engine.postman.receipts.take("directory", "nowhere") == 1  # it waits for mail to go with
    engine.postman.receipts.owe(mail, "nowhere")
    engine.drain(Drain(deadline_ns=0, for_good=False))
    assert engine.postman.receipts.take("directory", "nowhere") == 0


def test_the_board_counts_what_is_told_and_not_yet_handled(
    tmp_path: Path, simulate: Simulate
) -> None:
    classes = {"directory": Directory, "chain": Chain, "hearer": Hearer}
    tree = simulate(make_runtime(tmp_path), classes)
    tree.start("directory", "chain")
    tree.engine("chain").receive(poke("once"), "nowhere")
    assert tree.shared.board.mailbox("hearer") == 1
    tree.start("hearer")
    tree.run_until(lambda: tree.shared.board.mailbox("hearer") == 0)
    assert len(tree.actor("hearer").seen) == 1


def test_no_key_and_no_value_behind_a_telling_name_reaches_a_log() -> None:
    text = masked('{"apikey": "abc", "symbol": "NIFTY"} sent with s3cr3t-value', ["s3cr3t-value"])
    assert "abc" not in text
    assert "s3cr3t-value" not in text
    assert "NIFTY" in text
