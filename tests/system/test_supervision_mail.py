"""Mail in a real tree: what a wedged, dying or failing neighbour costs, and what it does not."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.kit.running_tree import RunningTree, wait_for

Start = Callable[..., RunningTree]
PROBE = "actor: tests.kit.probe_actors.Probe"
WORK = "- name: work\n  strategy: one_for_one\n  children:\n"
SLOW = "heartbeat_s: 60, max_handler_s: 50"


def rows(*texts: str) -> str:
    return WORK + "".join(f"    - {{{text}, {PROBE}}}\n" for text in texts)


def test_a_wedged_neighbour_does_not_mute_its_senders(start_tree: Start) -> None:
    tree = start_tree(rows("name: a", f"name: wedged, {SLOW}", "name: b"))
    tree.kill(tree.pid("wedged"), signal.SIGSTOP)
    tree.command("a", "tell wedged hello 60")
    tree.command("a", "tell b hello 30")
    tree.wait_note("b", "1 poke hello 30")
    tree.command("b", "tell a hello")
    tree.wait_note("a", "1 poke hello 1")
    tree.kill(tree.pid("wedged"), signal.SIGCONT)
    tree.wait_note("wedged", "1 poke hello 60")
    told = [note for note in tree.notes("wedged") if "hello" in note]
    assert told == [f"1 poke hello {number}" for number in range(1, 61)]


def test_a_full_mailbox_is_told_to_the_sender_at_once(start_tree: Start) -> None:
    tree = start_tree(rows("name: a", f"name: wedged, {SLOW}, mailbox_max: 20"))
    tree.kill(tree.pid("wedged"), signal.SIGSTOP)
    tree.command("a", "flood wedged 50")
    tree.wait_note("a", "1 refused after 20")
    tree.kill(tree.pid("wedged"), signal.SIGCONT)
    tree.wait_note("wedged", "1 poke flooded 19")


def test_a_message_whose_handler_raised_is_never_handled_again(start_tree: Start) -> None:
    tree = start_tree(rows("name: a", "name: b"))
    tree.command("a", "tell b raise")
    tree.wait_life("b", 2)
    tree.command("a", "tell b hello")
    tree.wait_note("b", "2 poke hello 1")
    assert [note for note in tree.notes("b") if "poke raise" in note] == ["1 poke raise 1"]
    wait_for(lambda: "RuntimeError: asked to raise" in tree.log("work"), "the reason is logged")


def test_mail_of_a_handler_that_hangs_is_told_and_the_actor_replaced(start_tree: Start) -> None:
    tree = start_tree(rows("name: a", "name: b, heartbeat_s: 1, max_handler_s: 0.5"))
    tree.command("a", "tell b hang")
    tree.wait_life("b", 2)
    wait_for(lambda: "s in Poke" in tree.log("work"), "what it hung in is logged")


def test_an_actor_that_takes_long_over_each_of_many_letters_is_not_silent(
    start_tree: Start,
) -> None:
    tree = start_tree(rows("name: a", "name: b, heartbeat_s: 1"))
    tree.command("a", "tell b wait 8")  # more in all than the two seconds after which it is killed
    tree.wait_note("b", "1 poke wait 8")
    tree.command("a", "tell b hello")
    tree.wait_note("b", "1 poke hello 1")


def test_a_fact_reaches_everyone_who_hears_it_but_its_sender(start_tree: Start) -> None:
    tree = start_tree(rows("name: a", "name: b", "name: c"))
    tree.command("a", "announce hello")
    tree.wait_note("b", "1 noted hello")
    tree.wait_note("c", "1 noted hello")
    assert "1 noted hello" not in tree.notes("a")
