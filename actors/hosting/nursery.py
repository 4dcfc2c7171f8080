"""Nursery: a supervisor's children as processes. A descriptor for each tells of its death and kills
it.

The runtime's own notice of a child's exit loses siblings that die together, so it is not listened
to.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from actors.hosting import process
from actors.hosting.board import Board
from actors.hosting.wire import Address, Configure, Drain, Transport


class Forked(Protocol):
    """A process handle of the standard library's multiprocessing."""

    pid: int | None
    exitcode: int | None


@dataclass
class Child:
    """One living process."""

    name: str
    life: int
    address: Address
    process: Forked
    descriptor: int
    forked_ns: int


@dataclass(frozen=True)
class Death:
    """How a child ended. `clean` when it ended by itself without a fault."""

    name: str
    life: int
    clean: bool
    reason: str
    gave_up: bool = False


class Nursery:
    """Forks, watches and kills. `fork` takes a child's first frame and gives (address, process), or
    raises OSError."""

    def __init__(
        self,
        board: Board,
        run_dir: Any,
        transport: Transport,
        fork: Callable[[Configure], tuple[Address, Forked]],
    ) -> None:
        self.children: dict[str, Child] = {}
        self.on_death: Callable[[Death], None] = lambda death: None
        self._board, self._run_dir, self._transport, self._fork = board, run_dir, transport, fork

    def spawn(self, name: str, directory: Address | None) -> Child | None:
        """A new life of `name`; None when the system had no process left to give."""
        life = self._board.new_life(name)
        process.take_last_words(self._run_dir, name)
        now_ns = time.monotonic_ns()
        self._board.put(name, started_ns=now_ns)
        try:
            address, forked = self._fork(Configure(name, life, os.getpid(), directory))
            descriptor = os.pidfd_open(forked.pid or 0)
        except OSError as failure:
            self._board.put(name, last_error=f"could not be started: {failure}")
            return None
        child = self.children[name] = Child(name, life, address, forked, descriptor, now_ns)
        return child

    def descriptors(self) -> list[int]:
        """Readable when a child is dead."""
        return [child.descriptor for child in self.children.values()]

    def readable(self, descriptor: int) -> None:
        """The process behind the descriptor is dead: tells `on_death`."""
        child = next(child for child in self.children.values() if child.descriptor == descriptor)
        os.close(descriptor)
        del self.children[child.name]
        status = child.process.exitcode
        words = process.take_last_words(self._run_dir, child.name)
        self.on_death(
            Death(
                child.name,
                child.life,
                clean=status == 0,
                reason=words or process.cause_of_exit(status),
                gave_up=status == process.GAVE_UP,
            )
        )

    def drain(self, name: str, deadline_ns: int, *, for_good: bool) -> None:
        """Asks a child to finish and end."""
        self._transport.send(self.children[name].address, Drain(deadline_ns, for_good))

    def kill(self, name: str) -> None:
        """Ends a child at once; its descriptor cannot name a stranger who got the same pid."""
        child = self.children.get(name)
        if child is not None:
            signal.pidfd_send_signal(child.descriptor, signal.SIGKILL)
