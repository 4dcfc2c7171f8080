"""The eight-step chain: how many units, each step only ever reducing, each saying why (`tomic.md`
7.6).

Three formulas give a size (volatility target, half Kelly, two per cent); five overlays keep it, cut
it or refuse it. The first zero ends the chain. What is left is floored to whole lots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from domain.instruments import INDEX_PREFIXES, SECTOR_INDEX
from domain.intents import STRATEGY_TRAITS, Refusal, ResolvedStructure, SizingStep, StrategyType
from domain.readings import StrategyOdds

TARGET_VOLATILITY = 0.20
RISK_SHARE = 0.02
HALF_SIZE_VIX = 30.0
HIGH_VIX = (25.0, 35.0)  # the HIGH band of `tomic.md` 12.1
PLAN_MODES = ("morning_plan", "event_driven")  # a plan made anew is a plan
CORRELATION_MAX = 0.7
CORRELATED_FACTOR = 0.7
SECTOR_SHARE_MAX = 0.20
POSITIONS_MAX = 10
FREE_MARGIN_MIN = 0.25
GAMMA_SHARE, GAMMA_RUPEES = 0.005, 5_000.0
BY_BUDGET = (StrategyType.GAMMA_CAPTURE, StrategyType.TAIL_HEDGE)
DEFAULT_WIN_RATE, DEFAULT_REWARD_RISK = 0.55, 2.0
NAKED_REWARD_RISK = 1.0
# `tomic.md` 15.3, 10: after two stops in a row half size, after three none for the day.
STOPS_TO_HALVE, STOPS_TO_END = 2, 3
# Never measured, always treated as one bet (`tomic.md` 7.6).
INDEX_PAIR_CORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class SizingInputs:
    """All that the chain reads. Money in rupees; shares and volatilities as decimals.

    `margin_per_unit` is the quote for one lot divided by its units; `sector_margin` what the
    sector's open structures use, `free` and `used` the account's margin. `max_capital_pct` and
    `max_abs_inr` cap a GAMMA_CAPTURE further; 0 means no cap of the signal's own.
    """

    strategy: StrategyType
    capital: float
    spot: float
    sigma: float
    delta: float
    loss_per_unit: float
    win_rate: float
    reward_risk: float
    vix: float
    correlation: float
    margin_per_unit: float
    sector_margin: float
    free: float
    used: float
    positions: int
    lot_size: int
    lots_max: int = 0
    premium: float = 0.0
    max_capital_pct: float = 0.0
    max_abs_inr: float = 0.0


@dataclass(frozen=True, slots=True)
class Sizing:
    """The outcome: whole lots, or 0 and the refusal; the steps that were taken."""

    units: int
    lots: int
    steps: tuple[SizingStep, ...]
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a step says: the most it allows, why, and a code when that is nothing."""

    size: float
    reason: str
    code: str = ""


def size_position(inputs: SizingInputs) -> Sizing:
    """Runs the chain. Raises ValueError for a lot size or a capital that is not positive."""
    if inputs.lot_size < 1 or not inputs.capital > 0:
        raise ValueError(f"lot size {inputs.lot_size} and capital {inputs.capital} cannot be sized")
    steps: list[SizingStep] = []
    size = math.inf
    for number, (name, rule) in enumerate(_CHAIN, start=1):
        outcome = rule(inputs, size)
        after = min(size, outcome.size)
        before = None if math.isinf(size) else size
        steps.append(SizingStep(number, name, before, _finite(after), outcome.reason))
        if after <= 0:
            refusal = Refusal(outcome.code or name.upper(), outcome.reason)
            return Sizing(0, 0, tuple(steps), refusal)
        size = after
    return _whole_lots(inputs, size, tuple(steps))


def breakeven_odds(
    strategy: StrategyType,
    structure: ResolvedStructure,
    loss: float,
    given: tuple[float | None, float | None] = (None, None),
    journaled: StrategyOdds | None = None,
) -> tuple[float, float]:
    """(win rate, reward/risk) for Kelly: what the strategy's last trades came to, else the signal's
    or the defaults, capped by the structure itself.

    A credit structure earns at most its credit, so R = credit / loss; a naked one is stopped at
    twice its credit (`tomic.md` 8.7), so R = 1. Both win as often as their nearest short stays out
    of the money, 1 - |delta| (`tomic.md` 7.6). A signal's word may only lower these.
    """
    win_rate, reward = given
    if journaled is not None:
        return min(win_rate or 1.0, journaled.win_rate), min(
            reward or math.inf, journaled.reward_risk
        )
    shorts = [abs(leg.delta) for leg in structure.legs if leg.direction == "SELL"]
    known = [delta for delta in shorts if math.isfinite(delta)]
    if not STRATEGY_TRAITS[strategy].premium_selling or not known or loss <= 0:
        return win_rate or DEFAULT_WIN_RATE, reward or DEFAULT_REWARD_RISK
    stays_out = 1 - max(known)
    earns = max(0.0, structure.credit_executable) / loss
    if STRATEGY_TRAITS[strategy].naked:
        earns = NAKED_REWARD_RISK
    return min(win_rate or 1.0, stays_out), min(reward or DEFAULT_REWARD_RISK, earns)


