"""The supervisor of last resort: starts the tree, watches admin, logger and root, makes the tree
again.

It has no thread, and no socket but the root's line. What Thespian needs is in system.py, which
hands it in as `start_tree`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.hosting import board as states
from actors.hosting import process
from actors.hosting.shared import Shared
from domain.supervision.answering import Signs, answer_due
from domain.supervision.restarts import Action, GiveUp, Restarts, Start
from launch import processes
from launch.narrator import Narrator

NARRATE_EVERY_S = 0.5
STOP_LIMIT_S = 4.6  # of the 5 s that a stop may take
EXIT_OK, EXIT_GAVE_UP, EXIT_NOT_DRAINED = 0, 3, 4
NAMES_SHOWN_MAX = 5
NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Tree:
    """The processes whose death ends the tree, and their session."""

    pids: tuple[int, int, int]  # of admin, logger and root
    session: int

    @property
    def root(self) -> int:
        """The process of the root."""
        return self.pids[2]


class LaunchFailed(Exception):
    """Raised by `start_tree` when the runtime did not come up."""


class Launcher:
    """One run, from the first start to the last process reaped."""

    def __init__(
        self,
        shared: Shared,
        start_tree: Callable[[Shared], Tree],
        say: Callable[[str], None],
        log: Any,
        before_report: Callable[[], None] = lambda: None,
    ) -> None:
        self._shared, self._start_tree = shared, start_tree
        self._say, self._log = say, log
        self._before_report = before_report
        self._narrator = Narrator(shared.runtime.data_dir)
        root = shared.runtime.tree
        self._restarts = Restarts("one_for_one", (root,), lambda: 0.0)
        self._selector = selectors.DefaultSelector()
        self._signals, self._wakeup = socket.socketpair()
        self._tree: Tree | None = None
        self._line: socket.socket | None = None
        self._stop_before: float | None = None
        self._started = time.monotonic()
        self._forked_ns = 0
        self._code: int | None = None
        self.replay_ended = False

    def run(self) -> int:
        """Until the tree is drained or given up; the exit status."""
        process.adopt_orphans()
        os.register_at_fork(after_in_child=self._in_child)
        self._take_signals()
        self._obey(self._restarts.begin(time.monotonic_ns()))
        while self._code is None:
            for key, _ in self._selector.select(self._patience_s()):
                if self._code is None:
                    key.data()
            self._check_time()
            self._narrate()
        self._end_tree()
        self._narrate()
        return self._code

    # -- signals --

    def _take_signals(self) -> None:
        for end in (self._signals, self._wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._signals, selectors.EVENT_READ, self._on_signals)

    def _in_child(self) -> None:
        """In every process of the tree, right after the fork: lets go of what is the launcher's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        process.close_output()
        self._signals.close()
        self._wakeup.close()
        if self._line is not None:
            self._line.close()

    def _on_signals(self) -> None:
        for number in self._signals.recv(4096):
            if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self.stop(f"{signal.Signals(number).name} received")
        processes.reap_dead()

    def stop(self, why: str) -> None:
        """Drains the tree, last child first; asked twice, ends it at once."""
        if self._stop_before is not None:
            self._not_drained("asked twice to stop")
            return
        self._say(f"stopping: {why}")
        self._log.info("stopping: {}", why)
        self._stop_before = time.monotonic() + STOP_LIMIT_S
        if self._tree is None or self._line is None:
            self._code = EXIT_OK
            return
        with contextlib.suppress(OSError):  # the root is dead: its descriptor ends the wait
            self._line.send(json.dumps({"say": "drain"}).encode())

    # -- the tree --

    def _obey(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                self._start(action.reason)
            elif isinstance(action, GiveUp):
                self._say(f"TOMIC gives up: {action.reason}")
                self._log.critical("gives up: {}", action.reason)
                self._code = EXIT_GAVE_UP

    def _start(self, reason: str) -> None:
        root = self._shared.root
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)
        far.setblocking(False)
        self._line, self._shared = near, dataclasses.replace(self._shared, control=far)
        self._shared.board.new_life(root)
        self._shared.board.put(root, started_ns=time.monotonic_ns(), reason=reason)
        self._started = time.monotonic()
        try:
            self._tree = self._start_tree(self._shared)
        except LaunchFailed as failure:
            self._lost(str(failure))
            return
        finally:
            far.close()
        self._forked_ns = time.monotonic_ns()
        for pid in self._tree.pids:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                self._lost(f"process {pid} of the runtime ended at once")
                return
            self._selector.register(
                descriptor, selectors.EVENT_READ, lambda pid=pid: self._on_death(pid)
            )
        self._selector.register(near, selectors.EVENT_READ, self._on_words)

    def _on_words(self) -> None:
        """All that the root has said; nothing more comes when it is dead."""
        while self._line is not None and self._code is None:
            try:
                words = self._line.recv(65_536)
            except (BlockingIOError, ConnectionResetError):
                return
            if not words:
                return
            self._on_word(json.loads(words))

    def _on_word(self, word: dict[str, Any]) -> None:
        said = word["say"]
        if said == "ready":
            self._on_ready()
        elif said == "drained":
            self._on_drained()
        elif said == "gave_up":
            self._obey([GiveUp(self._shared.root, word["reason"])])
        elif said == "replay_ended":
            self.replay_ended = True
            self._before_report()
            self.stop("the recorded session has ended")

    def _on_ready(self) -> None:
        took_s = time.monotonic() - self._started
        count = len(self._shared.nodes)
        life = self._shared.board.get(self._shared.root, "life")
        self._restarts.ready(self._shared.root, time.monotonic_ns())
        again = " again" if life > 1 else ""
        self._say(f"{count} nodes are ready{again} after {took_s:.2f} s")
        self._log.info("{} nodes ready{} after {:.2f} s", count, again, took_s)

    def _on_death(self, pid: int) -> None:
        if self._tree is None or pid not in self._tree.pids:
            return  # it died with another, for whom the tree was made again
        self._on_words()  # the root may have said why
        if self._code is not None:
            return
        what = ("the admin", "the logger", "the root")[self._tree.pids.index(pid)]
        if self._stop_before is not None:
            self._not_drained(f"{what} (process {pid}) ended")
        else:
            self._lost(f"{what} (process {pid}) ended")

    def _on_drained(self) -> None:
        board, nodes = self._shared.board, self._shared.nodes
        names = [name for name in nodes if board.get(name, "undrained")]
        if not names:
            self._code = EXIT_OK
            return
        more = len(names) - NAMES_SHOWN_MAX
        shown = ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
        self._not_drained(f"{shown} did not finish in time")

    def _not_drained(self, reason: str) -> None:
        text = f"not drained: {reason}; the next start takes up from disk what was left"
        self._say(text)
        self._log.error(text)
        self._code = EXIT_NOT_DRAINED

    def _lost(self, reason: str) -> None:
        self._say(f"{reason}; the tree is made again")
        self._log.error("{}; the tree is made again", reason)
        self._end_tree()
        self._shared.board.put(self._shared.root, state=states.WAITING, reason=reason)
        self._obey(
            self._restarts.gone(self._shared.root, time.monotonic_ns(), clean=False, reason=reason)
        )

    def _end_tree(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._signals:
                self._selector.unregister(key.fileobj)
                if isinstance(key.fileobj, int):
                    os.close(key.fileobj)
        if self._line is not None:
            self._line.close()
            self._line = None
        for child in processes.children(os.getpid()):
            processes.end_session(child.session)
        processes.reap_all()
        self._tree = None

    # -- time --

    def _patience_s(self) -> float:
        patience_s = NARRATE_EVERY_S
        if self._stop_before is not None:
            patience_s = min(patience_s, self._stop_before - time.monotonic())
        due_ns = self._restarts.next_due_ns()
        if due_ns is not None:
            patience_s = min(patience_s, (due_ns - time.monotonic_ns()) / NS_PER_S)
        return max(0.0, patience_s)

    def _narrate(self) -> None:
        for line in self._narrator.new_lines():
            self._say(line)

    def _check_time(self) -> None:
        if self._code is not None:
            return
        if self._stop_before is not None:
            if time.monotonic() >= self._stop_before:
                self._not_drained(f"the tree took longer than {STOP_LIMIT_S:g} s")
            return
        if self._tree is not None:
            self._judge_root(self._tree)
        if self._restarts.next_due_ns() is not None:
            self._obey(self._restarts.wake(time.monotonic_ns()))

    def _judge_root(self, tree: Tree) -> None:
        """A root that lives and does not answer is ended; the tree is then made again."""
        board, root = self._shared.board, self._shared.runtime.tree
        state = board.get(root.name, "state")
        signs = Signs(
            forked_ns=self._forked_ns,
            beat_ns=int(board.get(root.name, "beat_ns")),
            starting=state == states.STARTING,
            tree_stands=state == states.RUNNING,
            has_orders=True,
        )
        due_ns, what = answer_due(root, signs)
        if time.monotonic_ns() >= due_ns:
            self._lost(f"the root (process {tree.root}) {what}")
