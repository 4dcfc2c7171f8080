"""Deaths in a real tree: who comes back, with what, and what the others notice."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.kit.running_tree import RunningTree, wait_for

Start = Callable[..., RunningTree]
PAIR = """\
- name: work
  strategy: one_for_one
  children:
    - {name: one, actor: tests.kit.probe_actors.Probe}
    - {name: two, actor: tests.kit.probe_actors.Probe}
"""


def test_a_killed_leaf_comes_back_and_its_sibling_does_not_notice(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.kill(tree.pid("one"))
    tree.wait_life("one", 2)
    assert [note for note in tree.notes("two") if " start " in note] == tree.notes("two")[:1]


def test_mail_reaches_the_new_life_of_a_killed_actor(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.kill(tree.pid("two"))
    tree.command("one", "tell two hello 20")
    tree.wait_note("two", "2 poke hello 20")
    heard = [int(note.split()[-1]) for note in tree.notes("two") if "hello" in note]
    assert sorted(set(heard)) == list(range(1, 21))


def test_a_null_pointer_ends_the_actor_at_once_and_it_comes_back(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.command("one", "segv")
    tree.wait_life("one", 2)
    wait_for(lambda: "killed by SIGSEGV" in tree.log("work"), "the cause is logged")


def test_a_killed_supervisor_takes_its_branch_along_and_the_branch_returns(
    start_tree: Start,
) -> None:
    tree = start_tree(PAIR)
    before = {tree.pid("one"), tree.pid("two")}
    tree.kill(tree.pid("work"))
    after = {tree.wait_life("one", 2), tree.wait_life("two", 2)}
    assert not before & {row.pid for row in tree.members()}
    assert not before & after


def test_the_root_is_made_again_by_the_launcher(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.kill(tree.pid("root"))
    tree.wait_life("one", 2)
    tree.wait_ready(times=2)


def test_the_admin_is_made_again_by_the_launcher(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.kill(tree.admin())
    tree.wait_life("two", 2)
    tree.wait_ready(times=2)


def test_the_logger_is_made_again_by_the_launcher(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.kill(tree.logger())
    tree.wait_life("two", 2)
    tree.wait_ready(times=2)


def test_the_directory_comes_back_and_mail_finds_its_way_again(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    first = tree.pid("directory")
    tree.kill(first)
    wait_for(lambda: tree.pid("directory") not in (0, first), "a new directory")
    tree.kill(tree.pid("two"))
    tree.wait_life("two", 2)
    tree.command("one", "tell two hello")
    tree.wait_note("two", "2 poke hello 1")


def test_ctrl_c_drains_last_child_first_and_ends_with_0(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    members = {row.pid for row in tree.members()}
    assert tree.stop() == 0
    assert [tree.notes(name)[-1] for name in ("one", "two")] == ["1 stop", "1 stop"]
    stopped = [(tree.data_dir / f"{name}.notes").stat().st_mtime_ns for name in ("two", "one")]
    assert stopped == sorted(stopped)
    assert not members & {row.pid for row in tree.members()}
    assert not (tree.data_dir / "run" / "lock").exists()


def test_a_killed_launcher_leaves_nothing_running(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    session = tree.session()
    assert session
    tree.kill(tree.launcher.pid)
    wait_for(lambda: not tree.members(), "the tree drained itself")
    assert tree.notes("one")[-1] == "1 stop"


def test_a_stopped_actor_is_killed_and_replaced(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.kill(tree.pid("two"), signal.SIGSTOP)
    tree.wait_life("two", 2)


def test_a_stopped_supervisor_is_killed_and_its_branch_returns(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.kill(tree.pid("work"), signal.SIGSTOP)
    tree.wait_life("one", 2)
    tree.wait_life("two", 2)
    assert "work is killed: it missed 2 heartbeats" in tree.log("root")


def test_a_stopped_root_is_ended_and_the_tree_made_again(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.kill(tree.pid("root"), signal.SIGSTOP)
    tree.wait_ready(times=2)
    assert "missed 2 heartbeats; the tree is made again" in tree.text()
    assert tree.stop() == 0
