"""What one unit of a structure can lose, rupees: the number every size step divides by (`tomic.md`
7.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from domain.intents import STRATEGY_TRAITS, Refusal, ResolvedStructure, Signal, StrategyType

WIDTH_SHARE_MIN = 0.25  # guard against a credit that was quoted too well
DAYS_PER_YEAR = 252
NAKED_SIGMAS = 3.0
NAKED_CREDITS = 3.0
NAKED_MARGIN_SHARE = 0.5
DELTA_SHORT_PREMIUM = 0.30  # used while greeks are missing (`tomic.md` 7.6)
DELTA_LONG_OPTION = 0.90


@dataclass(frozen=True, slots=True)
class LossEstimate:
    """Rupees a unit, and how it was found."""

    per_unit: float
    basis: str


def loss_per_unit(
    signal: Signal,
    structure: ResolvedStructure,
    *,
    sigma: float,
    margin_per_unit: float,
) -> LossEstimate | Refusal:
    """The loss estimate of `tomic.md` 7.3; never below what the signal itself says it can lose.

    `sigma` is the underlying's volatility a year, decimal; `margin_per_unit` the broker's quote,
    rupees.
    """
    estimate = _by_kind(signal, structure, sigma, margin_per_unit)
    if estimate is None or not (math.isfinite(estimate.per_unit) and estimate.per_unit > 0):
        return Refusal("NO_LOSS_ESTIMATE", "what one unit can lose could not be computed")
    if signal.max_loss_per_unit > estimate.per_unit:
        return LossEstimate(signal.max_loss_per_unit, "the signal's own maximum loss")
    return estimate


def exposure_delta(strategy: StrategyType, structure: ResolvedStructure) -> float:
    """max(|net delta|, largest single short |delta|) a unit, or the default where greeks are
    missing."""
    shorts = [abs(leg.delta) for leg in structure.legs if leg.direction == "SELL"]
    known = [value for value in (abs(structure.net_delta), *shorts) if math.isfinite(value)]
    largest = max(known, default=0.0)
    if largest > 0 and len(known) == len(shorts) + 1:
        return largest
    fallback = DELTA_LONG_OPTION if _is_ditm(strategy) else DELTA_SHORT_PREMIUM
    return max(largest, fallback)


def _by_kind(
    signal: Signal, structure: ResolvedStructure, sigma: float, margin_per_unit: float
) -> LossEstimate | None:
    credit = structure.credit_executable
    if STRATEGY_TRAITS[signal.strategy].naked:
        return _naked(signal, structure, sigma, margin_per_unit)
    if signal.strategy is StrategyType.CALENDAR_DIAGONAL:
        return LossEstimate(structure.width - credit, "net debit and the distance of the strikes")
    if STRATEGY_TRAITS[signal.strategy].premium_selling:
        floor = WIDTH_SHARE_MIN * structure.width
        if structure.width - credit >= floor:
            return LossEstimate(structure.width - credit, "width less credit")
        return LossEstimate(floor, "a quarter of the width")
    return _long_option(signal, structure)


def _naked(
    signal: Signal, structure: ResolvedStructure, sigma: float, margin_per_unit: float
) -> LossEstimate:
    move = NAKED_SIGMAS * sigma / math.sqrt(DAYS_PER_YEAR) * structure.spot
    weighted = exposure_delta(signal.strategy, structure) * move
    candidates = (
        LossEstimate(NAKED_CREDITS * structure.credit_executable, "three times the credit"),
        LossEstimate(weighted, "a three-sigma day by delta"),
        LossEstimate(NAKED_MARGIN_SHARE * margin_per_unit, "half the broker's margin"),
    )
    return max(candidates, key=lambda row: row.per_unit)


def _long_option(signal: Signal, structure: ResolvedStructure) -> LossEstimate:
    premium = -structure.credit_executable
    stop = abs(signal.entry_price - signal.stop_price)
    if not (signal.entry_price > 0 and signal.stop_price > 0 and stop > 0):
        return LossEstimate(premium, "the whole premium")
    if signal.price_basis == "UNDERLYING":
        # Bought where the market is now, which may be further from the stop than was planned.
        stop = max(stop, abs(structure.spot - signal.stop_price))
        lost = stop * exposure_delta(signal.strategy, structure)
        return LossEstimate(min(lost, premium), "the stop on the underlying by delta")
    return LossEstimate(min(stop, premium), "entry to stop")


def _is_ditm(strategy: StrategyType) -> bool:
    return strategy in (StrategyType.DITM_CALL, StrategyType.DITM_PUT)
