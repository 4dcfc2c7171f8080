"""The postman: who gets mail first, when it is acknowledged, whose answer an ending host awaits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from actors.hosting import board as states
from actors.hosting.outbox import CREDITS, Letter
from actors.hosting.postman import MAIL_BYTES_MAX, Postman
from actors.hosting.timers import Timers
from actors.hosting.wire import Acknowledged, Known, Mail, Posted, Register
from domain.supervision.topology import Node


class OneState:
    """Stands in for the board: every node is in that state."""

    def __init__(self, state: str) -> None:
        self._state = state

    def get(self, _name: str, _field: str) -> Any:
        return self._state


@pytest.mark.parametrize(
    ("state", "for_good", "waits"),
    [
        (states.RUNNING, False, 1),
        (states.WAITING, False, 0),
        (states.RUNNING, True, 1),
        (states.WAITING, True, 1),
        (states.STARTING, True, 0),
    ],
    ids=[
        "restarted, the target lives",
        "restarted, the target is the dead sibling that starts after it",
        "stopped, the target lives",
        "stopped, the target comes back",
        "stopped, the target never came up",
    ],
)
def test_an_ending_host_waits_for_mail_that_can_still_be_handled(
    state: str, for_good: bool, waits: int
) -> None:
    nodes = {"target": Node("target")}
    postman = Postman(
        "sender", 1, OneState(state), SimpleNamespace(), Timers(),
        nodes=nodes, order_path=frozenset(), is_stepped=False,
    )  # type: ignore[arg-type]  # fmt: skip
    postman.post("target", Letter("Fact", "said", 0))
    assert postman.waiting_for_living(for_good=for_good) == waits


class Post:
    """One postman between recorded frames: `sent` is (address, frame) in order."""

    def __init__(
        self, *, order_path: frozenset[str] = frozenset(), is_stepped: bool = False
    ) -> None:
        self.sent: list[tuple[Any, Any]] = []
        self.timers = Timers()
        nodes = {name: Node(name) for name in ("asker", "journal", "executor")}
        board = SimpleNamespace(progress=lambda *_: (0, 0), set_depth=lambda *_: None)
        transport = SimpleNamespace(send=lambda address, frame: self.sent.append((address, frame)))
        self.postman = Postman(
            "answerer", 1, board, transport, self.timers,
            nodes=nodes, order_path=order_path, is_stepped=is_stepped,
        )  # type: ignore[arg-type]  # fmt: skip
        self.postman.learn(Known(tuple(Register(name, 1, f"at {name}") for name in nodes)))

    def takes(self, count: int, *, life: int = 1, at_once: bool = False) -> None:
        """One letter of the asker's is handled by that life of ours."""
        mail = Mail("answerer", life, "asker", 1, 1, (Posted(count, 0, False, "question"),))
        self.postman.accept(mail)
        self.postman.receipts.owe(mail, "at asker", at_once=at_once)

    def tells(self, *targets: str) -> None:
        for target in targets:
            self.postman.post(target, Letter("Fact", "said", 0))
        self.postman.pump()

    def a_moment_passes(self) -> None:
        due_ns = self.timers.next_due_ns()
        while due_ns and (callback := self.timers.take_due(due_ns)):
            callback()


def counts(post: Post) -> list[list[int]]:
    """Of each mail the counts of its letters."""
    first = post.sent[0][1].letters[0].count
    return [[letter.count - first for letter in mail.letters] for _, mail in post.sent]


def test_in_a_replay_no_letter_waits_for_credits() -> None:
    live, stepped = Post(), Post(is_stepped=True)
    for post in (live, stepped):
        for _ in range(3 * CREDITS):
            post.postman.post("asker", Letter("Fact", "said", 0))
        post.postman.pump()
    assert counts(live) == [list(range(CREDITS))]
    assert counts(stepped) == [list(range(3 * CREDITS))]


def test_letters_that_are_too_much_for_a_frame_go_in_several_in_order() -> None:
    post, third = Post(), b"x" * (MAIL_BYTES_MAX // 3)
    for data in (third, third, b"x" * 2 * MAIL_BYTES_MAX, third, third, b"xx", third):
        post.postman.post("asker", Letter("Fact", data, 0))
    post.postman.pump()
    assert counts(post) == [[0, 1], [2], [3, 4, 5], [6]]


def test_an_answer_carries_the_acknowledgement_of_its_question() -> None:
    post = Post()
    post.takes(1)
    post.tells("journal", "asker")
    assert [(address, frame.handled) for address, frame in post.sent] == [
        ("at journal", 0),
        ("at asker", 1),
    ]
    post.a_moment_passes()
    assert len(post.sent) == 2  # it was said


def test_what_is_not_answered_is_acknowledged_a_moment_later_by_one_frame() -> None:
    post = Post()
    post.takes(1)
    post.takes(2)
    assert post.sent == []
    post.a_moment_passes()
    assert post.sent == [("at asker", Acknowledged("answerer", 1, 2))]


def test_a_sender_who_may_soon_have_to_wait_for_us_is_told_at_once() -> None:
    post = Post()
    for count in range(1, CREDITS // 2 + 1):
        post.takes(count)
    assert post.sent == [("at asker", Acknowledged("answerer", 1, CREDITS // 2))]


def test_a_host_that_ends_acknowledges_at_once() -> None:
    post = Post()
    post.takes(1, at_once=True)
    assert post.sent == [("at asker", Acknowledged("answerer", 1, 1))]


def test_what_is_owed_is_sent_when_it_is_asked_for_and_not_again() -> None:
    post = Post()
    post.takes(1)
    post.postman.receipts.send()
    post.a_moment_passes()
    assert post.sent == [("at asker", Acknowledged("answerer", 1, 1))]


def test_mail_for_another_life_is_not_acknowledged() -> None:
    post = Post()
    post.takes(1, life=2)
    post.a_moment_passes()
    assert post.sent == []


def test_who_handles_orders_gets_his_mail_before_the_others() -> None:
    post = Post(order_path=frozenset({"executor"}))
    post.tells("journal", "executor", "asker")
    assert [address for address, _ in post.sent] == ["at executor", "at journal", "at asker"]