def highest_correlation(
    underlying: str, others: Iterable[str], measured: Mapping[frozenset[str], float]
) -> float:
    """The greatest correlation of daily returns with what is open; 0 with nothing open.

    `measured` maps a pair of underlyings to its 60-day correlation. Two indices of one family count
    as one bet whatever was measured (NIFTY and BANKNIFTY, `tomic.md` 7.6); an unknown pair counts
    as 0.
    """
    found = 0.0
    for other in others:
        if other == underlying:
            return 1.0
        pair = measured.get(frozenset((underlying, other)), 0.0)
        if sector_of(underlying) == sector_of(other) == SECTOR_INDEX:
            pair = max(pair, INDEX_PAIR_CORRELATION)
        found = max(found, pair)
    return found


def sector_of(underlying: str) -> str:
    """INDEX for the index family, else the symbol itself (`tomic.md` 6.4)."""
    return SECTOR_INDEX if underlying in INDEX_PREFIXES else underlying


def check_stops(stops_in_row: int) -> Refusal | None:
    """After three stops in a row the day is over."""
    if stops_in_row < STOPS_TO_END:
        return None
    return Refusal(
        "STOPS_IN_ROW", f"{stops_in_row} stops in a row: no entry for the rest of the day"
    )


def capital_after_stops(capital: float, stops_in_row: int) -> float:
    """Capital the chain works with: half of it after two stops in a row."""
    return capital / 2 if stops_in_row >= STOPS_TO_HALVE else capital


