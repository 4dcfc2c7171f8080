"""The conflict router: one winner per underlying and cycle.

Hears RouteSignals, PositionChanged and MarginRead; answers SignalsRouted to signal_loop and tells
SignalRouted and SignalSetAside. Decisions: domain/routing/conflicts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from actors.actor import Actor, Context
from domain.intents import RouteDecision, Signal
from domain.positions import BookSnapshot
from domain.readings import MarginState
from domain.routing.conflicts import RoutingLimits, diagnostics, exposure_of, route
from messages.books import MarginRead
from messages.trading import (
    PositionChanged,
    RouteSignals,
    SignalRouted,
    SignalSetAside,
    SignalsRouted,
)

DECISIONS_KEPT = 200


@dataclass(frozen=True)
class RouterSettings:
    """Limits of `tomic.md` 2.3; `sectors` maps stocks to sectors."""

    positions_max: int = 10
    sector_heat_max: float = 0.20
    sectors: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.positions_max < 1:
            raise ValueError(f"positions_max must be 1 or more, not {self.positions_max}")
        if not 0 < self.sector_heat_max <= 1:
            raise ValueError(f"sector_heat_max must lie in 0-1, not {self.sector_heat_max}")


class ConflictRouter(Actor):
    """Keeps what the book and the margin last said, and the newest decisions."""

    SETTINGS = RouterSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._limits = RoutingLimits(
            settings.positions_max, settings.sector_heat_max, settings.sectors
        )
        self._book = BookSnapshot()
        self._margin: MarginState | None = None
        self._log: deque[RouteDecision] = deque(maxlen=DECISIONS_KEPT)
        self._routes = 0

    def on_position_changed(self, message: PositionChanged) -> None:
        self._book = message.book

    def on_margin_read(self, message: MarginRead) -> None:
        self._margin = message.margin

    def on_route_signals(self, message: RouteSignals) -> None:
        rows = self._book.positions + self._book.unmanaged
        exposure = exposure_of(rows, self._margin, self._limits)
        routing = route(
            message.signals,
            message.regime.phase,
            exposure=exposure,
            limits=self._limits,
            now_ns=self.context.now_ns(),
        )
        log, routes = [*self._log, *routing.decisions], self._routes
        if not message.dry:
            self._log.extend(routing.decisions)
            self._routes = routes = self._routes + 1
        found = diagnostics(log, exposure, self._limits, route_count=routes)
        accepted = tuple(_stamped(signal, decision) for signal, decision in routing.accepted)
        self.context.tell(
            "signal_loop",
            SignalsRouted(
                cycle=message.cycle,
                accepted=accepted,
                decisions=routing.decisions,
                diagnostics=found,
                dry=message.dry,
            ),
        )
        if message.dry:
            return
        for signal, (_, decision) in zip(accepted, routing.accepted, strict=True):
            self.context.announce(SignalRouted(signal=signal, decision=decision))
        for signal, refusal in routing.set_aside:
            self.context.announce(SignalSetAside(signal=signal, refusal=refusal))
        self.context.report(found)


def _stamped(signal: Signal, decision: RouteDecision) -> Signal:
    """The signal with the router's word on it, as order and journal show it (`tomic.md` 1.7)."""
    stamps = {
        "router_reason": decision.reason,
        "router_action": decision.action,
        "router_source": decision.source,
        "router_priority_score": f"{decision.priority:.2f}",
    }
    return replace(signal, extras=signal.extras | stamps)
