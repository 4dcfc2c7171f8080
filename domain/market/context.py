"""The market at a glance for the plans of a day (`tomic.md` 12.1): VIX band, put-call bias, trend,
yesterday's range, and what open interest says.

Prices and strikes are index points; NaN is not known. Daily bars are BAR_DTYPE in order of time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from domain.clock import exchange_time, iso_utc
from domain.readings import (
    ChainSummary,
    MarketContext,
    PcrBias,
    Trend,
    UnderlyingContext,
    VixRegime,
)

# Upper ends of the bands; below the first strictly, up to and with the others.
VIX_TOO_LOW_BELOW = 12.0
VIX_BANDS = (
    (18.0, VixRegime.NORMAL),
    (25.0, VixRegime.ELEVATED),
    (35.0, VixRegime.HIGH),
)
PCR_BULLISH_ABOVE, PCR_BEARISH_BELOW = 1.3, 0.8
TREND_DAYS = 20
TREND_BAND = 0.001  # either side of the mean that counts as on it
DAYS_KEPT = TREND_DAYS + 1  # a day that closed today is no yesterday


@dataclass(frozen=True, slots=True)
class Days:
    """What closed days say of an underlying: mean of 20 closes, and the last one's range."""

    mean: float = math.nan
    high: float = math.nan
    low: float = math.nan


def vix_regime_of(vix: float, *, is_known: bool) -> VixRegime:
    """The band of the volatility index."""
    if not is_known or not vix > 0:
        return VixRegime.UNKNOWN
    if vix < VIX_TOO_LOW_BELOW:
        return VixRegime.TOO_LOW
    return next((band for top, band in VIX_BANDS if vix <= top), VixRegime.EXTREME)


def pcr_bias_of(ratio: float) -> PcrBias:
    """What puts open against calls say; many puts are bullish, for they are mostly sold."""
    if ratio > PCR_BULLISH_ABOVE:
        return PcrBias.BULLISH
    return PcrBias.BEARISH if ratio < PCR_BEARISH_BELOW else PcrBias.NEUTRAL


def trend_of(price: float, mean: float) -> Trend:
    """Price against the mean of 20 daily closes; NEUTRAL on it, and while either is unknown."""
    if price > (1 + TREND_BAND) * mean:
        return Trend.ABOVE
    return Trend.BELOW if price < (1 - TREND_BAND) * mean else Trend.NEUTRAL


def keep_days(window: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The newest days of both, a day told again replacing the one before."""
    joined = np.concatenate([window, rows])
    # Of equal days np.unique takes the first, so the newer telling must stand in front.
    _, first = np.unique(joined["start_ns"][::-1], return_index=True)
    days: np.ndarray = joined[::-1][first][-DAYS_KEPT:]
    return days


def read_days(window: np.ndarray, today: date) -> Days:
    """What the days before today say; the mean stays unknown below 20 of them."""
    rows = [row for row in window if exchange_time(int(row["start_ns"])).date() < today]
    if not rows:
        return Days()
    closes = [float(row["close"]) for row in rows[-TREND_DAYS:]]
    mean = sum(closes) / TREND_DAYS if len(closes) == TREND_DAYS else math.nan
    return Days(mean, float(rows[-1]["high"]), float(rows[-1]["low"]))


def front_of(summaries: Iterable[ChainSummary], today: date) -> ChainSummary | None:
    """The summary of the front expiry; None while no chain is kept."""
    live = [row for row in summaries if row.expiry >= today]
    return min(live, key=lambda row: row.expiry, default=None)


def read_underlying(
    underlying: str, price: float, days: Days, front: ChainSummary | None
) -> UnderlyingContext:
    """All that is known of one underlying; an unknown put-call ratio counts as 1."""
    blank = UnderlyingContext(underlying, price, trend_of(price, days.mean), days.high, days.low)
    if front is None:
        return blank
    ratio = front.put_call_ratio if front.put_call_ratio > 0 else blank.put_call_ratio
    return replace(
        blank,
        expiry=front.expiry,
        put_call_ratio=ratio,
        pcr_bias=pcr_bias_of(ratio),
        max_pain=front.max_pain,
        put_wall=front.put_wall,
        call_wall=front.call_wall,
        gamma_exposure=front.gamma_exposure,
        as_of_ns=front.as_of_ns,
    )


def words_of(context: MarketContext) -> tuple[Any, ...]:
    """What is news when it changes; figures move all the time."""
    return (
        context.vix_regime,
        *((row.underlying, row.trend, row.pcr_bias) for row in context.underlyings),
    )


def context_body(context: MarketContext) -> dict[str, Any]:
    """The `data` of GET /tomic/market-context, JSON-ready; what is not known is left out of its
    map, or null.
    """
    rows = context.underlyings
    body: dict[str, Any] = {
        "vix": context.vix or None,
        "vix_regime": context.vix_regime.value,
        "as_of": iso_utc(context.as_of_ns),
    }
    for row in rows:
        name = row.underlying.lower()
        body[f"{name}_ltp"] = row.price if row.price > 0 else None
        body[f"{name}_trend"] = row.trend.value
    maps: Mapping[str, str] = {
        "pcr": "put_call_ratio",
        "prev_day_high": "previous_high",
        "prev_day_low": "previous_low",
        "max_pain": "max_pain",
        "oi_put_wall": "put_wall",
        "oi_call_wall": "call_wall",
        "gex": "gamma_exposure",
    }
    for key, name in maps.items():
        values = {row.underlying: getattr(row, name) for row in rows}
        body[key] = {who: value for who, value in values.items() if value == value}
    body["pcr_bias"] = {row.underlying: row.pcr_bias.value for row in rows}
    body["expiry"] = {row.underlying: row.expiry.isoformat() for row in rows if row.expiry}
    body["oi_as_of"] = {row.underlying: iso_utc(row.as_of_ns) for row in rows if row.as_of_ns}
    return body
