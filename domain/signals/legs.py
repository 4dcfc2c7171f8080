"""Structures into legs (`tomic.md` 5.5): what each strategy buys and sells, without contracts.

Shorts are wanted by delta and wings by points beyond their short; the chain keeper finds the
contracts. Hedges stand first, as the house sends them first.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.instruments import Kind
from domain.intents import Leg, StrategyType


@dataclass(frozen=True, slots=True)
class LegShape:
    """Where legs are wanted: |delta| of shorts and of deep longs, points between short and wing,
    and the option type of a calendar."""

    short_delta: float
    wing_points: float
    ditm_delta: float
    calendar_type: Kind = Kind.CALL


def structure_legs(strategy: StrategyType, shape: LegShape) -> tuple[Leg, ...]:
    """The legs of a structure; ValueError for a strategy that this table does not make."""
    put_short, call_short = _short(Kind.PUT, shape), _short(Kind.CALL, shape)
    put_wing, call_wing = _wing(Kind.PUT, shape), _wing(Kind.CALL, shape)
    kind = shape.calendar_type
    table: dict[StrategyType, tuple[Leg, ...]] = {
        StrategyType.BULL_PUT_SPREAD: (put_wing, put_short),
        StrategyType.IRON_CONDOR: (put_wing, put_short, call_wing, call_short),
        StrategyType.BEAR_CALL_SPREAD: (call_wing, call_short),
        # Collared: the bought put ends the loss that the sold put would leave open downward.
        StrategyType.RISK_REVERSAL: (
            put_wing,
            put_short,
            Leg(Kind.CALL, "BUY", delta_target=shape.short_delta),
        ),
        StrategyType.JADE_LIZARD: (call_wing, call_short, put_short),
        StrategyType.SHORT_STRANGLE: (put_short, call_short),
        StrategyType.SHORT_STRADDLE: (
            Leg(Kind.PUT, "SELL", offset="ATM"),
            Leg(Kind.CALL, "SELL", offset="ATM"),
        ),
        StrategyType.CALENDAR_DIAGONAL: (
            Leg(kind, "BUY", offset="ATM", expiry_offset=1),
            Leg(kind, "SELL", offset="ATM", expiry_offset=0),
        ),
        StrategyType.DITM_CALL: (Leg(Kind.CALL, "BUY", delta_target=shape.ditm_delta),),
        StrategyType.DITM_PUT: (Leg(Kind.PUT, "BUY", delta_target=shape.ditm_delta),),
    }
    if strategy not in table:
        raise ValueError(f"no legs are defined for {strategy}")
    return table[strategy]


def plan_legs(strategy: StrategyType, short_delta: float, wing_delta: float) -> tuple[Leg, ...]:
    """The legs of a day's plan, wings by delta too (`tomic.md` 12.3); ValueError for a strategy
    that no plan makes.
    """
    put = (
        Leg(Kind.PUT, "BUY", delta_target=wing_delta),
        Leg(Kind.PUT, "SELL", delta_target=short_delta),
    )
    call = (
        Leg(Kind.CALL, "BUY", delta_target=wing_delta),
        Leg(Kind.CALL, "SELL", delta_target=short_delta),
    )
    table = {
        StrategyType.BULL_PUT_SPREAD: put,
        StrategyType.BEAR_CALL_SPREAD: call,
        StrategyType.IRON_CONDOR: put + call,
    }
    if strategy not in table:
        raise ValueError(f"no plan makes a {strategy}")
    return table[strategy]


def wing_points_of(underlying: str, spot: float, table: dict[str, float]) -> float:
    """Points between short and wing: the table's, else 1 % of spot to a whole point."""
    return float(table[underlying]) if underlying in table else float(round(spot * 0.01))


def _short(kind: Kind, shape: LegShape) -> Leg:
    return Leg(kind, "SELL", delta_target=shape.short_delta)


def _wing(kind: Kind, shape: LegShape) -> Leg:
    return Leg(kind, "BUY", wing_points=shape.wing_points)
