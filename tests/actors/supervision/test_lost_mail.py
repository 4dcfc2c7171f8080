"""Mail that nobody will handle: it is recorded, counted, and told where orders are at stake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.actor import Actor
from actors.hosting import context as host_context
from actors.hosting.wire import Mail, Posted
from actors.supervision.directory import Directory
from messages.base import Message
from messages.codec import encode
from messages.lifecycle import AlertRaised, DeadLetter, HealthReported
from tests.kit.probe_actors import Noted, Poke
from tests.kit.recording_context import make_runtime
from tests.kit.simulated_tree import SimulatedTree

Simulate = Callable[..., SimulatedTree]
ROOM = 1000  # of each mailbox in the simulated tree


class Teller(Actor):
    """Told a number, announces so many facts; told a name, tells it something."""

    def on_poke(self, message: Poke) -> None:
        for number in range(message.number):
            self.context.announce(Noted(text=str(number)))
        if message.what:
            self.context.tell(message.what, Poke(what="hello"))


class Hearer(Actor):
    """Hears facts; commands end its life at the test's hand."""

    def on_noted(self, _message: Noted) -> None:
        """It takes them."""

    def on_poke(self, _message: Poke) -> None:
        """It takes them."""


class Keeper(Actor):
    """Stands for the recorder."""

    HEARS_ALL = True

    def start(self) -> None:
        self.seen: list[Message] = []

    def on_message(self, message: Message) -> None:
        """Any fact."""
        self.seen.append(message)


CLASSES = {"directory": Directory, "teller": Teller, "hearer": Hearer, "keeper": Keeper}


def poke(tree: SimulatedTree, what: str, number: int = 0) -> None:
    """The teller is told, by a sender of which nothing else is known."""
    count = tree.engine("teller")._handled + 1
    letter = Posted(count, 0, False, encode(Poke(what=what, number=number, id="outside:1:1")))
    tree.engine("teller").receive(Mail("teller", 1, "directory", 1, 1, (letter,)), "nowhere")


def know(tree: SimulatedTree, name: str, life: int = 1) -> None:
    """Until the teller has the address of that life."""
    table = tree.engine("teller").postman._table
    tree.run_until(lambda: table.get(name, (0, ""))[0] == life)


def recorded(tree: SimulatedTree, kind: type[Any]) -> list[Any]:
    return [message for message in tree.actor("keeper").seen if isinstance(message, kind)]


