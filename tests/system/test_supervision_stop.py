"""Stopping a real tree in which something is wedged: who still has time to finish, and what is
said."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.kit.running_tree import RunningTree

Start = Callable[..., RunningTree]
LEAF = "actor: tests.kit.probe_actors.Probe, heartbeat_s: 60, shutdown_s: 5"
TREE = f"""\
- name: orders
  strategy: one_for_one
  handles_orders: true
  shutdown_s: 5
  children:
    - {{name: agent, {LEAF}}}
- name: desk
  strategy: one_for_one
  heartbeat_s: 60
  shutdown_s: 5
  children:
    - {{name: page, {LEAF}}}
"""


@pytest.mark.parametrize("wedged", ["page", "desk"], ids=["leaf", "supervisor"])
def test_a_wedged_neighbour_leaves_the_order_path_the_time_to_finish(
    start_tree: Start, wedged: str
) -> None:
    tree = start_tree(TREE)
    tree.command("agent", "be_busy 2.5")
    tree.kill(tree.pid(wedged), signal.SIGSTOP)
    assert tree.stop() == 4
    assert tree.notes("agent")[-1] == "1 stop"
    assert f"not drained: {wedged} did not finish in time" in tree.text()


def test_an_order_actor_that_does_not_finish_is_told_and_the_exit_is_no_success(
    start_tree: Start,
) -> None:
    tree = start_tree(TREE)
    tree.command("agent", "be_busy 60")
    assert tree.stop() == 4
    assert tree.notes("page")[-1] == "1 stop"
    assert "not drained: agent did not finish in time" in tree.text()


def test_a_wedged_root_is_ended_with_the_tree_and_told(start_tree: Start) -> None:
    tree = start_tree(TREE)
    tree.kill(tree.pid("root"), signal.SIGSTOP)
    assert tree.stop() == 4
    assert "not drained: the tree took longer than" in tree.text()
    assert not tree.members()
