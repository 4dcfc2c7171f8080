"""A real tree for a test: system.py in a process of its own, on a small topology, always reaped.

Use the fixture `start_tree` (tests/system/conftest.py): `tree = start_tree(children_yaml)`.
Processes carry their node's name, so `tree.pid("one")` finds them; probes write what they did to
`tree.notes("one")`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from launch.build import free_port
from launch.processes import Process, end_session, processes

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (str(ROOT / "system.py"),)
PATIENCE_S = 120.0
HEAD = """\
brokers:
  alpha: {rest: "http://127.0.0.1:9", ws: "ws://127.0.0.1:19", feed: true, exec: true, label: Alpha}
feed_auto_sequence: [alpha]
defaults: {restart: permanent, max_restarts: 3, window_s: 120, backoff_s: [0, 10], shutdown_s: 2,
           heartbeat_s: 2, max_handler_s: 1, mailbox_max: 100, pause_on_kill: false}
tree:
  name: root
  strategy: one_for_one
  children:
    - name: supervision
      strategy: one_for_one
      children:
        - {name: directory, actor: actors.supervision.directory.Directory}
"""


def wait_for(fact: Callable[[], object], what: str = "", within_s: float = PATIENCE_S) -> object:
    """Looks until `fact()` is true, and gives it; fails the test when it never is."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = fact()
        if found:
            return found
        os.sched_yield()
        signal.sigtimedwait([], 0.01)
    raise AssertionError(f"never came true: {what or fact}")


def session_of(data_dir: Path) -> int:
    """The session of the runtime on that folder; 0 before there is one."""
    path = data_dir / "run" / "session"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(json.loads(path.read_text())["session"])
    return 0


def members_of(data_dir: Path) -> list[Process]:
    """Living processes below the launcher of the runtime on that folder."""
    session = session_of(data_dir)
    return [row for row in processes() if session and row.session == session and not row.zombie]


class RunningTree:
    """One launcher and all below it."""

    def __init__(
        self, folder: Path, branches: str, *words: str, program: Sequence[str] = PROGRAM
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "var"
        self.topology = folder / "tree.yaml"
        self.topology.write_text(HEAD + textwrap.indent(textwrap.dedent(branches), " " * 4))
        (folder / "env").touch()
        self.output = folder / "output"
        self.launcher = self.launch(*words, program=program)

    def launch(
        self, *words: str, stdout: object = None, program: Sequence[str] = PROGRAM
    ) -> subprocess.Popen[bytes]:
        """Starts a launcher on this folder; `program` is a test's own with its first words."""
        command = [
            sys.executable, *program, "--topology", str(self.topology),
            "--data-dir", str(self.data_dir), "--env-file", str(self.folder / "env"),
            "--http-port", str(free_port()), *words,
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if "TOMIC" not in key}
        environment["TOMIC_API_KEY"] = "k" * 40
        with self.output.open("ab") as output:
            return subprocess.Popen(
                command,
                stdout=stdout or output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment,
            )

    # -- what is running --

    def text(self) -> str:
        """What the launchers printed so far."""
        return self.output.read_text()

    def session(self) -> int:
        """The runtime's session; 0 before there is one."""
        return session_of(self.data_dir)

    def members(self) -> list[Process]:
        """Living processes below the launcher."""
        return members_of(self.data_dir)

    def pid(self, name: str) -> int:
        """Process of a node; 0 when it is not running."""
        for row in self.members():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{row.pid}/comm").read_text().strip() == name[:15]:
                    return row.pid
        return 0

    def admin(self) -> int:
        """Thespian's admin: the launcher's own child in the session."""
        return next((row.pid for row in self.members() if row.parent == self.launcher.pid), 0)

    def logger(self) -> int:
        """Thespian's logger: the admin's child that is not the root."""
        admin, root = self.admin(), self.pid("root")
        return next(
            (row.pid for row in self.members() if row.parent == admin and row.pid != root), 0
        )

    def notes(self, name: str) -> list[str]:
        """Lines a probe wrote: `<life> <text>`."""
        path = self.data_dir / f"{name}.notes"
        return path.read_text().splitlines() if path.exists() else []

    def log(self, name: str) -> str:
        """The log of a node, or of the launcher."""
        path = self.data_dir / "log" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    # -- what the test does --

    def wait_ready(self, times: int = 1) -> RunningTree:
        """Until the launcher has said so many times that all nodes are ready."""
        wait_for(
            lambda: self.text().count(" nodes are ready") >= times or self._ended(), "tree is ready"
        )
        assert self.text().count(" nodes are ready") >= times, self.text()
        return self

    def _ended(self) -> bool:
        return self.launcher.poll() is not None

    def command(self, name: str, line: str) -> None:
        """Makes a probe do something."""
        with (self.data_dir / f"{name}.fifo").open("w") as fifo:
            fifo.write(line + "\n")

    def wait_note(self, name: str, line: str) -> None:
        """Until the probe has written that line."""
        wait_for(lambda: line in self.notes(name), f"{name} notes {line!r}: {self.notes(name)}")

    def wait_life(self, name: str, life: int) -> int:
        """Until that life of a probe has started; gives its pid."""
        started = wait_for(
            lambda: [note for note in self.notes(name) if note.startswith(f"{life} start ")],
            f"life {life} of {name}",
        )
        return int(str(started[-1]).split()[2])  # type: ignore[index]

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """A signal to one process."""
        assert pid > 1
        os.kill(pid, number)

    def stop(self) -> int:
        """Ctrl-C; gives the exit status."""
        self.launcher.send_signal(signal.SIGINT)
        return self.launcher.wait(PATIENCE_S)

    def reap(self) -> None:
        """Nothing of this tree lives on, whatever the test did."""
        if self.launcher.poll() is None:
            self.launcher.kill()
            self.launcher.wait()
        session = self.session()
        if session:
            end_session(session)
            wait_for(lambda: not self.members(), "the session is empty")
            with contextlib.suppress(FileNotFoundError):
                note = json.loads((self.data_dir / "run" / "session").read_text())
                shutil.rmtree(note["run_dir"], ignore_errors=True)
