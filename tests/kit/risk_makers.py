"""Signals, structures and readings for the risk stage's tests, with numbers easy to reckon with."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from domain.instruments import Kind, option_symbol
from domain.intents import (
    STRATEGY_TRAITS,
    Leg,
    ResolvedLeg,
    ResolvedStructure,
    Signal,
    SizedIntent,
    StrategyType,
)
from domain.positions import Position
from domain.readings import MarginState, Phase, Regime, VixFlag
from domain.supervision.topology import Node
from tests.kit.recording_context import START_NS

EXPIRY = date(2026, 12, 29)
RULES = ("daily_max_loss", "order_rate", "gross_notional", "per_underlying", "unhedged_exposure")
BREAKERS = [f"breaker.{rule}" for rule in RULES] + [
    "breaker.connection.alpha",
    "breaker.connection.beta",
]


def breaker_nodes() -> tuple[Node, ...]:
    """The nodes of BREAKERS, each with its rule and its broker."""
    parts = [name.split(".")[1:] for name in BREAKERS]
    return tuple(
        Node(".".join(["breaker", rule, *broker]), actor="x", instance="".join(broker),
             settings={"rule": rule})
        for rule, *broker in parts
    )  # fmt: skip


LOT = 65


def a_leg(direction: str, kind: str, **fields: Any) -> Leg:
    """A wanted leg."""
    return Leg(option_type=Kind(kind), direction=direction, **fields)


CONDOR_LEGS = (
    a_leg("BUY", "PE", wing_points=200.0),
    a_leg("SELL", "PE", delta_target=0.22),
    a_leg("SELL", "CE", delta_target=0.22),
    a_leg("BUY", "CE", wing_points=200.0),
)
PUT_SPREAD_LEGS = (a_leg("BUY", "PE", offset="OTM4"), a_leg("SELL", "PE", offset="OTM1"))
STRANGLE_LEGS = (a_leg("SELL", "PE", offset="OTM1"), a_leg("SELL", "CE", offset="OTM1"))


def a_signal(
    strategy: StrategyType = StrategyType.IRON_CONDOR,
    legs: tuple[Leg, ...] | None = None,
    **fields: Any,
) -> Signal:
    """A valid signal of that strategy on NIFTY."""
    traits = STRATEGY_TRAITS[strategy]
    defaults: dict[str, Any] = {
        "correlation_id": "VOLATILITY:NIFTY:1:1",
        "source": "VOLATILITY",
        "instrument": "NIFTY",
        "strategy": strategy,
        "direction": traits.direction,
        "bias": traits.bias,
        "legs": CONDOR_LEGS if legs is None else legs,
        "dte_min": 30,
        "dte_max": 45,
        "reason": "IV rank 70",
        "strength": 74.0,
    }
    return Signal(**(defaults | fields))


def a_resolved_leg(
    direction: str, kind: str, strike: int, price: float, delta: float = 0.2, **fields: Any
) -> ResolvedLeg:
    """A contract whose bid and ask both stand at its price unless given."""
    defaults: dict[str, Any] = {
        "listing_id": strike,
        "exchange": "NFO",
        "symbol": option_symbol("NIFTY", fields.get("expiry", EXPIRY), Decimal(strike), Kind(kind)),
        "option_type": Kind(kind),
        "direction": direction,
        "strike": Decimal(strike),
        "expiry": EXPIRY,
        "ratio": 1,
        "lot_size": LOT,
        "tick_size": Decimal("0.05"),
        "freeze_quantity": 1800,
        "ltp": price,
        "bid": price,
        "ask": price,
        "iv": 0.14,
        "delta": delta,
    }
    return ResolvedLeg(**(defaults | fields))


def a_structure(
    *legs: ResolvedLeg, width: float = 200.0, spot: float = 24_000.0
) -> ResolvedStructure:
    """A structure whose credits follow from its legs' prices."""
    mid = sum(leg.mid * leg.ratio * (1 if leg.direction == "SELL" else -1) for leg in legs)
    executable = sum(leg.ratio * (leg.bid if leg.direction == "SELL" else -leg.ask) for leg in legs)
    sign = {"SELL": -1, "BUY": 1}
    return ResolvedStructure(
        underlying="NIFTY",
        spot=spot,
        legs=legs,
        credit=mid,
        credit_executable=executable,
        width=width,
        net_delta=sum(sign[leg.direction] * leg.delta for leg in legs),
        days_to_expiry=39.0,
        as_of_ns=START_NS,
    )


