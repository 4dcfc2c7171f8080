"""Life and death of actors: what supervisors, hosts, the directory and the status board say to each
other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from messages.base import Message, Overflow


@dataclass(frozen=True, kw_only=True)
class HealthReported(Message):
    """A part of the status board: what one actor wants shown. `body` is JSON-ready; `bus` tells by
    source what it took from the data plane, lost of it, and how late that came."""

    OVERFLOW = Overflow.NEWEST_WINS
    name: str
    body: dict[str, Any] = field(default_factory=dict)
    bus: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class ReportsWanted(Message):
    """A new status board has no part of anyone: every actor shows its newest again."""

    FACT = False


@dataclass(frozen=True, kw_only=True)
class NodeRestarted(Message):
    """An actor of that name has a new life; what it held in memory is gone. Told to everyone."""

    name: str
    life: int
    reason: str
    handles_orders: bool


@dataclass(frozen=True, kw_only=True)
class BranchGaveUp(Message):
    """A supervisor's restart intensity was exceeded; if the branch handles orders, trading
    halts.
    """

    URGENT = True
    name: str
    reason: str
    handles_orders: bool


@dataclass(frozen=True, kw_only=True)
class RestartNode(Message):
    """Asks the supervisor of `name` to stop and start it."""

    name: str
    reason: str
    by: str


@dataclass(frozen=True, kw_only=True)
class AlertRaised(Message):
    """Something a person should know. `level` is CRITICAL, RISK, SIGNAL, REGIME or INFO."""

    level: str
    text: str
    dedupe_key: str = ""


@dataclass(frozen=True, kw_only=True)
class DeadLetter(Message):
    """A message of class `kind` that `target` will never handle; told by its sender."""

    kind: str
    target: str
    why: str


@dataclass(frozen=True, kw_only=True)
class TreeReported(Message):
    """The whole supervisor tree as nested JSON-ready nodes (`tomic.md` 13.6), by the root."""

    OVERFLOW = Overflow.NEWEST_WINS
    tree: dict[str, Any] = field(default_factory=dict)
