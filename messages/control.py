"""What people, flows and the web ask of the runtime; all pass control_desk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from domain.intents import Signal
from messages.base import Message


@dataclass(frozen=True, kw_only=True)
class DeskRequest(Message):
    """From the status board: one request of a person. `request` names it for the answer; `by` is
    `name@address`, as in every command that comes of it.

    `action`: start, stop, pause, resume, restart_node, inject_signal, close_structure, approve,
    refuse, retry_dead_letter, delete_dead_letter, decide_outcome, scan.
    """

    request: str
    action: str
    body: dict[str, Any] = field(default_factory=dict)
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class DeskAnswered(Message):
    """The desk's answer: an HTTP status and a JSON-ready body."""

    request: str
    http_status: int
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StartTrading(Message):
    """Begin (or go on with) the signal loop; entries may be made."""

    by: str


@dataclass(frozen=True, kw_only=True)
class StopTrading(Message):
    """End the signal loop and every entry that has not left; positions and their guards stay."""

    by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PauseTrading(Message):
    """The kill switch (`tomic.md` 10.3): latch, cancel working entries, let exits pass."""

    URGENT = True
    by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ResumeTrading(Message):
    """Clear the latch; refused while its cause holds. Answered by ResumeAnswered."""

    by: str
    reply_to: str
    request: str


@dataclass(frozen=True, kw_only=True)
class ResumeAnswered(Message):
    """Whether the latch was cleared, and if not, why."""

    request: str
    cleared: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class TradingResumed(Message):
    """A person resumed trading and nothing stood against it: what was halted until then may go."""


@dataclass(frozen=True, kw_only=True)
class InjectSignal(Message):
    """A signal from outside; risk writes its row before it answers by SignalInjected."""

    signal: Signal
    payload: dict[str, Any]
    reply_to: str
    request: str
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class SignalInjected(Message):
    """The injection's row stands. `conflict` when the same key came with another payload."""

    request: str
    correlation_id: str
    duplicate: bool
    conflict: bool
    pending: int
    first_result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ApproveCommand(Message):
    """A person's word on a command of the semi-automatic mode."""

    command_id: int
    approved: bool
    by: str


@dataclass(frozen=True, kw_only=True)
class ScanQuality(Message):
    """To signal_loop: a scan without side effects; answered by QualityScanned."""

    request: str
    reply_to: str


@dataclass(frozen=True, kw_only=True)
class QualityScanned(Message):
    """The quality snapshot of `tomic.md` 13.4, JSON-ready."""

    request: str
    snapshot: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ManageDeadLetter(Message):
    """To execution: put a dead letter back or delete it."""

    command_id: int
    action: str
    by: str
    reply_to: str
    request: str


@dataclass(frozen=True, kw_only=True)
class DeadLetterManaged(Message):
    """What became of it."""

    request: str
    http_status: int
    text: str


@dataclass(frozen=True, kw_only=True)
class CloseRecorded(Message):
    """The row of a close is on disk, whatever dies now; or there is nothing to close."""

    request: str
    http_status: int
    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class DecideOutcome(Message):
    """To execution: a person's word on an order of unknown fate. `word`: OURS (it is the broker's
    order `broker_order_id`) or NEVER_ARRIVED."""

    client_order_id: str
    word: str
    broker_order_id: str
    reason: str
    by: str
    request: str


@dataclass(frozen=True, kw_only=True)
class OutcomeDecided(Message):
    """What became of a person's word; taken with 200, refused with a code otherwise."""

    request: str
    client_order_id: str
    http_status: int
    code: str
    text: str
    by: str
