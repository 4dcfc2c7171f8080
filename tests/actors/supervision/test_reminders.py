"""A fact that still stands is told again to a new life alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from actors.actor import Actor
from actors.hosting.wire import Mail, Posted
from actors.supervision.directory import Directory
from messages.base import Message
from messages.codec import encode
from tests.kit.probe_actors import Noted, Poke
from tests.kit.recording_context import make_runtime
from tests.kit.simulated_tree import SimulatedTree


class Reminder(Actor):
    """Told a name, reminds it of a fact; then announces that it did."""

    def on_poke(self, message: Poke) -> None:
        self.context.remind(message.what, Noted(text=f"for {message.what}"))
        self.context.announce(Noted(text="done"))


class Listener(Actor):
    def start(self) -> None:
        self.texts: list[str] = []

    def on_noted(self, message: Noted) -> None:
        self.texts.append(message.text)


class Deaf(Actor):
    """Hears no facts, and would fail on one."""

    def on_poke(self, _message: Poke) -> None:
        """Not asked here."""


class Keeper(Actor):
    """Stands for the recorder."""

    HEARS_ALL = True

    def start(self) -> None:
        self.texts: list[str] = []

    def on_message(self, message: Message) -> None:
        """Any fact."""
        if isinstance(message, Noted):
            self.texts.append(message.text)


CLASSES = {
    "directory": Directory,
    "reminder": Reminder,
    "first": Listener,
    "second": Listener,
    "deaf": Deaf,
    "keeper": Keeper,
}


def test_a_reminder_is_for_one_who_hears_such_facts_and_for_nobody_else(
    tmp_path: Path, simulate: Callable[..., SimulatedTree]
) -> None:
    tree = simulate(make_runtime(tmp_path), CLASSES)
    tree.start(*CLASSES)
    names = ("first", "deaf", "nobody")
    letters = tuple(
        Posted(count, 0, False, encode(Poke(what=name, number=0, id=f"outside:1:{count}")))
        for count, name in enumerate(names, 1)
    )
    tree.engine("reminder").receive(Mail("reminder", 1, "directory", 1, 1, letters), "nowhere")
    all_done = ["done"] * len(names)
    tree.run_until(lambda: tree.actor("keeper").texts == all_done)
    tree.run_until(lambda: tree.actor("second").texts == all_done)
    tree.run_until(lambda: tree.actor("first").texts == ["for first", *all_done])
    assert tree.engine("deaf")._handled == 0
