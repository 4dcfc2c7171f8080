"""host: the only module, beside system.py, that knows Thespian. Runs any Actor in a process of its
own.

It turns Thespian's calls into frames for the engine, catches everything that goes wrong, leaves
last words for the supervisor and ends the process: no message is ever handled again on dirty state.
"""

from __future__ import annotations

import heapq
import os
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from thespian.actors import Actor as ThespianActor
from thespian.actors import ActorExitRequest, ThespianWatch, WakeupMessage, WatchMessage
from thespian.system import actorManager
from thespian.system.timing import ExpirationTimer

from actors.hosting import process
from actors.hosting.engine import Engine
from actors.hosting.log_file import LogFile
from actors.hosting.masking import masked
from actors.hosting.nursery import Forked
from actors.hosting.shared import Shared
from actors.hosting.shortcut import Shortcut
from actors.hosting.wire import Address, Configure
from domain.clock import NS_PER_S

WAKE_MARGIN_NS = 500_000  # a wake-up that came a moment before its timer would be lost
STEPPED_PAUSE_S = 0.01
BUSY_PEER_NS = 20_000_000  # how often a host that had no room is tried from the runtime's loop

_first: list[tuple[Configure, Address]] = []  # what the next fork shall be, and whose
_shared: list[Shared] = []
_log: list[LogFile] = []


def share(shared: Shared) -> None:
    """By the launcher, before the fork: what every host shall find."""
    _shared[:] = [shared]


def make_log(keys: Mapping[str, str]) -> None:
    """By the launcher, before the fork: what takes 10 ms and no child shall do again."""
    _log[:] = [LogFile(keys)]


class _MadeOfNothing:
    """Makes an actor without arguments, as a Host is. The runtime's own reads the signature anew in
    each process, by three ways of which two fail."""

    def __init__(self, **_offered: Any) -> None:
        pass

    def create(self, kind: type) -> Any:
        """The actor."""
        return kind()


def lighten_runtime() -> None:
    """By the launcher, before the fork: spares each process what the runtime would do in vain. Each
    function a process runs for the first time costs it some four pages that it shared until then
    (docs/decisions/0014).
    """
    sys.modules.setdefault("setproctitle", None)  # type: ignore[arg-type]  # else it is looked for
    actorManager.withPossibleInitArgs = _MadeOfNothing


