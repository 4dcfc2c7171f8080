"""Supply and demand zones: where the market left in a hurry, and whether it came back (`tomic.md`
4.3).

Zones are read anew from the window of bars each time, so a zone is known by its base bar and can
neither be added twice nor forgotten as tested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from domain.signals.indicators import PERIODS, true_ranges
from domain.signals.patterns import Pattern, Setup


class ZoneType(StrEnum):
    """Who was in a hurry: buyers or sellers."""

    DEMAND = "DEMAND"
    SUPPLY = "SUPPLY"


class ZoneFreshness(StrEnum):
    """FRESH until the first touch after the departure; BROKEN by a close beyond the far edge."""

    FRESH = "FRESH"
    TESTED = "TESTED"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True)
class ZoneRules:
    """Counts in bars, shares as decimals (`tomic.md` 4.3)."""

    base_body_max: float = 0.5
    departure_bars_max: int = 3
    departure_body_min: float = 0.6
    departure_atr: float = 1.0
    stop_beyond: float = 0.005
    target: float = 0.05
    zones_max: int = 50


RULES = ZoneRules()


@dataclass(frozen=True, slots=True)
class Zone:
    """The range of a base bar that was left; points. `base_ns` is the bar's start, its identity."""

    kind: ZoneType
    low: float
    high: float
    imbalance: float
    base_ns: int
    left_at: int
    freshness: ZoneFreshness = ZoneFreshness.FRESH


def find_zones(bars: np.ndarray, rules: ZoneRules = RULES) -> tuple[Zone, ...]:
    """The newest zones that are not broken, oldest first; at most 50. BAR_DTYPE, completed bars."""
    open_, high, low, close = (
        bars[name].astype(float) for name in ("open", "high", "low", "close")
    )
    if len(bars) <= PERIODS.atr + 1:
        return ()
    ranges = np.convolve(true_ranges(high, low, close), np.ones(PERIODS.atr) / PERIODS.atr, "valid")
    body, size = np.abs(close - open_), high - low
    is_base = (size > 0) & (body <= rules.base_body_max * size + 1e-9)
    zones = []
    for base in np.flatnonzero(is_base[:-1]):
        if base < PERIODS.atr:
            continue  # no average range is known before it
        zone = _departure(bars, int(base), float(ranges[base - PERIODS.atr]), rules)
        if zone:
            freshness = freshness_of(zone, low, high, close)
            if freshness is not ZoneFreshness.BROKEN:
                zones.append(replace(zone, freshness=freshness))
    return tuple(zones[-rules.zones_max :])


def freshness_of(zone: Zone, low: np.ndarray, high: np.ndarray, close: np.ndarray) -> ZoneFreshness:
    """What the bars after the departure did to the zone."""
    since = zone.left_at + 1
    if zone.kind is ZoneType.DEMAND:
        broken, touched = close[since:] < zone.low, low[since:] <= zone.high
    else:
        broken, touched = close[since:] > zone.high, high[since:] >= zone.low
    if broken.any():
        return ZoneFreshness.BROKEN
    return ZoneFreshness.TESTED if touched.any() else ZoneFreshness.FRESH


def setup_of(zone: Zone, rules: ZoneRules = RULES) -> Setup:
    """How the first return into the zone is traded: in at its middle, out beyond its far edge."""
    is_demand = zone.kind is ZoneType.DEMAND
    if is_demand:
        stop, target = zone.low * (1 - rules.stop_beyond), zone.high * (1 + rules.target)
    else:
        stop, target = zone.high * (1 + rules.stop_beyond), zone.low * (1 - rules.target)
    return Setup(
        Pattern.SUPPLY_DEMAND,
        "BUY" if is_demand else "SELL",
        entry=(zone.low + zone.high) / 2,
        stop=stop,
        target=target,
        enter_low=zone.low,
        enter_high=zone.high,
        formed_ns=zone.base_ns,
        text=f"fresh {zone.kind.lower()} zone {zone.low:.2f}-{zone.high:.2f}, "
        f"left by {zone.imbalance:.2f} points",
        imbalance=zone.imbalance,
    )


def _departure(bars: np.ndarray, base: int, range_mean: float, rules: ZoneRules) -> Zone | None:
    """The zone of this base, if the next one, two or three bars together left it: close to close by
    more than an average range, outside it, as one bar of mostly body."""
    low, high = float(bars["low"][base]), float(bars["high"][base])
    for count in range(1, rules.departure_bars_max + 1):
        last = base + count
        if last >= len(bars):
            return None
        leg = bars[base + 1 : last + 1]
        end = float(leg["close"][-1])
        moved = end - float(bars["close"][base])
        size = float(leg["high"].max() - leg["low"].min())
        body = abs(end - float(leg["open"][0]))
        is_out = end > high if moved > 0 else end < low
        is_large = size > 0 and body >= rules.departure_body_min * size - 1e-9
        if is_out and is_large and abs(moved) > rules.departure_atr * range_mean:
            kind = ZoneType.DEMAND if moved > 0 else ZoneType.SUPPLY
            return Zone(kind, low, high, abs(moved), int(bars["start_ns"][base]), last)
    return None
