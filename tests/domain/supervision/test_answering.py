"""By when a process must have answered."""

from __future__ import annotations

from dataclasses import replace

from domain.supervision.answering import Signs, answer_due
from domain.supervision.topology import Node

SECOND = 1_000_000_000
LEAF = Node(name="execution_agent", actor="x", heartbeat_s=1.0)
BRANCH = Node(name="execution", heartbeat_s=1.0, children=(LEAF,))
LIVING = Signs(
    forked_ns=10 * SECOND, beat_ns=100 * SECOND, starting=False, tree_stands=True, has_orders=True
)


def due_s(node: Node, **changes: object) -> float:
    return answer_due(node, replace(LIVING, **changes))[0] / SECOND  # type: ignore[arg-type]


def test_two_missed_heartbeats_are_the_end_of_a_leaf_and_of_a_supervisor() -> None:
    assert due_s(LEAF) == due_s(BRANCH) == 102
    assert answer_due(LEAF, LIVING)[1] == "missed 2 heartbeats"


def test_a_fork_that_says_nothing_is_given_two_seconds() -> None:
    assert due_s(LEAF, beat_ns=0, starting=True) == 12
    assert answer_due(LEAF, replace(LIVING, beat_ns=0))[1] == "was silent after its fork"


def test_a_fork_may_be_silent_longer_while_the_whole_tree_starts() -> None:
    assert due_s(LEAF, beat_ns=0, starting=True, tree_stands=False) == 15


def test_an_order_actor_must_have_started_sooner_than_another() -> None:
    assert due_s(LEAF, starting=True) == 30
    assert due_s(LEAF, starting=True, has_orders=False) == 70


def test_a_supervisor_that_forks_its_children_is_given_time() -> None:
    assert due_s(BRANCH, starting=True) == 110