def half_size(capital: float, lots_max: int) -> tuple[float, int]:
    """(capital, ceiling in lots, 0 none) of a hedged sale beside a listed event, at least a lot."""
    return capital / 2, max(1, lots_max // 2) if lots_max else 0


# -- the steps: each sees the inputs and the size so far, and says the most it allows --


def _volatility_target(inputs: SizingInputs, size: float) -> _Outcome:
    if inputs.strategy in BY_BUDGET:
        return _premium_budget(inputs)
    risk = inputs.sigma * inputs.spot * inputs.delta
    if not (math.isfinite(risk) and risk > 0):
        return _Outcome(0, "volatility or spot is not known", "VOLATILITY_UNKNOWN")
    units = inputs.capital * TARGET_VOLATILITY / risk
    return _Outcome(
        units,
        f"20 % of capital a year over {inputs.sigma:.1%} of {inputs.spot:.2f}"
        f" at delta {inputs.delta:.2f} = {units:.1f} units",
    )


def _half_kelly(inputs: SizingInputs, size: float) -> _Outcome:
    if inputs.strategy in BY_BUDGET:
        return _kept(size, "it is sized by its premium budget")
    p, reward = inputs.win_rate, inputs.reward_risk
    odds = f"win rate {p:.2f}, reward/risk {reward:.2f}"
    if not reward > 0:
        return _Outcome(0, f"{odds}: nothing to win", "KELLY_NO_EDGE")
    fraction = (p - (1 - p) / reward) / 2
    if not fraction > 0:
        return _Outcome(0, f"{odds}: half Kelly is {fraction:.4f}, no edge", "KELLY_NO_EDGE")
    if not inputs.loss_per_unit > 0:
        return _Outcome(0, "the loss of a unit is not known", "NO_LOSS_ESTIMATE")
    units = fraction * inputs.capital / inputs.loss_per_unit
    return _Outcome(units, f"{odds}: half Kelly {fraction:.4f} = {units:.1f} units")


def _two_pct_rule(inputs: SizingInputs, size: float) -> _Outcome:
    if inputs.strategy in BY_BUDGET:
        return _kept(size, "it is sized by its premium budget")
    if not inputs.loss_per_unit > 0:
        return _Outcome(0, "the loss of a unit is not known", "NO_LOSS_ESTIMATE")
    units = RISK_SHARE * inputs.capital / inputs.loss_per_unit
    return _Outcome(
        units,
        f"2 % of capital over a loss of {inputs.loss_per_unit:.2f} a unit = {units:.1f} units",
    )


def _vix_overlay(inputs: SizingInputs, size: float) -> _Outcome:
    if inputs.strategy is StrategyType.TAIL_HEDGE:
        return _kept(size, "a hedge lessens what is held")
    if inputs.vix > HALF_SIZE_VIX:
        return _Outcome(size * 0.5, f"VIX {inputs.vix:.1f} is above 30: half size")
    return _kept(size, f"VIX {inputs.vix:.1f} is not above 30")


def _idm(inputs: SizingInputs, size: float) -> _Outcome:
    if inputs.strategy is StrategyType.TAIL_HEDGE:
        return _kept(size, "a hedge lessens what is held")
    if inputs.correlation > CORRELATION_MAX:
        reason = f"correlation {inputs.correlation:.2f} with what is open is above 0.7: x 0.7"
        return _Outcome(size * CORRELATED_FACTOR, reason)
    return _kept(size, f"correlation {inputs.correlation:.2f} is not above 0.7")


def _sector_heat(inputs: SizingInputs, size: float) -> _Outcome:
    whole = inputs.free + inputs.used
    if not whole > 0:
        return _Outcome(0, "the account's margin is not known", "MARGIN_UNKNOWN")
    share = (inputs.sector_margin + _margin(inputs, size)) / whole
    reason = f"the sector would use {share:.1%} of all margin"
    if share > SECTOR_SHARE_MAX:
        return _Outcome(0, f"{reason}, at most 20 %", "SECTOR_HEAT")
    return _kept(size, reason)


def _position_cap(inputs: SizingInputs, size: float) -> _Outcome:
    if inputs.strategy is StrategyType.TAIL_HEDGE:
        return _kept(size, "a hedge lessens what is held")
    reason = f"{inputs.positions} of {POSITIONS_MAX} positions are open or on their way"
    if inputs.positions >= POSITIONS_MAX:
        return _Outcome(0, reason, "POSITION_CAP")
    return _kept(size, reason)


def _margin_reserve(inputs: SizingInputs, size: float) -> _Outcome:
    whole = inputs.free + inputs.used
    share = (inputs.free - _margin(inputs, size)) / whole if whole > 0 else 0.0
    reason = f"{share:.1%} of margin would stay free"
    if share < FREE_MARGIN_MIN:
        return _Outcome(0, f"{reason}, 25 % must", "MARGIN_RESERVE")
    return _kept(size, reason)


_CHAIN: tuple[tuple[str, Callable[[SizingInputs, float], _Outcome]], ...] = (
    ("volatility_target", _volatility_target),
    ("half_kelly", _half_kelly),
    ("two_pct_rule", _two_pct_rule),
    ("vix_overlay", _vix_overlay),
    ("idm", _idm),
    ("sector_heat", _sector_heat),
    ("position_cap", _position_cap),
    ("margin_reserve", _margin_reserve),
)


def _premium_budget(inputs: SizingInputs) -> _Outcome:
    if not inputs.premium > 0:
        return _Outcome(0, "the premium is not known", "NO_LOSS_ESTIMATE")
    budget = min(GAMMA_SHARE * inputs.capital, GAMMA_RUPEES)
    if inputs.strategy is StrategyType.TAIL_HEDGE:
        budget = math.inf  # its own cap is the whole of it
    if inputs.max_capital_pct > 0:
        budget = min(budget, inputs.max_capital_pct / 100 * inputs.capital)
    if inputs.max_abs_inr > 0:
        budget = min(budget, inputs.max_abs_inr)
    if not math.isfinite(budget):
        return _Outcome(0, "no budget is told for the hedge", "NO_LOSS_ESTIMATE")
    units = budget / inputs.premium
    return _Outcome(units, f"premium budget {budget:.0f} over {inputs.premium:.2f} a unit")


def _kept(size: float, reason: str) -> _Outcome:
    return _Outcome(size, reason)


def _margin(inputs: SizingInputs, size: float) -> float:
    """Rupees the trade would block: the whole lots of the size, as it would be sent."""
    return inputs.margin_per_unit * _floor(inputs, size) * inputs.lot_size


def _floor(inputs: SizingInputs, size: float) -> int:
    """Whole lots in a size, under the signal's ceiling."""
    # A size worked out as exactly one lot must not lose it to the last bit of a float.
    lots = math.floor(size / inputs.lot_size + 1e-9)
    ceiling = inputs.lots_max
    return min(lots, ceiling) if ceiling else lots


def _whole_lots(inputs: SizingInputs, size: float, steps: tuple[SizingStep, ...]) -> Sizing:
    lots = _floor(inputs, size)
    if lots >= 1:
        return Sizing(lots * inputs.lot_size, lots, steps)
    smallest = min(steps, key=lambda step: step.output)
    text = (
        f"{size:.0f} units are less than one lot of {inputs.lot_size}"
        f" ({smallest.name}: {smallest.reason})"
    )
    return Sizing(0, 0, steps, Refusal("BELOW_ONE_LOT", text))


def plan_ceiling(lots: int, entry_mode: str, vix: float) -> int:
    """The signal's ceiling in lots (0 none): a plan's is halved in high VIX, at least 1."""
    low, high = HIGH_VIX
    if lots and entry_mode in PLAN_MODES and low < vix <= high:
        return max(1, lots // 2)
    return lots


def _finite(value: float) -> float:
    return 0.0 if math.isinf(value) or math.isnan(value) else value
