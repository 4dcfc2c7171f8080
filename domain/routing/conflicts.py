"""Conflicts: two opinions on one underlying, one winner (`tomic.md` 6.1-6.4).

`route` takes all signals of a cycle and gives one decision an underlying, each with its code and
reason. What two agents agree on is their bias (their view of the market), never their orders' side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from domain.clock import iso_utc
from domain.instruments import INDEX_PREFIXES, OPTION_KINDS, SECTOR_INDEX, underlying_of
from domain.intents import Bias, Refusal, RouteDecision, Signal, StrategyType
from domain.positions import Position
from domain.readings import MarginState, Phase

SNIPER, VOLATILITY = "SNIPER", "VOLATILITY"
CONTEXT_ONLY = ("INDIAVIX", "VIX")
ACCEPT, REJECT, DEFER = "ACCEPT", "REJECT", "DEFER"

PRIORITY_BASE: Mapping[tuple[str, Phase], float] = {
    (SNIPER, Phase.BULLISH): 80.0,
    (SNIPER, Phase.CONGESTION): 0.0,
    (SNIPER, Phase.BEARISH): 30.0,
    (SNIPER, Phase.BLOWOFF): 10.0,
    (VOLATILITY, Phase.BULLISH): 60.0,
    (VOLATILITY, Phase.CONGESTION): 90.0,
    (VOLATILITY, Phase.BEARISH): 70.0,
    (VOLATILITY, Phase.BLOWOFF): 20.0,
}
SCORE_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class RoutingLimits:
    """Limits of `tomic.md` 2.3; `sectors` maps a stock to its sector (indices are one sector)."""

    positions_max: int = 10
    sector_heat_max: float = 0.20
    sectors: Mapping[str, str] = field(default_factory=dict)

    def sector_of(self, underlying: str) -> str:
        """The sector of an underlying: INDEX, the map's, or its own name."""
        if underlying in INDEX_PREFIXES:
            return SECTOR_INDEX
        return self.sectors.get(underlying, underlying)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is held: open strategies, and each sector's share of the total margin."""

    position_count: int = 0
    sector_heat: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one underlying: the winner (None when nobody may go on), and why."""

    action: str
    code: str
    reason: str
    winner: Signal | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """A cycle's outcome: accepted by priority, decisions by underlying, and who was set aside."""

    accepted: tuple[tuple[Signal, RouteDecision], ...]
    decisions: tuple[RouteDecision, ...]
    set_aside: tuple[tuple[Signal, Refusal], ...]


INSURANCE = Verdict(ACCEPT, "INSURANCE", "the month's hedge asks no phase and no limit")


def priority_of(signal: Signal, phase: Phase) -> float:
    """Base of source and phase plus a fifth of the signal's score."""
    return PRIORITY_BASE.get((signal.source, phase), 0.0) + SCORE_WEIGHT * signal.strength


def route(
    signals: Sequence[Signal],
    phase: Phase,
    *,
    exposure: Exposure,
    limits: RoutingLimits,
    now_ns: int,
) -> Routing:
    """Decides every underlying, in alphabetical order (6.1); a hedge stands beside them all."""
    groups: dict[str, list[Signal]] = {}
    hedges = [one for one in signals if one.strategy is StrategyType.TAIL_HEDGE]
    for signal in signals:
        if signal not in hedges:
            groups.setdefault(signal.instrument.upper(), []).append(signal)
    accepted = [(one, replace(_decision(INSURANCE, [one], phase), at_ns=now_ns)) for one in hedges]
    decisions = [decision for _, decision in accepted]
    set_aside: list[tuple[Signal, Refusal]] = []
    for underlying in sorted(groups):
        group = groups[underlying]
        verdict = _decide(underlying, group, phase)
        verdict = _within_limits(
            verdict, underlying, exposure, limits=limits, taken=len(accepted) - len(hedges)
        )
        decision = replace(_decision(verdict, group, phase), at_ns=now_ns)
        decisions.append(decision)
        if verdict.action == ACCEPT and verdict.winner:
            accepted.append((verdict.winner, decision))
        set_aside.extend(_losers(group, verdict))
    accepted.sort(key=lambda pair: (-pair[1].priority, pair[1].instrument))
    return Routing(tuple(accepted), tuple(decisions), tuple(set_aside))


def resolve(sniper: Signal | None, other: Signal | None, phase: Phase) -> Verdict:
    """The table of 6.3, first match; `other` is the volatility agent's side."""
    if sniper is None and other is None:
        return Verdict(REJECT, "NO_SIGNAL", "no signal")
    if phase is Phase.BLOWOFF:
        return Verdict(DEFER, "BLOWOFF_DEFER", "blow-off: no fresh entry until it is over")
    if phase is Phase.BEARISH and sniper and sniper.bias is Bias.BULLISH:
        if other is None:
            return Verdict(REJECT, "BEARISH_BLOCKS_LONG", "no long entry in a bearish market")
        sniper = None
    if sniper and other:
        return _between(sniper, other, phase)
    if sniper is None:
        return Verdict(ACCEPT, "ONLY_VOL", "only the volatility agent has a signal", other)
    if phase is Phase.CONGESTION:
        reason = "directional entries wait until the congestion is over"
        return Verdict(DEFER, "CONGESTION_DEFERS_SNIPER", reason)
    return Verdict(ACCEPT, "ONLY_SNIPER", "only the sniper has a signal", sniper)


