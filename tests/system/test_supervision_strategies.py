"""Strategies, intensity and requested restarts in a real tree."""

from __future__ import annotations

from collections.abc import Callable

from tests.kit.running_tree import RunningTree, wait_for

Start = Callable[..., RunningTree]
PROBE = "actor: tests.kit.probe_actors.Probe"


def branch(strategy: str, *names: str, more: str = "") -> str:
    rows = "".join(f"    - {{name: {name}, {PROBE}{more}}}\n" for name in names)
    return f"- name: work\n  strategy: {strategy}\n  children:\n{rows}"


def starts(tree: RunningTree, name: str) -> int:
    return sum(" start " in note for note in tree.notes(name))


def test_rest_for_one_restarts_those_after_and_leaves_those_before(start_tree: Start) -> None:
    tree = start_tree(branch("rest_for_one", "a", "b", "c"))
    tree.kill(tree.pid("b"))
    tree.wait_life("c", 2)
    assert (starts(tree, "a"), starts(tree, "b")) == (1, 2)
    assert "1 stop" in tree.notes("c")


def test_one_for_all_restarts_every_sibling(start_tree: Start) -> None:
    tree = start_tree(branch("one_for_all", "a", "b"))
    tree.kill(tree.pid("b"))
    tree.wait_life("a", 2)
    tree.wait_life("b", 2)
    assert "1 stop" in tree.notes("a")


def test_eight_siblings_killed_together_all_return(start_tree: Start) -> None:
    names = [f"p{number}" for number in range(8)]
    tree = start_tree(branch("one_for_one", *names))
    for pid in [tree.pid(name) for name in names]:
        tree.kill(pid)
    for name in names:
        tree.wait_life(name, 2)


def test_a_branch_that_gives_up_is_told_to_all_and_restarted_by_its_parent(
    start_tree: Start,
) -> None:
    failing = branch("one_for_one", "a", more=", max_restarts: 1, handles_orders: true")
    witness = f"- name: others\n  strategy: one_for_one\n  children:\n    - {{name: w, {PROBE}}}\n"
    tree = start_tree(witness + failing)
    tree.kill(tree.pid("a"))
    tree.wait_life("a", 2)
    tree.kill(tree.pid("a"))
    tree.wait_note("w", "1 gave_up work True")
    tree.wait_life("a", 3)


def test_a_root_that_gives_up_ends_the_process_with_an_error(start_tree: Start) -> None:
    broken = "- {name: broken, actor: tests.kit.probe_actors.FailsToStart, max_restarts: 2}\n"
    tree = start_tree(broken, ready=False)
    assert tree.launcher.wait(120) == 3
    assert "gives up" in tree.text()
    assert starts(tree, "broken") == 3
    assert "cannot start" in tree.log("root")


def test_a_restart_that_someone_asks_for_drains_the_node_first(start_tree: Start) -> None:
    tree = start_tree(branch("one_for_one", "a", "b"))
    tree.command("a", "restart b")
    tree.wait_life("b", 2)
    assert "1 stop" in tree.notes("b")
    wait_for(
        lambda: any("restarted b 2 asked by probe" in note for note in tree.notes("a")),
        "the restart is told",
    )


def test_an_actor_that_ends_by_itself_is_started_again(start_tree: Start) -> None:
    tree = start_tree(branch("one_for_one", "a"))
    tree.command("a", "exit")
    tree.wait_life("a", 2)