class Host(ThespianActor):
    """One process of the tree; its first frame says whose."""

    def __init__(self) -> None:
        try:
            super().__init__()
            process.end_with_parent()
            process.plain_signals()
            process.close_output()
            shared = _shared[0]
            if os.getppid() in (1, shared.launcher_pid):
                os._exit(0)  # the parent ended before this process asked to end with it
            self._first = _first.copy()
            _first.clear()
            self._shortcut: Shortcut | None = None
            self._wakes: list[int] = []  # asked of the runtime and not yet come
            self._engine = Engine(shared, self, self._open_log, self._fork)
        except BaseException:
            os._exit(process.CRASHED)

    @property
    def _myRef(self) -> Any:
        """The runtime's side of this process."""
        return self._runtime

    @_myRef.setter
    def _myRef(self, runtime: Any) -> None:
        """The runtime hands itself over before its first turn: what the fork left is taken then."""
        self._runtime = runtime
        if self._first:
            runtime.transport._update_runtime(ExpirationTimer(None))  # unset before the first turn
            runtime.transport.addWakeup(timedelta(0), None)

    def receiveMessage(self, message: Any, sender: Address) -> ThespianWatch:
        """Every call ends in a watch list, or in the end of the process."""
        try:
            if isinstance(message, WatchMessage):
                self._take(message.ready)
            elif isinstance(message, WakeupMessage):
                if self._first:
                    self._engine.receive(*self._first.pop())
                else:
                    self._engine.woken()
            elif isinstance(message, ActorExitRequest):
                os._exit(0)
            else:
                self._engine.receive(message, sender)
            return ThespianWatch(self._turn())
        except BaseException as failure:
            self._end(failure)

    def _take(self, ready: list[int]) -> None:
        """Readable descriptors: the engine's own, and those of the shortcut."""
        others: list[int] = []
        for descriptor in ready:
            if self._shortcut is None or not self._shortcut.owns(descriptor):
                others.append(descriptor)
                continue
            for frame, sender in self._shortcut.take(descriptor):
                self._engine.receive(frame, sender)
        if others:
            self._engine.readable(others)

    def _turn(self) -> list[int]:
        """Our own loop, until the runtime has something to do: its loop takes a millisecond a turn,
        this one some tens of microseconds. Gives what the runtime shall watch for us.
        """
        engine, shortcut = self._engine, self._shortcut
        if shortcut is None:
            return engine.descriptors()
        busy_peers = False
        while (runtime := self._runtime_descriptors()) is not None:
            busy_peers = shortcut.push()
            ready = shortcut.wait([*engine.descriptors(), *runtime], self._pause_s())
            if not set(runtime).isdisjoint(ready):
                break
            self._take(ready)
            if engine.is_due():
                engine.woken()
        self._ask_for_wake_up(soon=busy_peers)
        return [*engine.descriptors(), *shortcut.descriptors()]

    def _runtime_descriptors(self) -> list[int] | None:
        """What the runtime waits for; None while it has something under way."""
        transport = self._myRef.transport
        busy = (transport._transmitIntents, transport._waitingTransmits)
        if any((*busy, transport._incomingEnvelopes)):
            return None
        idle = [each.socket.fileno() for each in transport._openSockets.values()]
        return [transport.socket.fileno(), *idle, *transport._incomingSockets]

    def _pause_s(self) -> float | None:
        """Until the next timer; a round of a replay waits for what no descriptor tells twice, but
        between rounds there is only the next round's frame to wait for."""
        due_ns, limit_s = self._engine.next_due_ns(), None
        stepping = self._engine.stepping if self._engine.configured else None
        if stepping is not None and stepping.is_in_round:
            limit_s = STEPPED_PAUSE_S
        if due_ns is None:
            return limit_s
        pause_s = max((due_ns - time.monotonic_ns()) / NS_PER_S, 0.0)
        return pause_s if limit_s is None else min(pause_s, limit_s)

    def _ask_for_wake_up(self, *, soon: bool) -> None:
        """One that was asked for cannot be taken back: another only when that comes too late."""
        due_ns = self._engine.next_due_ns()
        if soon:
            due_ns = min(due_ns or sys.maxsize, time.monotonic_ns() + BUSY_PEER_NS)
        while self._wakes and self._wakes[0] <= time.monotonic_ns():
            heapq.heappop(self._wakes)
        if due_ns is None or (self._wakes and self._wakes[0] <= due_ns):
            return
        heapq.heappush(self._wakes, due_ns)
        after_ns = max(0, due_ns - time.monotonic_ns()) + WAKE_MARGIN_NS
        self.wakeupAfter(timedelta(seconds=after_ns / NS_PER_S))

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
        if _shared[0].goes_first(name):
            process.go_first()  # docs/decisions/0021; where it may not, the start says so
        self._shortcut = Shortcut(_shared[0].runtime.run_dir, name, life)

    def my_address(self) -> Address:
        return self.myAddress if self._shortcut is None else self._shortcut.address

    def send(self, targetAddr: Address, msg: Any) -> None:
        if isinstance(targetAddr, str) and self._shortcut is not None:
            self._shortcut.send(targetAddr, msg)
        else:
            super().send(targetAddr, msg)

    def _fork(self, first: Configure) -> tuple[Address, Forked]:
        """A new host below this one; the process handle is where Thespian keeps it.

        Its first frame comes with the fork: by mail it would take as long as all the rest.
        """
        before = len(getattr(self._myRef, "_child_procs", []))
        _first[:] = [(first, self.my_address())]
        address = self.createActor(Host)
        _first.clear()
        procs = getattr(self._myRef, "_child_procs", [])
        if len(procs) <= before:
            raise OSError("no process was forked")
        return address, procs[-1].childProc

    # -- the log --

    def _secrets(self) -> tuple[str, ...]:
        return tuple(_shared[0].runtime.keys.values())

    def _open_log(self, name: str) -> Any:
        return _log[0].open(f"{_shared[0].runtime.data_dir}/log", name)
