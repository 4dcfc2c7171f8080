"""The market at a glance: bands, biases, trends and levels, at their limits."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from domain.clock import EXCHANGE_ZONE, epoch_ns
from domain.market.context import (
    DAYS_KEPT,
    Days,
    context_body,
    front_of,
    keep_days,
    pcr_bias_of,
    read_days,
    read_underlying,
    trend_of,
    vix_regime_of,
    words_of,
)
from domain.prices import BAR_DTYPE
from domain.readings import (
    ChainSummary,
    MarketContext,
    PcrBias,
    Trend,
    VixRegime,
)

TODAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("vix", "band"),
    [
        (0.0, "UNKNOWN"), (math.nan, "UNKNOWN"), (11.99, "TOO_LOW"), (12.0, "NORMAL"),
        (18.0, "NORMAL"), (18.01, "ELEVATED"), (25.0, "ELEVATED"), (25.01, "HIGH"),
        (35.0, "HIGH"), (35.01, "EXTREME"),
    ],
)  # fmt: skip
def test_each_vix_has_its_band(vix: float, band: str) -> None:
    assert vix_regime_of(vix, is_known=True) == band


def test_a_vix_that_is_too_old_is_unknown() -> None:
    assert vix_regime_of(15.0, is_known=False) is VixRegime.UNKNOWN


@pytest.mark.parametrize(
    ("ratio", "bias"),
    [(1.31, "BULLISH"), (1.3, "NEUTRAL"), (1.0, "NEUTRAL"), (0.8, "NEUTRAL"), (0.79, "BEARISH")],
)
def test_many_puts_are_bullish_and_many_calls_bearish(ratio: float, bias: str) -> None:
    assert pcr_bias_of(ratio) == bias


@pytest.mark.parametrize(
    ("price", "trend"),
    [
        (26_026.1, Trend.ABOVE), (26_025.9, Trend.NEUTRAL), (25_974.1, Trend.NEUTRAL),
        (25_973.9, Trend.BELOW),
    ],
)  # fmt: skip
def test_a_trend_needs_a_tenth_of_a_per_cent(price: float, trend: Trend) -> None:
    assert trend_of(price, 26_000.0) is trend
    assert trend_of(price, math.nan) is Trend.NEUTRAL


def days(closes: list[float], last: date) -> np.ndarray:
    """One bar a calendar day, 10 points either side of its close."""
    rows = np.zeros(len(closes), BAR_DTYPE)
    rows["close"] = closes
    rows["high"], rows["low"] = rows["close"] + 10, rows["close"] - 10
    for row, back in zip(rows, range(len(closes) - 1, -1, -1), strict=True):
        day = last - timedelta(days=back)
        opens = datetime(day.year, day.month, day.day, 9, 15, tzinfo=EXCHANGE_ZONE)
        row["start_ns"] = epoch_ns(opens)
    return rows


def test_the_mean_is_of_twenty_days_before_today_and_yesterdays_range_is_the_last() -> None:
    # 1..21 until yesterday, and today's own bar of 500 which must not count: mean of 2..21 = 11.5.
    window = days([float(n) for n in range(1, 22)] + [500.0], TODAY)
    assert read_days(window, TODAY) == Days(mean=11.5, high=31.0, low=11.0)


def test_nineteen_days_have_a_range_but_no_mean() -> None:
    found = read_days(days([float(n) for n in range(1, 20)], TODAY - timedelta(days=1)), TODAY)
    assert math.isnan(found.mean)
    assert (found.high, found.low) == (29.0, 9.0)
    assert math.isnan(read_days(np.zeros(0, BAR_DTYPE), TODAY).high)


def test_a_day_told_again_replaces_the_one_before_and_old_days_are_forgotten() -> None:
    first = days([float(n) for n in range(40)], TODAY)
    again = days([99.0], TODAY)
    kept = keep_days(keep_days(np.zeros(0, BAR_DTYPE), first), again)
    assert len(kept) == DAYS_KEPT
    assert kept["close"][-1] == 99.0
    assert kept["close"][-2] == 38.0
    assert list(kept["start_ns"]) == sorted(kept["start_ns"])


def summary(expiry: date, ratio: float = 1.4, **more: float) -> ChainSummary:
    return ChainSummary(
        underlying="NIFTY", expiry=expiry, spot=26_000.0, forward=26_010.0, atm_strike=26_000.0,
        atm_iv=0.13, put_iv_25d=0.14, call_iv_25d=0.12, put_call_ratio=ratio, max_pain=25_950.0,
        days_to_expiry=4.2, iv_source="feed", as_of_ns=7,
        **({"put_wall": 25_500.0, "call_wall": 26_500.0} | more),
    )  # fmt: skip


def test_the_front_expiry_speaks_and_an_expired_one_does_not() -> None:
    later, front = summary(TODAY + timedelta(days=11)), summary(TODAY + timedelta(days=4))
    gone = summary(TODAY - timedelta(days=3))
    assert front_of([later, gone, front], TODAY) is front
    assert front_of([gone], TODAY) is None


def test_without_open_interest_the_ratio_counts_as_one() -> None:
    found = read_underlying("NIFTY", 26_000.0, Days(), summary(TODAY, ratio=math.nan))
    assert found.put_call_ratio == 1.0
    assert found.pcr_bias is PcrBias.NEUTRAL
    assert read_underlying("NIFTY", 26_000.0, Days(), None).expiry is None


def context(price: float = 26_100.0, vix: float = 14.0) -> MarketContext:
    nifty = read_underlying("NIFTY", price, Days(26_000.0, 26_200.0, 25_900.0), summary(TODAY))
    bank = read_underlying("BANKNIFTY", 0.0, Days(), None)
    return MarketContext(vix, vix_regime_of(vix, is_known=True), (nifty, bank), 1_000_000_000)


def test_figures_move_without_being_news_and_words_are_news() -> None:
    assert words_of(context()) == words_of(context(price=26_200.0, vix=15.0))
    assert words_of(context()) != words_of(context(price=25_000.0))
    assert words_of(context()) != words_of(context(vix=19.0))


def test_the_page_leaves_out_what_is_not_known() -> None:
    body = context_body(context())
    assert body["nifty_ltp"] == 26_100.0
    assert body["nifty_trend"] == "ABOVE_20MA"
    assert body["banknifty_ltp"] is None
    assert body["vix_regime"] == "NORMAL"
    assert body["prev_day_high"] == {"NIFTY": 26_200.0}
    assert body["prev_day_low"] == {"NIFTY": 25_900.0}
    assert body["max_pain"] == {"NIFTY": 25_950.0}
    assert body["oi_put_wall"] == {"NIFTY": 25_500.0}
    assert body["oi_call_wall"] == {"NIFTY": 26_500.0}
    assert body["pcr"] == {"NIFTY": 1.4, "BANKNIFTY": 1.0}
    assert body["pcr_bias"] == {"NIFTY": "BULLISH", "BANKNIFTY": "NEUTRAL"}
    json.dumps(body, allow_nan=False)


def test_a_part_is_found_by_its_underlying() -> None:
    found = context().of("BANKNIFTY")
    assert found is not None
    assert found.underlying == "BANKNIFTY"
    assert context().of("SENSEX") is None
