"""Frames: what hosts say to each other. Business messages travel inside Mail; the rest is plumbing.

An address is whatever the transport calls one; no one but the transport looks into it. What goes at
each turn is a tuple, which takes half the time on its way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

Address = Any


@dataclass(frozen=True)
class Configure:
    """First frame to a new host: who it is. `parent_pid` tells whether its parent still lives."""

    name: str
    life: int
    parent_pid: int
    directory: Address | None


@dataclass(frozen=True)
class Ready:
    """To the supervisor: `start()` returned."""

    name: str
    life: int


@dataclass(frozen=True)
class Drain:
    """From the supervisor: finish, stop and end the process before `deadline_ns` (monotonic).

    `for_good` when the whole runtime ends; else a new life follows.
    """

    deadline_ns: int
    for_good: bool


@dataclass(frozen=True)
class DirectoryAt:
    """Where the directory lives now; passed up to the root and down to everyone."""

    life: int
    address: Address


@dataclass(frozen=True)
class Register:
    """To the directory: this life of `name` takes mail at `address`."""

    name: str
    life: int
    address: Address


@dataclass(frozen=True)
class Known:
    """From the directory: entries that are new to the receiver."""

    entries: tuple[Register, ...]


class Posted(NamedTuple):
    """One letter in the mail: `data` is an encoded message, or in a replay a Batch. `round` is the
    round of a replay in which it was told, 0 outside of one."""

    count: int
    sent_ns: int
    announced: bool
    data: Any
    round: int = 0


class Mail(NamedTuple):
    """Letters from one life of an actor to one life of another, in order. `first` is the count of
    the first letter ever sent from the one to the other; `handled` acknowledges the receiver's own
    letters up to that count, 0 when there is nothing new to say of them."""

    to: str
    to_life: int
    sender: str
    sender_life: int
    first: int
    letters: tuple[Posted, ...]
    handled: int = 0


class Acknowledged(NamedTuple):
    """From the receiver: all letters up to `count` are handled."""

    name: str
    life: int
    count: int


class Round(NamedTuple):
    """From the stepper: handle what was told before this round, at `now_ns`. `prefixes` is who
    subscribes to which topics, when that changed since the receiver's last round. The `last` of a
    replay ends when what the receiver reports was taken note of."""

    number: int
    now_ns: int
    expected: int
    market_step: int
    prefixes: dict[str, tuple[str, ...]] | None = None
    last: bool = False


class RoundDone(NamedTuple):
    """To the stepper: what the round caused. `sent` counts letters by stepped target."""

    name: str
    life: int
    number: int
    sent: dict[str, int]
    next_due_ns: int | None
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class RoundWanted:
    """To the stepper: this life has not started, or mail or data from outside of the recorded clock
    waits here."""

    name: str
    life: int
    started: bool


class Transport(Protocol):
    """What a host needs of the actor runtime."""

    def configured(self, name: str, life: int) -> None:
        """Called once, when the host knows whose it is."""

    def my_address(self) -> Address:
        """Where this process takes frames."""

    def send(self, address: Address, frame: Any) -> None:
        """Hands a frame over; never blocks."""
