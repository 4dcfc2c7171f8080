"""What the tree shows to the outside: its sockets, its lock, its pipes, its leavings."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path

from actors.hosting.process import may_go_first
from launch.processes import processes
from tests.kit.running_tree import RunningTree, wait_for

Start = Callable[..., RunningTree]
PAIR = """\
- name: work
  strategy: one_for_one
  children:
    - {name: one, actor: tests.kit.probe_actors.Probe}
    - {name: two, actor: tests.kit.probe_actors.Probe}
"""

ORDERS = """\
- name: orders
  strategy: one_for_one
  handles_orders: true
  children:
    - {name: one, actor: tests.kit.probe_actors.Probe}
- {name: two, actor: tests.kit.probe_actors.Probe}
"""


class Bomb:
    """What a stranger would send: unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def listening(pid: int) -> list[tuple[str, int]]:
    """(hexadecimal address, port) of the sockets a process listens on, IPv4 and IPv6."""
    inodes = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        target = os.readlink(entry.path)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                address, port = words[1].split(":")
                found.append((address, int(port, 16)))
    return found


def own_port(tree: RunningTree, pid: int) -> int:
    """The port this process answers on; it inherited others that nobody reads."""
    others = {row.pid for row in tree.members()} - {pid, tree.logger()}
    inherited = {place for other in others for place in listening(other)}
    [(_, port)] = set(listening(pid)) - inherited
    return port


def test_no_socket_of_the_tree_listens_beyond_loopback(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    pids = [row.pid for row in tree.members()] + [tree.launcher.pid]
    sockets = [(pid, *place) for pid in pids for place in listening(pid)]
    assert len(sockets) >= 8
    assert [place for place in sockets if place[1] != "0100007F"] == []


def test_a_forged_pickle_is_not_read_and_the_tree_lives(start_tree: Start, tmp_path: Path) -> None:
    tree = start_tree(PAIR)
    crater = tmp_path / "crater"
    body = b"\0" * 32 + pickle.dumps(Bomb(crater))
    plain = pickle.dumps(Bomb(crater))
    for pid in (tree.pid("one"), tree.admin(), tree.pid("root")):
        for forged in (body, plain):
            with socket.create_connection(("127.0.0.1", own_port(tree, pid))) as stranger:
                stranger.settimeout(5)
                stranger.sendall(f"{len(forged)}>".encode() + forged)
                stranger.recv(100)
    tree.command("one", "tell two hello")
    tree.wait_note("two", "1 poke hello 1")
    assert not crater.exists()
    assert starts(tree, "one") == 1


def starts(tree: RunningTree, name: str) -> int:
    return sum(" start " in note for note in tree.notes(name))


def test_a_second_start_is_refused_with_the_pid_and_the_first_lives(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    second = tree.launch()
    assert second.wait(120) == 1
    assert f"process {tree.launcher.pid}" in tree.text()
    tree.command("one", "tell two hello")
    tree.wait_note("two", "1 poke hello 1")


def test_stop_ends_a_running_system_by_the_path_of_ctrl_c(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    stopping = tree.launch("--stop")
    assert stopping.wait(120) == 0
    assert tree.launcher.wait(1) == 0
    assert tree.notes("one")[-1] == "1 stop"


def test_no_pipe_is_held_after_the_launcher_is_killed(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.stop()
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as output:
        tree.launcher = tree.launch(stdout=writer)
        os.close(writer)
        while b"nodes are ready" not in output.readline():
            pass
        tree.kill(tree.launcher.pid)
        output.read()  # ends only when nobody holds the other end
    assert tree.members()


def test_a_pipe_that_closes_does_not_end_the_trading(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    tree.stop()
    reader, writer = os.pipe()
    tree.launcher = tree.launch(stdout=writer)
    os.close(writer)
    os.close(reader)
    first = starts(tree, "one")
    wait_for(lambda: starts(tree, "one") > first and tree.pid("two"), "the tree is up")
    tree.kill(tree.pid("root"))
    wait_for(lambda: starts(tree, "one") > first + 1, "the tree is made again")
    assert tree.stop() == 0


def test_a_start_sweeps_what_a_killed_launcher_left(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    root = tree.pid("root")
    left = [tree.admin(), tree.logger()]
    os.kill(root, 19)  # stopped, so that it cannot drain the tree by itself
    tree.kill(tree.launcher.pid)
    tree.launcher.wait()
    tree.launcher = tree.launch()
    tree.wait_ready(times=2)
    alive = {row.pid for row in processes() if not row.zombie}
    assert not alive & {root, *left}


def test_a_port_in_use_is_one_sentence_and_status_2(start_tree: Start) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        tree = start_tree(PAIR, "--http-port", str(port), ready=False)
        assert tree.launcher.wait(120) == 2
    assert tree.text().strip().splitlines()[0].startswith(f"port {port} is in use")


def test_a_data_folder_that_cannot_be_written_is_one_sentence_and_status_2(
    start_tree: Start, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    tree = start_tree(PAIR, "--data-dir", str(blocked), ready=False)
    assert tree.launcher.wait(120) == 2
    assert len(tree.text().strip().splitlines()) == 1


def test_leaves_print_nothing(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    for pid in (tree.pid("one"), tree.admin(), tree.pid("root")):
        assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {"/dev/null"}


def test_nothing_is_left_in_the_run_folder_after_an_orderly_end(start_tree: Start) -> None:
    tree = start_tree(PAIR)
    assert tree.stop() == 0
    left = {path.name for path in (tree.data_dir / "run").iterdir()}
    assert left == {"launches"}  # the count of starts is what must stay


def test_who_handles_orders_gets_a_processor_first_where_the_system_grants_it(
    start_tree: Start,
) -> None:
    tree = start_tree(ORDERS)
    first = os.SCHED_RR if may_go_first() else os.SCHED_OTHER
    told = {name: os.sched_getscheduler(tree.pid(name)) for name in ("orders", "one", "two")}
    assert told == {"orders": first, "one": first, "two": os.SCHED_OTHER}
    assert ("real-time scheduling" in tree.text()) == (first == os.SCHED_OTHER)
    tree.kill(tree.pid("one"))
    assert os.sched_getscheduler(tree.wait_life("one", 2)) == first