def a_condor(lot_size: int = LOT) -> ResolvedStructure:
    """Credit 135 of width 200: the worked example of the specification."""
    return a_structure(
        a_resolved_leg("BUY", "PE", 23_600, 50.0, -0.15, lot_size=lot_size),
        a_resolved_leg("SELL", "PE", 23_800, 120.0, -0.25, lot_size=lot_size),
        a_resolved_leg("SELL", "CE", 24_200, 110.0, 0.25, lot_size=lot_size),
        a_resolved_leg("BUY", "CE", 24_400, 45.0, 0.15, lot_size=lot_size),
    )


def a_put_spread(short: float = 120.0, long: float = 50.0) -> ResolvedStructure:
    """Credit 70 of width 200 unless given."""
    return a_structure(
        a_resolved_leg("BUY", "PE", 23_600, long, -0.15),
        a_resolved_leg("SELL", "PE", 23_800, short, -0.25),
    )


def a_strangle() -> ResolvedStructure:
    """Credit 230, nothing bought."""
    return a_structure(
        a_resolved_leg("SELL", "PE", 23_800, 120.0, -0.25),
        a_resolved_leg("SELL", "CE", 24_200, 110.0, 0.25),
        width=0.0,
    )


def a_regime(phase: Phase = Phase.CONGESTION, *flags: VixFlag, **fields: Any) -> Regime:
    """A fresh regime with a VIX of 16 and no flags."""
    regime = Regime(version=3, phase=phase, score=1, vix=16.0, vix_flags=flags, as_of_ns=START_NS)
    return replace(regime, **fields)


def a_margin(free: int = 1_000_000, used: int = 0, as_of_ns: int = START_NS) -> MarginState:
    """Fresh funds."""
    return MarginState("alpha", Decimal(free + used), Decimal(free), Decimal(used), as_of_ns)


def a_position(
    direction: str, kind: str, strike: int, price: float = 100.0, quantity: int = LOT, **fields: Any
) -> Position:
    """One leg of an iron condor in the book."""
    defaults: dict[str, Any] = {
        "symbol": option_symbol("NIFTY", fields.get("expiry", EXPIRY), Decimal(strike), Kind(kind)),
        "exchange": "NFO",
        "product": "NRML",
        "direction": direction,
        "quantity": quantity,
        "average_price": Decimal(str(price)),
        "strategy_id": "TOMIC_IRON_CONDOR_NIFTY_20261120_1",
        "strategy_tag": "TOMIC_IRON_CONDOR_NIFTY",
        "strategy": "IRON_CONDOR",
        "leg_no": 1,
        "underlying": "NIFTY",
        "kind": Kind(kind),
        "strike": Decimal(strike),
        "expiry": EXPIRY,
        "entry_ns": START_NS,
        "broker": "alpha",
    }
    return Position(**(defaults | fields))


def an_intent(**fields: Any) -> SizedIntent:
    """One lot of the worked condor, as risk proposes it."""
    defaults: dict[str, Any] = {
        "strategy_id": "TOMIC_IRON_CONDOR_NIFTY_20261120_1",
        "strategy_tag": "TOMIC_IRON_CONDOR_NIFTY",
        "idempotency_key": "TOMIC_IRON_CONDOR_NIFTY_20261120_1:entry",
        "correlation_id": "VOLATILITY:NIFTY:1:1",
        "signal": a_signal(),
        "structure": a_condor(),
        "quantity": LOT,
        "lots": 1,
        "product": "NRML",
        "loss_per_unit": 65.0,
        "margin_required": Decimal(60_000),
        "sizing": (),
        "regime_version": 3,
        "regime_phase": "CONGESTION",
        "regime_score": 1,
        "vix": 16.0,
        "entry_reason": "",
        "valid_until_ns": 0,
    }
    return SizedIntent(**(defaults | fields))
