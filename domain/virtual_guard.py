"""The virtual guard of a long single option: stop, target, trail and silence (`tomic.md` 8.10).

Prices are rupees a unit, of the option's own last trade. All levels follow from the entry price and
the highest price seen, so that this one number is all a restart needs; the stop never falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.instruments import OPTION_KINDS
from domain.intents import StrategyType
from domain.positions import Position
from domain.settings import Settings

SILENT_EXIT_S = 60.0  # without a sign of any feed for so long, nobody can watch a stop
OFFSET_MIN = 0.01  # rupees
SINGLE_LONGS = (StrategyType.DITM_CALL, StrategyType.DITM_PUT)


@dataclass(frozen=True, slots=True)
class GuardRules:
    """Shares of the entry price; seconds."""

    stop: float = 0.25
    target: float = 0.35
    trails: bool = True
    trail_trigger: float = 0.15
    trail_offset: float = 0.08
    tick_max_age_s: float = 15.0


@dataclass(frozen=True, slots=True)
class GuardLevels:
    """Where a guard stands now; `high` is 0 until a price was seen."""

    entry: float
    high: float
    stop: float
    target: float
    trailing: bool


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """An action of `domain.risk.exits.EXIT_REASONS`, its code, and a sentence."""

    action: str
    code: str
    reason: str


def rules_of(settings: Settings) -> GuardRules | None:
    """The guard as it is set; None when it is switched off."""
    if not settings.virtual_risk_enabled:
        return None
    return GuardRules(
        stop=settings.virtual_sl_pct,
        target=settings.virtual_tp_pct,
        trails=settings.virtual_trail_enabled,
        trail_trigger=settings.virtual_trail_trigger_pct,
        trail_offset=settings.virtual_trail_offset_pct,
        tick_max_age_s=settings.virtual_tick_max_age_s,
    )


def is_single_long(legs: Sequence[Position]) -> bool:
    """True for what the guard is for: one option, bought for its own sake."""
    return (
        len(legs) == 1
        and legs[0].direction == "BUY"
        and legs[0].kind in OPTION_KINDS
        and legs[0].strategy in SINGLE_LONGS
    )


def guard_levels(entry: float, high: float, rules: GuardRules) -> GuardLevels:
    """The levels of an option bought at `entry` whose best price since is `high`."""
    stop = entry * (1 - rules.stop)
    trailing = rules.trails and high > 0 and high >= _exact(entry * (1 + rules.trail_trigger))
    if trailing:
        stop = max(stop, high - max(OFFSET_MIN, entry * rules.trail_offset))
    target = _exact(entry * (1 + rules.target))
    return GuardLevels(entry, high, _exact(max(stop, 0.0)), target, trailing)


def check_price(levels: GuardLevels, last: float) -> GuardVerdict | None:
    """What a price says of levels that know it; None while it is between them, and for none (0,
    NaN)."""
    if not last > 0:
        return None
    if last >= levels.target:
        text = f"{last:.2f} reached the target {levels.target:.2f}"
        return GuardVerdict("CLOSE_PROFIT", "VIRTUAL_TP", f"{text}, bought at {levels.entry:.2f}")
    if last > levels.stop:
        return None
    text = f"{last:.2f} reached the stop {levels.stop:.2f}, bought at {levels.entry:.2f}"
    if levels.trailing:
        text += f", best {levels.high:.2f}"
        return GuardVerdict("CLOSE_TRAIL", "VIRTUAL_TRAIL", text)
    return GuardVerdict("CLOSE_LOSS", "VIRTUAL_SL", text)


def check_silence(option_age_s: float, feed_age_s: float, rules: GuardRules) -> GuardVerdict | None:
    """What missing ticks say: HOLD with a sentence is an alert, CLOSE_BLIND an exit at market.

    A quiet option alone is no reason to leave; a feed that tells nothing of anything is.
    """
    if option_age_s > SILENT_EXIT_S and feed_age_s > SILENT_EXIT_S:
        text = f"no tick of any option for {feed_age_s:.0f} s: its stop cannot be watched"
        return GuardVerdict("CLOSE_BLIND", "VIRTUAL_SILENT", text)
    if option_age_s > rules.tick_max_age_s:
        text = f"no tick for {option_age_s:.0f} s: stop, target and trail are blind"
        return GuardVerdict("HOLD", "VIRTUAL_STALE", text)
    return None


def _exact(price: float) -> float:
    """Without the noise of binary fractions: 100 x 1.15 is 115."""
    return round(price, 6)
