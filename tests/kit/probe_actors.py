"""Small actors for the tests of host and supervision. They write what they do to files in the data
folder."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from actors.actor import Actor
from domain.errors import MailboxFull
from messages.base import Message, Overflow
from messages.lifecycle import BranchGaveUp, NodeRestarted, RestartNode


@dataclass(frozen=True, kw_only=True)
class Poke(Message):
    """Asks a probe to do something; `what` names it."""

    what: str
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Noted(Message):
    """A probe's fact."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Gauge(Message):
    """Newest wins."""

    OVERFLOW = Overflow.NEWEST_WINS
    value: int
    extra: dict[str, Any] = field(default_factory=dict)


class Probe(Actor):
    """Writes a line for each event; does what it is poked to do."""

    def note(self, text: str) -> None:
        """One line, durable against the death of this process."""
        path = self.context.runtime.data_dir / f"{self.context.name}.notes"
        with path.open("a") as file:
            file.write(f"{self.context.life} {text}\n")

    def start(self) -> None:
        self.note(f"start {os.getpid()}")
        command = self.context.runtime.data_dir / f"{self.context.name}.fifo"
        os.makedirs(command.parent, exist_ok=True)
        if not command.exists():
            os.mkfifo(command)
        self._commands = os.open(command, os.O_RDWR | os.O_NONBLOCK)
        self.context.watch(self._commands, self._on_command)

    def drain(self) -> bool:
        return time.monotonic() >= getattr(self, "_busy_until", 0.0)

    def stop(self) -> None:
        self.note("stop")

    def _on_command(self) -> None:
        for line in os.read(self._commands, 4096).decode().splitlines():
            self.obey(line)

    def obey(self, line: str) -> None:
        """A command is a word and its arguments."""
        word, *rest = line.split()
        getattr(self, f"do_{word}")(*rest)

    def on_poke(self, message: Poke) -> None:
        self.note(f"poke {message.what} {message.number}")
        getattr(self, f"do_{message.what}", lambda *_: None)()

    def on_noted(self, message: Noted) -> None:
        self.note(f"noted {message.text}")

    def do_tell(self, target: str, what: str, count: str = "1") -> None:
        for number in range(1, int(count) + 1):
            self.context.tell(target, Poke(what=what, number=number))

    def do_flood(self, target: str, count: str) -> None:
        told = 0
        try:
            for number in range(int(count)):
                self.context.tell(target, Poke(what="flooded", number=number))
                told += 1
        except MailboxFull:
            self.note(f"refused after {told}")

    def on_node_restarted(self, message: NodeRestarted) -> None:
        self.note(f"restarted {message.name} {message.life} {message.reason}")

    def on_branch_gave_up(self, message: BranchGaveUp) -> None:
        self.note(f"gave_up {message.name} {message.handles_orders}")

    def do_restart(self, name: str) -> None:
        self.context.announce(RestartNode(name=name, reason="for a test", by="probe"))

    def do_announce(self, text: str) -> None:
        self.context.announce(Noted(text=text))

    def do_raise(self) -> None:
        raise RuntimeError("asked to raise")

    def do_segv(self) -> None:
        ctypes.string_at(0)

    def do_wait(self) -> None:
        threading.Event().wait(0.4)

    def do_hang(self) -> None:
        threading.Event().wait(600)

    def do_be_busy(self, seconds: str) -> None:
        self._busy_until = time.monotonic() + float(seconds)

    def do_exit(self) -> None:
        os._exit(0)


class FailsToStart(Probe):
    """Raises in `start`, always."""

    def start(self) -> None:
        super().start()
        raise RuntimeError("cannot start")