def test_a_fact_that_finds_a_full_mailbox_is_recorded_as_a_dead_letter(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = simulate(make_runtime(tmp_path), CLASSES)
    tree.start("directory", "teller", "keeper")
    know(tree, "keeper")
    poke(tree, "", ROOM - 1)
    tree.run_until(lambda: len(recorded(tree, Noted)) == ROOM - 1)
    poke(tree, "", 2)
    tree.run_until(lambda: recorded(tree, DeadLetter))
    [dead] = recorded(tree, DeadLetter)
    assert (dead.kind, dead.target) == ("Noted", "hearer")
    assert "mailbox of 1000 is full" in dead.why
    assert recorded(tree, AlertRaised) == []
    tree.engine("teller")._beat()
    assert _shown(tree, "teller")["dead_letters"] == 1


def test_mail_for_a_name_that_no_node_has_is_recorded_as_a_dead_letter(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = simulate(make_runtime(tmp_path), CLASSES)
    tree.start("directory", "teller", "keeper")
    poke(tree, "stranger")
    tree.run_until(lambda: recorded(tree, DeadLetter))
    [dead] = recorded(tree, DeadLetter)
    assert (dead.kind, dead.target, dead.why) == ("Poke", "stranger", "no node has that name")


def test_a_command_in_hand_at_two_deaths_is_recorded_and_told_where_orders_are_at_stake(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = simulate(make_runtime(tmp_path), CLASSES, order_path=("hearer",))
    tree.start("directory", "teller", "keeper", "hearer")
    know(tree, "hearer")
    know(tree, "keeper")
    poke(tree, "hearer")
    for _ in range(2):  # its lives end with the letter begun and not ended
        life = tree.shared.board.get("hearer", "life")
        tree.frames.clear()
        outbox = tree.engine("teller").postman._outboxes["hearer"]
        tree.shared.board.begin_letter("hearer", "teller", max(outbox._in_flight))
        tree.kill("hearer")
        tree.start("hearer")
        know(tree, "hearer", life + 1)
    tree.run_until(lambda: recorded(tree, AlertRaised))
    [dead] = recorded(tree, DeadLetter)
    assert (dead.kind, dead.target) == ("Poke", "hearer")
    [alert] = recorded(tree, AlertRaised)
    assert alert.level == "RISK"
    assert "two lives of hearer ended with it in hand" in alert.text


def test_a_dead_letter_that_cannot_be_recorded_is_counted_and_causes_no_other(
    tmp_path: Path, simulate: Simulate
) -> None:
    classes = {name: kind for name, kind in CLASSES.items() if name != "hearer"}
    tree = simulate(make_runtime(tmp_path), classes)
    tree.start("directory", "teller")
    poke(tree, "", ROOM + 1)
    assert tree.engine("teller").postman.dead_letters == 2  # the fact, and what tells of it


def report(tree: SimulatedTree, body: Any) -> None:
    """At the end of the event in which it was given, it leaves."""
    engine = tree.engine("teller")
    engine.context.report(body)
    engine._settle()


def test_a_report_that_finds_no_room_costs_its_actor_nothing(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = simulate(make_runtime(tmp_path), {**CLASSES, "status_board": Hearer})
    tree.start("directory", "teller")
    poke(tree, "", ROOM)
    report(tree, {"running": True})
    assert tree.engine("teller").context._reported[1] == {"running": True}  # it was tried
    assert tree.shared.board.mailbox("status_board") == ROOM


class Board(Actor):
    """The status board's place: bodies as they came."""

    def start(self) -> None:
        self.bodies: list[Any] = []

    def on_health_reported(self, message: HealthReported) -> None:
        self.bodies.append(dict(message.body))


def test_a_report_whose_ages_alone_went_on_is_not_sent(
    tmp_path: Path, simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_context, "REPORT_EVERY_S", 0.01)
    tree = simulate(make_runtime(tmp_path), {**CLASSES, "status_board": Board})
    tree.start("directory", "teller", "status_board")
    context = tree.engine("teller").context
    first, older = ({"state": "live", "last_tick_age_s": age} for age in (3.0, 3.2))
    lost = {"state": "down", "last_tick_age_s": 3.2}
    for body in (first, older, lost):
        report(tree, body)
        tree.run_until(lambda: context._report_timer is None)
    tree.run_until(lambda: lost in tree.actor("status_board").bodies)
    assert tree.actor("status_board").bodies == [first, lost]


def test_a_report_leaves_after_the_mail_of_its_event_and_is_put_together_only_then(
    tmp_path: Path, simulate: Simulate
) -> None:
    tree = simulate(make_runtime(tmp_path), {**CLASSES, "status_board": Board})
    tree.start("directory", "teller", "hearer", "status_board")
    know(tree, "hearer")
    know(tree, "status_board")
    tree.frames.clear()
    engine, left_before = tree.engine("teller"), []

    def body() -> dict[str, Any]:
        mail = [frame for _, _, frame in tree.frames if isinstance(frame, Mail)]
        left_before.append([one.to for one in mail])
        return {"running": True}

    for _ in range(2):
        engine.context.report(body)
    engine.context.tell("hearer", Poke(what="hello"))
    assert left_before == []
    engine._settle()
    assert left_before == [["hearer"]]


def _shown(tree: SimulatedTree, name: str) -> dict[str, Any]:
    return next(row for row in tree.shared.board.view(0)["children"] if row["name"] == name)
