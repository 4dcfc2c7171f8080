"""host: the only module, beside system.py, that knows Thespian. Runs any Actor in a process of its
own.

It turns Thespian's calls into frames for the engine, catches everything that goes wrong, leaves
last words for the supervisor and ends the process: no message is ever handled again on dirty state.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from thespian.actors import Actor as ThespianActor
from thespian.actors import ActorExitRequest, ThespianWatch, WakeupMessage, WatchMessage

from actors.hosting import process
from actors.hosting.engine import Engine
from actors.hosting.log_file import LogFile
from actors.hosting.masking import masked
from actors.hosting.nursery import Forked
from actors.hosting.shared import Shared
from actors.hosting.shortcut import Shortcut
from actors.hosting.wire import Address
from domain.clock import NS_PER_S

LINGER_S, LINGER_MAX_S = 0.02, 0.25  # without, and with traffic

_shared: list[Shared] = []
_log: list[LogFile] = []


def share(shared: Shared) -> None:
    """By the launcher, before the fork: what every host shall find."""
    _shared[:] = [shared]


def make_log(keys: Mapping[str, str]) -> None:
    """By the launcher, before the fork: what takes 10 ms and no child shall do again."""
    _log[:] = [LogFile(keys)]


class Host(ThespianActor):
    """One process of the tree; the supervisor's first frame says whose."""

    def __init__(self) -> None:
        try:
            super().__init__()
            process.end_with_parent()
            process.plain_signals()
            process.close_output()
            shared = _shared[0]
            if os.getppid() in (1, shared.launcher_pid):
                os._exit(0)  # the parent ended before this process asked to end with it
            self._shortcut: Shortcut | None = None
            self._engine = Engine(shared, self, self._open_log, self._fork)
        except BaseException:
            os._exit(process.CRASHED)

    def receiveMessage(self, message: Any, sender: Address) -> ThespianWatch:
        """Every call ends in a watch list, or in the end of the process."""
        try:
            if isinstance(message, WatchMessage):
                self._take(message.ready)
            elif isinstance(message, WakeupMessage):
                self._engine.woken()
            elif isinstance(message, ActorExitRequest):
                os._exit(0)
            else:
                self._engine.receive(message, sender)
            return ThespianWatch(self._linger())
        except BaseException as failure:
            self._end(failure)

    def _take(self, ready: list[int]) -> None:
        """Readable descriptors: the engine's own, and those of the shortcut."""
        ours = self._shortcut.descriptors() if self._shortcut is not None else []
        for descriptor in ready:
            if self._shortcut is not None and descriptor in ours:
                for frame, sender in self._shortcut.take(descriptor):
                    self._engine.receive(frame, sender)
        self._engine.readable([descriptor for descriptor in ready if descriptor not in ours])

    def _linger(self) -> list[int]:
        """What Thespian shall watch. Where one frame came the next is near, and its loop is slow:
        so this one turns for a while, as long as something comes.
        """
        engine, shortcut = self._engine, self._shortcut
        if shortcut is None:
            return engine.descriptors()
        until = time.monotonic() + LINGER_MAX_S
        while engine.configured and time.monotonic() < until:
            pending = shortcut.push()
            ready = shortcut.wait(engine.descriptors(), self._pause_s())
            self._take(ready)
            due_ns = engine.next_due_ns()
            if due_ns is not None and time.monotonic_ns() >= due_ns:
                engine.woken()
            elif not ready and not pending:
                break
        if shortcut.push():
            self.wake_after(LINGER_S)
        return [*engine.descriptors(), *shortcut.descriptors()]

    def _pause_s(self) -> float:
        due_ns = self._engine.next_due_ns()
        if due_ns is None:
            return LINGER_S
        return min(max((due_ns - time.monotonic_ns()) / NS_PER_S, 0.0), LINGER_S)

    def _end(self, failure: BaseException) -> None:
        name = self._engine.name
        text = masked("".join(traceback.format_exception(failure)), self._secrets())
        if name:
            last = masked(f"{type(failure).__name__}: {failure}", self._secrets())
            notes = " ".join(getattr(failure, "__notes__", []))
            _shared[0].board.put(name, last_error=last)
            process.leave_last_words(_shared[0].runtime.run_dir, name, f"{last} {notes}".strip())
            self._engine.context.log.critical("{}", text)
        os._exit(process.CRASHED)

    # -- the engine's transport --

    def configured(self, name: str, life: int) -> None:
        self._shortcut = Shortcut(_shared[0].runtime.run_dir, name, life)

    def my_address(self) -> Address:
        return self.myAddress if self._shortcut is None else self._shortcut.address

    def send(self, targetAddr: Address, msg: Any) -> None:
        if isinstance(targetAddr, str) and self._shortcut is not None:
            self._shortcut.send(targetAddr, msg)
        else:
            super().send(targetAddr, msg)

    def wake_after(self, delay_s: float) -> None:
        self.wakeupAfter(timedelta(seconds=delay_s))

    def _fork(self) -> tuple[Address, Forked]:
        """A new host below this one; the process handle is where Thespian keeps it."""
        before = len(getattr(self._myRef, "_child_procs", []))
        address = self.createActor(Host)
        procs = getattr(self._myRef, "_child_procs", [])
        if len(procs) <= before:
            raise OSError("no process was forked")
        return address, procs[-1].childProc

    # -- the log --

    def _secrets(self) -> tuple[str, ...]:
        return tuple(_shared[0].runtime.keys.values())

    def _open_log(self, name: str) -> Any:
        return _log[0].open(_shared[0].runtime.data_dir / "log", name)
