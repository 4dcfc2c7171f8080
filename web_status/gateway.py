"""The only way from the web into the runtime: cached parts to read, and one door to ask."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """What one actor last reported, and when (monotonic); by source what it had from the bus."""

    body: Mapping[str, Any]
    received_ns: int
    bus: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def age_s(self, now_ns: int) -> float:
        """Seconds since it was reported."""
        return round((now_ns - self.received_ns) / NS_PER_S, 3)


@dataclass(frozen=True, slots=True)
class Answer:
    """The runtime's word on a request: HTTP status and JSON body."""

    http_status: int
    body: Mapping[str, Any]


class Gateway(Protocol):
    """What the routes are given; safe to call from any thread."""

    started_ns: int

    def ask(self, action: str, body: dict[str, Any], by: str) -> Future[Answer]:
        """Hands a request to control_desk."""

    def parts(self) -> dict[str, Part]:
        """The newest part of every actor that reported, by its name."""

    def tree(self) -> Part | None:
        """The supervisor tree as nested nodes; None before the first report."""

    def alerts(self) -> list[dict[str, Any]]:
        """The newest alerts, oldest first."""

    def now_ns(self) -> int:
        """Wall clock of the runtime (the recorded one in a replay)."""

    def monotonic_ns(self) -> int:
        """For ages."""