def exposure_of(
    positions: Iterable[Position], margin: MarginState | None, limits: RoutingLimits
) -> Exposure:
    """Open strategies, and the margin used shared out to sectors by the notional of their rows.

    A broker tells used margin as one sum. A short option's notional is strike x quantity, all else
    is its cost.
    """
    open_rows = [row for row in positions if row.quantity]
    bets = [row for row in open_rows if row.strategy != StrategyType.TAIL_HEDGE]
    count = len({row.strategy_id or row.key for row in bets})
    weights: dict[str, Decimal] = {}
    for row in open_rows:
        sector = limits.sector_of(underlying_of(row.underlying))
        weights[sector] = weights.get(sector, Decimal(0)) + _notional(row)
    whole = sum(weights.values(), Decimal(0))
    total = margin.free + margin.used if margin else Decimal(0)
    if whole <= 0 or total <= 0 or margin is None:
        return Exposure(count)
    used_share = margin.used / total
    heat = {
        sector: float(used_share * weight / whole) for sector, weight in sorted(weights.items())
    }
    return Exposure(count, heat)


def diagnostics(
    log: Sequence[RouteDecision],
    exposure: Exposure,
    limits: RoutingLimits,
    *,
    route_count: int,
    limit: int = 20,
) -> dict[str, Any]:
    """The router's part of the quality snapshot (6.4), JSON-ready; newest decisions last."""
    blocked = Counter(row.code for row in log if row.action != ACCEPT)
    return {
        "route_count": route_count,
        "position_count": exposure.position_count,
        "max_positions": limits.positions_max,
        "sector_limit": limits.sector_heat_max,
        "sector_heat": {name: round(heat, 4) for name, heat in exposure.sector_heat.items()},
        "blocking_reasons": dict(sorted(blocked.items())),
        "decisions": [decision_row(row) for row in list(log)[-max(1, min(200, limit)) :]],
    }


def decision_row(decision: RouteDecision) -> dict[str, Any]:
    """One decision, JSON-ready, under the names of 6.4."""
    return {
        "source": decision.source,
        "instrument": decision.instrument,
        "strategy_type": decision.strategy,
        "action": decision.action,
        "reason": decision.reason,
        "reason_code": decision.code,
        "priority_score": round(decision.priority, 2),
        "at": iso_utc(decision.at_ns),
    }


def _decide(underlying: str, group: list[Signal], phase: Phase) -> Verdict:
    if underlying in CONTEXT_ONLY:
        return Verdict(REJECT, "CONTEXT_ONLY", "the volatility index is read, never traded")
    snipers = [one for one in group if one.source == SNIPER]
    others = [one for one in group if one.source != SNIPER]
    return resolve(_best(snipers), _best(others), phase)


def _best(signals: list[Signal]) -> Signal | None:
    return min(signals, key=_rank, default=None)


def _rank(signal: Signal) -> tuple[float, str]:
    return -signal.strength, signal.strategy


def _between(sniper: Signal, other: Signal, phase: Phase) -> Verdict:
    if sniper.bias is other.bias:
        sniper_leads = priority_of(sniper, phase) >= priority_of(other, phase)
        winner = sniper if sniper_leads else other
        reason = f"both agents are {sniper.bias}; the higher priority goes"
        return Verdict(ACCEPT, "SAME_BIAS", reason, winner)
    if phase is Phase.BULLISH:
        reason = "views differ; the sniper leads in a bullish market"
        return Verdict(ACCEPT, "BULLISH_SNIPER_LEADS", reason, sniper)
    if phase is Phase.CONGESTION:
        reason = "views differ; volatility leads in congestion"
        return Verdict(ACCEPT, "CONGESTION_VOL_LEADS", reason, other)
    reason = "views differ; volatility leads in a bearish market"
    return Verdict(ACCEPT, "BEARISH_VOL_LEADS", reason, other)


def _within_limits(
    verdict: Verdict, underlying: str, exposure: Exposure, *, limits: RoutingLimits, taken: int
) -> Verdict:
    if verdict.action != ACCEPT:
        return verdict
    count = exposure.position_count + taken
    if count >= limits.positions_max:
        reason = f"{count} positions open or approved; the limit is {limits.positions_max}"
        return Verdict(REJECT, "POSITION_LIMIT", reason, verdict.winner)
    sector = limits.sector_of(underlying)
    heat = exposure.sector_heat.get(sector, 0.0)
    if heat >= limits.sector_heat_max:
        reason = f"sector {sector} uses {heat:.1%} of margin; limit {limits.sector_heat_max:.0%}"
        return Verdict(REJECT, "SECTOR_HEAT", reason, verdict.winner)
    return verdict


def _decision(verdict: Verdict, group: list[Signal], phase: Phase) -> RouteDecision:
    shown = verdict.winner or min(group, key=_rank)
    name = shown.instrument.upper()
    return RouteDecision(
        source=shown.source,
        instrument=name,
        strategy=shown.strategy.value,
        action=verdict.action,
        code=verdict.code,
        reason=f"{name}: {verdict.reason}",
        priority=priority_of(shown, phase),
    )


def _losers(group: list[Signal], verdict: Verdict) -> list[tuple[Signal, Refusal]]:
    if verdict.action != ACCEPT or verdict.winner is None:
        return [
            (one, Refusal(verdict.code, f"{one.instrument}: {verdict.reason}")) for one in group
        ]
    winner = verdict.winner
    text = f"{winner.instrument}: {winner.strategy} of {winner.source} was preferred"
    return [
        (one, Refusal("OUTRANKED", f"{text} ({verdict.reason})"))
        for one in group
        if one is not winner
    ]


def _notional(row: Position) -> Decimal:
    is_short_option = row.kind in OPTION_KINDS and row.direction == "SELL"
    return (row.strike if is_short_option else row.average_price) * row.quantity
