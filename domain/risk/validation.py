"""Is this signal one that may be traded at all? The table of `tomic.md` 7.2, before and after
resolution.

Before: what the signal says of itself. After: the strikes and expiries that were really found,
where the cover of every short can be proven.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TypeVar

from domain.injection import CONTEXT_ONLY, leg_identity_fault
from domain.instruments import Kind, parse_symbol, underlying_of
from domain.intents import (
    STRATEGY_TRAITS,
    Leg,
    Refusal,
    ResolvedLeg,
    ResolvedStructure,
    Signal,
    StrategyType,
)

_P, _C = Kind.PUT, Kind.CALL
_S = StrategyType
HEDGE_SOURCE = "HEDGE"
AnyLeg = TypeVar("AnyLeg", Leg, ResolvedLeg)
# The legs that make a structure what it is called; a calendar's may be both calls or both puts.
SHAPES: dict[StrategyType, tuple[tuple[Kind, str], ...]] = {
    _S.BULL_PUT_SPREAD: ((_P, "SELL"), (_P, "BUY")),
    _S.BEAR_CALL_SPREAD: ((_C, "SELL"), (_C, "BUY")),
    _S.IRON_CONDOR: ((_P, "BUY"), (_P, "SELL"), (_C, "SELL"), (_C, "BUY")),
    _S.JADE_LIZARD: ((_P, "SELL"), (_C, "SELL"), (_C, "BUY")),
    _S.SHORT_STRANGLE: ((_P, "SELL"), (_C, "SELL")),
    _S.SHORT_STRADDLE: ((_P, "SELL"), (_C, "SELL")),
    _S.RISK_REVERSAL: ((_P, "SELL"), (_C, "BUY"), (_P, "BUY")),
    _S.GAMMA_CAPTURE: ((_P, "BUY"), (_C, "BUY")),
    _S.TAIL_HEDGE: ((_P, "BUY"),),
    _S.DITM_CALL: ((_C, "BUY"),),
    _S.DITM_PUT: ((_P, "BUY"),),
}
# Shorts that stand without a long by design; all others need cover.
NAKED_SHORTS: dict[StrategyType, tuple[Kind, ...]] = {
    _S.JADE_LIZARD: (_P,),
    _S.SHORT_STRANGLE: (_P, _C),
    _S.SHORT_STRADDLE: (_P, _C),
}


def check_signal(signal: Signal, now_ns: int) -> Refusal | None:
    """The first rule of `tomic.md` 7.2 the signal breaks, or None."""
    traits = STRATEGY_TRAITS[signal.strategy]
    if not signal.instrument:
        return Refusal("MISSING_INSTRUMENT", "the signal names no instrument")
    if signal.strategy is StrategyType.SKIP:
        return Refusal("UNKNOWN_STRATEGY", "SKIP is the decision not to trade, not a strategy")
    if signal.strategy is StrategyType.TAIL_HEDGE and signal.source != HEDGE_SOURCE:
        return Refusal("HEDGE_ONLY", "the month's hedge is bought by the runtime alone")
    if underlying_of(signal.instrument) in CONTEXT_ONLY:
        return Refusal("CONTEXT_ONLY", f"{signal.instrument} is watched, never traded")
    if signal.direction != traits.direction:
        return Refusal(
            "DIRECTION", f"{signal.strategy} is {traits.direction} only, not {signal.direction}"
        )
    if traits.legs_required and not signal.legs:
        return Refusal("LEGS_REQUIRED", f"{signal.strategy} needs its legs")
    fault = legs_fault(signal.strategy, signal.legs)
    if fault:
        return Refusal("LEGS_INVALID", fault)
    if signal.valid_until_ns and now_ns > signal.valid_until_ns:
        late_s = (now_ns - signal.valid_until_ns) / 1e9
        return Refusal("SIGNAL_EXPIRED", f"the signal was valid until {late_s:.0f} s ago")
    return None


def legs_fault(strategy: StrategyType, legs: Sequence[Leg]) -> str:
    """Why these wanted legs are not that structure; empty when they may be.

    Where two legs are named in ways that cannot be compared (a strike and a delta), their cover is
    judged on the resolved contracts by `structure_fault`.
    """
    for number, leg in enumerate(legs, start=1):
        fault = leg_identity_fault(leg)
        if fault:
            return f"leg {number} {fault}"
        if leg.ratio < 1 or leg.direction not in ("BUY", "SELL"):
            return f"leg {number} needs a side and a ratio of 1 or more"
    if not legs:
        return ""
    fault = shape_fault(strategy, [(leg.option_type, leg.direction) for leg in legs])
    if fault or strategy is StrategyType.CALENDAR_DIAGONAL:
        return fault
    for short in _needing_cover(strategy, legs):
        longs = [leg for leg in legs if leg.direction == "BUY"]
        if not any(_may_cover(long, short) for long in longs):
            return f"the short {_word(short)} has no long further out of the money that covers it"
    return ""


def shape_fault(strategy: StrategyType, legs: Sequence[tuple[Kind, str]]) -> str:
    """Why legs of these types and sides are not that structure."""
    if strategy is StrategyType.CALENDAR_DIAGONAL:
        kinds = {kind for kind, _ in legs}
        wanted: tuple[tuple[Kind, str], ...] = tuple(
            (kind, side) for kind in kinds for side in ("SELL", "BUY")
        )
        if len(kinds) != 1:
            return "a calendar has one short and one long of the same type"
    else:
        wanted = SHAPES[strategy]
    if Counter(legs) == Counter(wanted):
        return ""
    words = ", ".join(f"{side} {kind}" for kind, side in wanted)
    return f"{strategy} is {words}; the signal has {len(legs)} other legs"


def structure_fault(strategy: StrategyType, structure: ResolvedStructure) -> str:
    """Why the contracts found are not a safe form of that structure; empty when they are.

    Every short of a covered type has longs of its type, further out of the money (in a calendar:
    later in time), not expiring before it, of at least its quantity.
    """
    legs = structure.legs
    fault = shape_fault(strategy, [(leg.option_type, leg.direction) for leg in legs])
    if fault:
        return fault
    if len({leg.lot_size for leg in legs}) != 1:
        return "its legs have different lot sizes"
    for short in _needing_cover(strategy, legs):
        cover = sum(
            leg.ratio for leg in legs if leg.direction == "BUY" and covers(leg, short, strategy)
        )
        if cover < short.ratio:
            return f"the short {short.symbol} is not covered by a long further out of the money"
    return ""


def covers(long: ResolvedLeg, short: ResolvedLeg, strategy: StrategyType) -> bool:
    """True when the long caps the loss of the short at the width between them (or the debit)."""
    if long.option_type != short.option_type:
        return False
    if strategy is StrategyType.CALENDAR_DIAGONAL:
        return long.expiry > short.expiry
    further = long.strike < short.strike if short.option_type == _P else long.strike > short.strike
    return further and long.expiry >= short.expiry


def _needing_cover(strategy: StrategyType, legs: Sequence[AnyLeg]) -> list[AnyLeg]:
    naked = NAKED_SHORTS.get(strategy, ())
    return [leg for leg in legs if leg.direction == "SELL" and leg.option_type not in naked]


def _may_cover(long: Leg, short: Leg) -> bool:
    """As `covers`, on wanted legs: True too where it cannot be told before they are resolved."""
    if long.option_type != short.option_type or long.ratio < short.ratio:
        return False
    if (long.expiry or date.max) < (short.expiry or date.min):
        return False
    if (long.expiry_offset or 0) < (short.expiry_offset or 0):
        return False
    order = _further_out(long, short)
    return order is None or order > 0


def _further_out(long: Leg, short: Leg) -> float | None:
    """How much further out of the money the long is (any unit); None when it cannot be compared."""
    if long.wing_points is not None:
        return long.wing_points
    if long.offset and short.offset:
        return _depth(long.offset) - _depth(short.offset)
    if long.delta_target is not None and short.delta_target is not None:
        return abs(short.delta_target) - abs(long.delta_target)
    far, near = _strike(long), _strike(short)
    if far is not None and near is not None:
        return float(near - far if short.option_type == _P else far - near)
    return None


def _depth(offset: str) -> int:
    """OTM3 -> 3, ATM -> 0, ITM2 -> -2."""
    if offset == "ATM":
        return 0
    return int(offset[3:]) if offset.startswith("OTM") else -int(offset[3:])


def _strike(leg: Leg) -> Decimal | None:
    if leg.strike is not None:
        return leg.strike
    parsed = parse_symbol(leg.symbol) if leg.symbol else None
    return parsed.strike if parsed else None


def _word(leg: Leg) -> str:
    return leg.symbol or f"{leg.option_type} {leg.strike or leg.offset or leg.delta_target}"
