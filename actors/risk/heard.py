"""What the risk agent goes by between two evaluations. Part of risk_agent."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.positions import BookSnapshot
from domain.readings import FreshnessMark, MarginState, Regime, StrategyOdds
from domain.track_record import TrackRecord


@dataclass
class Heard:
    """The last word on everything risk depends on; nothing heard is nothing known."""

    regime: Regime = field(default_factory=Regime)
    mark: FreshnessMark | None = None
    margin: MarginState | None = None
    book: BookSnapshot = field(default_factory=BookSnapshot)
    stopped: str = ""
    correlations: dict[frozenset[str], float] = field(default_factory=dict)
    odds: dict[str, StrategyOdds] = field(default_factory=dict)
    record: TrackRecord | None = None
