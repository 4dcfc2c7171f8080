"""Setups on completed daily bars: a volatility contraction and a completed cup (`tomic.md` 4.2,
4.4).

A setup is no signal: it becomes one while the price stands where the setup is entered. All
functions take BAR_DTYPE, oldest first, and look at no bar that was not there yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

TOLERANCE = 1e-9


class Pattern(StrEnum):
    """What the sniper looks for (`tomic.md` 1.1)."""

    VCP = "VCP"
    SUPPLY_DEMAND = "SUPPLY_DEMAND"
    THREE_C = "THREE_C"


@dataclass(frozen=True, slots=True)
class PatternRules:
    """Counts in bars, shares as decimals (`tomic.md` 2.3, 4)."""

    swing_sides: int = 2
    contractions: tuple[int, int] = (2, 4)
    depth_ratio_max: float = 0.7
    below_pivot_max: float = 0.05
    above_pivot_max: float = 0.05
    dry_bars: int = 5
    dry_average_bars: int = 50
    dry_share: float = 0.5
    vcp_target: float = 0.10
    cup_bars: tuple[int, int] = (15, 25)
    cup_depth_min: float = 0.05
    cup_edge_bars: int = 5
    cup_recovery_min: float = 0.65
    handle_bars: tuple[int, int] = (2, 5)
    handle_range_max: float = 0.3
    cup_target: float = 0.15


RULES = PatternRules()


@dataclass(frozen=True, slots=True)
class Setup:
    """A pattern that stands. Prices are the underlying's; `view` is BUY or SELL.

    It is entered while the price lies in `[enter_low, enter_high]`; `formed_ns` is the start of the
    bar it is named by (pivot, zone's base, handle's first). `imbalance` is a zone's, in points.
    """

    pattern: Pattern
    view: str
    entry: float
    stop: float
    target: float
    enter_low: float
    enter_high: float
    formed_ns: int
    text: str
    imbalance: float = 0.0
    is_dry: bool = True


@dataclass(frozen=True, slots=True)
class Contraction:
    """From a swing high down to the lowest swing low before the next one; indices of bars."""

    high_at: int
    high: float
    low: float

    @property
    def depth(self) -> float:
        """Share of the high."""
        return (self.high - self.low) / self.high


def swing_highs(high: np.ndarray, sides: int = RULES.swing_sides) -> np.ndarray:
    """Indices of bars at or above the `sides` bars before and after each: known that many later."""
    if len(high) < 2 * sides + 1:
        return np.empty(0, np.intp)
    windows = np.lib.stride_tricks.sliding_window_view(high, 2 * sides + 1)
    found: np.ndarray = np.flatnonzero(high[sides:-sides] >= windows.max(axis=1)) + sides
    return found


def swing_lows(low: np.ndarray, sides: int = RULES.swing_sides) -> np.ndarray:
    """As `swing_highs`, mirrored."""
    return swing_highs(-low, sides)


def contractions(high: np.ndarray, low: np.ndarray) -> list[Contraction]:
    """Every high-to-low leg in order. Of the last high the leg may still be open; a high with no
    swing low before the next one has none."""
    tops, bottoms = swing_highs(high), swing_lows(low)
    legs = []
    for number, top in enumerate(tops):
        following = tops[number + 1] if number + 1 < len(tops) else len(high)
        between = bottoms[(bottoms > top) & (bottoms < following)]
        if len(between):
            legs.append(Contraction(int(top), float(high[top]), float(low[between].min())))
    return legs


def find_contraction(bars: np.ndarray, rules: PatternRules = RULES) -> Setup | None:
    """A volatility contraction that the last close stands just below the pivot of.

    `is_dry` tells whether volume dried up; without that it is no signal.
    """
    legs = contractions(bars["high"], bars["low"])
    count = contracting(legs, rules)
    if count < rules.contractions[0]:
        return None
    last, close = legs[-1], float(bars["close"][-1])
    if last.low < legs[-2].low - TOLERANCE:
        return None
    if not (1 - rules.below_pivot_max) * last.high - TOLERANCE <= close <= last.high + TOLERANCE:
        return None
    depths = ", ".join(f"{leg.depth:.1%}" for leg in legs[-count:])
    return Setup(
        Pattern.VCP,
        "BUY",
        entry=last.high,
        stop=last.low,
        target=last.high * (1 + rules.vcp_target),
        enter_low=last.high,
        enter_high=last.high * (1 + rules.above_pivot_max),
        formed_ns=int(bars["start_ns"][last.high_at]),
        text=f"{count} contractions ({depths}) below {last.high:.2f}",
        is_dry=is_dried_up(bars["volume"], rules),
    )


def contracting(legs: list[Contraction], rules: PatternRules = RULES) -> int:
    """How many of the last legs each have at most 0.7 of the depth before; at most four."""
    if not legs:
        return 0
    count = 1
    while count < min(len(legs), rules.contractions[1]):
        before, after = legs[-count - 1].depth, legs[-count].depth
        if before <= 0 or after > rules.depth_ratio_max * before + TOLERANCE:
            break
        count += 1
    return count


def is_dried_up(volume: np.ndarray, rules: PatternRules = RULES) -> bool:
    """True when the last five bars traded less than half the average of fifty; never without
    volume."""
    if len(volume) < rules.dry_average_bars:
        return False
    average = float(volume[-rules.dry_average_bars :].mean())
    return average > 0 and float(volume[-rules.dry_bars :].mean()) < rules.dry_share * average


def find_cup(bars: np.ndarray, rules: PatternRules = RULES) -> Setup | None:
    """A cup with its handle on the last 15-25 bars; the longest cup and handle that fit."""
    for length in range(rules.cup_bars[1], rules.cup_bars[0] - 1, -1):
        if length <= len(bars):
            found = _cup_of(bars[-length:], rules)
            if found:
                return found
    return None


def _cup_of(bars: np.ndarray, rules: PatternRules) -> Setup | None:
    count = len(bars)
    quarter, bowl = count // 4, int(count * 0.6)
    rim = float(bars["high"][:quarter].max())
    at = quarter + int(bars["low"][quarter : quarter + bowl].argmin())
    bottom = float(bars["low"][at])
    depth = rim - bottom
    if depth < rules.cup_depth_min * rim - TOLERANCE:
        return None
    if not rules.cup_edge_bars <= at <= count - 1 - rules.cup_edge_bars:
        return None
    if (float(bars["close"][-1]) - bottom) / depth < rules.cup_recovery_min - TOLERANCE:
        return None
    for length in range(rules.handle_bars[1], rules.handle_bars[0] - 1, -1):
        handle = bars[-length:]
        closes = handle["close"]
        is_tight = float(closes.max() - closes.min()) < rules.handle_range_max * depth
        if is_tight and float(closes.min()) >= rim - depth / 3 - TOLERANCE:
            return _cup_setup(handle, rim, depth, rules)
    return None


def _cup_setup(handle: np.ndarray, rim: float, depth: float, rules: PatternRules) -> Setup:
    pivot = float(handle["high"].max())
    return Setup(
        Pattern.THREE_C,
        "BUY",
        entry=pivot,
        stop=float(handle["low"].min()),
        target=pivot * (1 + rules.cup_target),
        enter_low=pivot,
        enter_high=pivot * (1 + rules.above_pivot_max),
        formed_ns=int(handle["start_ns"][0]),
        text=f"cup {depth / rim:.1%} deep with a handle of {len(handle)} bars below {pivot:.2f}",
    )
