"""Shapes of commands, signals, orders, quality and the tree (`tomic.md` 13.4-13.6)."""

from __future__ import annotations

from typing import Any, Literal

from web_status.shapes import Presence, Row, Shape, Success


class CommandItem(Shape):
    """A command row (`tomic.md` 9.1)."""

    id: int
    event_type: str
    correlation_id: str
    idempotency_key: str
    source_agent: str
    payload: Row
    status: str
    attempt_count: int
    last_error: str
    created_at: str | None
    processed_at: str | None
    priority: int


class CommandsAnswer(Shape):
    """A page of commands, newest first."""

    status: Success
    status_filter: str
    limit: int
    offset: int
    total: int
    items: list[CommandItem]


class DeadLetter(Shape):
    """A command that gave up; the payload's first 120 characters, masked."""

    id: int
    payload_preview: str
    error_class: str
    error_message: str


class DeadLettersAnswer(Shape):
    """A page of dead letters; `total` counts all."""

    status: Success
    total: int
    limit: int
    offset: int
    items: list[DeadLetter]


class Requeued(Shape):
    """How many dead letters were put back, and why others were not."""

    status: Success
    requeued: int


class Deleted(Shape):
    """How many dead letters were removed."""

    status: Success
    deleted: int


class ApprovalsAnswer(Shape):
    """Commands that wait for a person."""

    status: Success
    total: int
    items: list[CommandItem]


class OutcomesAnswer(Shape):
    """Orders that may have arrived, as execution last told of them; unavailable until it did."""

    status: Presence
    total: int
    age_s: float | None
    items: list[Row]


class SignalTaken(Shape):
    """An injected signal whose row is on disk."""

    status: Success
    message: str
    pending_signals: int
    correlation_id: str
    signal: Row


class SignalTrace(Shape):
    """How far a signal came: PENDING, risk's result, or its command's status."""

    status: Success
    state: str
    evaluation: Row | None
    command: Row | None


class Gate(Shape):
    """One gate's word on an order."""

    gate: str
    inputs: Row
    verdict: str
    reason: str


class Attempt(Shape):
    """What was sent and what came back."""

    at: str
    request: Any
    answer: Any


class OrderStory(Shape):
    """Why an order exists and what became of it."""

    order: Row
    trigger: Row
    regime: Row
    gates: list[Gate]
    sizing_chain: list[Row]
    attempts: list[Attempt]
    fills: list[Row]
    slippage: Row


class TreeNode(Shape):
    """A node of the supervisor tree."""

    name: str
    actor: str
    strategy: str
    state: Literal["starting", "running", "paused", "backing_off", "stopped", "failed"]
    pid: int
    node: str
    restarts: int
    last_restart_reason: str
    uptime_s: float
    mailbox: int
    mailbox_high: int
    handled: int
    dead_letters: int
    mail_refused: int
    busy_pct: float
    rss_mb: float
    last_heartbeat_age_s: float | None
    effect_if_down: str
    children: list[TreeNode]


class PartAnswer(Shape):
    """What one actor last reported."""

    status: Success
    age_s: float
    data: Row
