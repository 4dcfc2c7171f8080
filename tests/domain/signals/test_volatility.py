"""IV rank, percentile, HV, ratio, skew and term structure, with numbers worked by hand."""

import math
import statistics
from datetime import date

import numpy as np
import pytest

from domain.clock import seconds
from domain.readings import ChainSummary
from domain.signals.volatility import (
    ChainVolatility,
    as_decimal_iv,
    chain_volatility,
    constant_maturity_iv,
    iv_percentile,
    iv_rank,
    read_volatility,
    realized_volatility,
    skew_of,
    term_structure_of,
    vol_regime_of,
    weighted_volatility,
)

YEAR = np.linspace(0.10, 0.30, 252)  # low 0.10, high 0.30


@pytest.mark.parametrize(
    ("iv", "expected"), [(0.20, 50.0), (0.10, 0.0), (0.30, 100.0), (0.05, 0.0), (0.50, 100.0)]
)
def test_rank_stands_between_the_years_low_and_high(iv, expected):
    assert iv_rank(iv, YEAR) == pytest.approx(expected)


def test_rank_looks_at_one_year_only():
    history = np.concatenate([[0.90], YEAR])
    assert iv_rank(0.20, history) == pytest.approx(50.0)


def test_rank_and_percentile_are_unknown_below_60_days():
    assert iv_rank(0.20, YEAR[:59]) is None
    assert iv_percentile(0.20, YEAR[:59]) is None
    assert iv_rank(0.20, YEAR[:60]) is not None
    assert iv_percentile(0.20, YEAR[:60]) is not None


def test_rank_of_an_unmoved_year_is_unknown():
    assert iv_rank(0.20, np.full(100, 0.20)) is None


def test_percentile_counts_days_strictly_below():
    history = np.array([0.10] * 40 + [0.20] * 20 + [0.30] * 20)
    assert iv_percentile(0.20, history) == 50.0  # 40 of 80; the equal ones do not count
    assert iv_percentile(0.25, history) == 75.0
    assert iv_percentile(0.20, np.array([0.1] * 25 + [0.3] * 50)) == 33.3


def test_realized_volatility_agrees_with_the_statistics_module():
    closes = [100.0 * (1.02 if n % 2 else 1.0) * 1.001**n for n in range(40)]
    returns = [math.log(b / a) for a, b in zip(closes[-31:], closes[-30:], strict=False)]
    expected = statistics.stdev(returns) * math.sqrt(252)
    assert realized_volatility(np.array(closes)) == pytest.approx(expected)


def test_realized_volatility_of_alternating_one_percent_moves():
    # 30 returns of +r and -r: mean 0, sample variance 30 r^2 / 29.
    closes = np.array([100.0 * math.exp(0.01 * (n % 2)) for n in range(31)])
    assert realized_volatility(closes) == pytest.approx(0.01 * math.sqrt(30 / 29 * 252))


def test_realized_volatility_needs_31_closes_and_5_valid_returns():
    closes = np.array([100.0 + n for n in range(30)])
    assert realized_volatility(closes) == 0.0
    assert realized_volatility(np.zeros(31)) == 0.0


def test_weighted_volatility_of_equal_moves_is_their_size():
    closes = np.array([100.0 * math.exp(0.01 * (n % 2)) for n in range(80)])
    assert weighted_volatility(closes) == pytest.approx(0.01 * math.sqrt(252))
    assert weighted_volatility(closes[:30]) is None


def test_weighted_volatility_weighs_the_newest_most():
    calm = [100.0 * math.exp(0.01 * (n % 2)) for n in range(60)]
    late_jump = np.array([*calm, calm[-1] * math.exp(0.10)])
    early_jump = np.array([calm[0] * math.exp(-0.10), *calm])
    assert weighted_volatility(late_jump) > 1.5 * weighted_volatility(early_jump)


@pytest.mark.parametrize(
    ("iv", "hv", "expected"),
    [
        (0.25, 0.20, "IV_HIGH"),
        (0.2499, 0.20, "IV_NORMAL"),
        (0.16, 0.20, "IV_NORMAL"),  # 0.80 exactly is not below 0.80, whatever the float says
        (0.1599, 0.20, "IV_LOW"),
        (0.375, 0.30, "IV_HIGH"),
        (0.20, 0.20, "IV_NORMAL"),
    ],
)
def test_vol_regime_by_iv_over_hv(iv, hv, expected):
    assert vol_regime_of(iv / hv) == expected


def test_unknown_ratio_is_normal():
    assert vol_regime_of(0.0) == "IV_NORMAL"


@pytest.mark.parametrize(
    ("put", "call", "expected"),
    [
        (0.30, 0.20, "STEEP_PUT"),  # 1.4999999999999998 in floats
        (0.299, 0.20, "NORMAL"),
        (0.20, 0.30, "STEEP_CALL"),
        (0.20, 0.299, "NORMAL"),
        (0.20, 0.0, "NORMAL"),
    ],
)
def test_skew_state(put, call, expected):
    assert skew_of(put, call)[1] == expected


def test_skew_without_a_call_iv_is_zero():
    assert skew_of(0.20, 0.0) == (0.0, "NORMAL")


@pytest.mark.parametrize(
    ("front", "back", "expected"),
    [
        (0.21, 0.20, "FLAT"),  # 1.05 exactly
        (0.2101, 0.20, "INVERTED"),
        (0.19, 0.20, "FLAT"),  # 0.95 exactly
        (0.1899, 0.20, "NORMAL"),
        (0.0, 0.20, "FLAT"),
        (0.30, 0.0, "FLAT"),
    ],
)
def test_term_structure(front, back, expected):
    assert term_structure_of(front, back) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.18, 0.18), (18.0, 0.18), (3.0, 3.0), (float("nan"), 0.0), (-1.0, 0.0), (0.0, 0.0)],
)
def test_percent_is_told_from_decimal(value, expected):
    assert as_decimal_iv(value) == pytest.approx(expected)


def test_constant_maturity_is_linear_in_variance_between_the_two_expiries():
    # 20 days at 20 % -> 0.8; 40 days at 10 % -> 0.4; at 30 days 0.6 / 30 = 0.02.
    assert constant_maturity_iv([(40, 0.10), (20, 0.20)], 30) == pytest.approx(math.sqrt(0.02))


def test_constant_maturity_takes_the_nearest_when_30_days_are_not_between():
    assert constant_maturity_iv([(3, 0.20), (10, 0.18)], 30) == 0.18
    assert constant_maturity_iv([(35, 0.15), (63, 0.16)], 30) == 0.15
    assert constant_maturity_iv([(30, 0.15), (63, 0.16)], 30) == pytest.approx(0.15)
    assert constant_maturity_iv([], 30) == 0.0
    assert constant_maturity_iv([(10, 0.0)], 30) == 0.0


NOW = 1_795_149_900 * 1_000_000_000  # 2026-11-20 10:15 IST


def summary(expiry, days, iv, age_s=0.0):
    return ChainSummary(
        underlying="NIFTY", expiry=expiry, spot=26_000.0, forward=26_010.0, atm_strike=26_000.0,
        atm_iv=iv, put_iv_25d=iv + 0.01, call_iv_25d=iv - 0.01, put_call_ratio=1.0,
        max_pain=26_000.0, days_to_expiry=days, iv_source="feed", as_of_ns=NOW - seconds(age_s),
    )  # fmt: skip


FRONT, MONTH = date(2026, 11, 24), date(2026, 12, 29)


def test_a_summary_counts_for_120_seconds_and_the_oldest_dates_the_reading():
    rows = [summary(MONTH, 39.2, 0.16, age_s=120), summary(FRONT, 4.2, 0.12, age_s=5)]
    read = chain_volatility(rows, NOW, 120)
    assert read.by_days == ((4.2, 0.12), (39.2, 0.16))
    assert (read.put_iv_25d, read.call_iv_25d) == (0.13, 0.11)
    assert read.as_of_ns == NOW - seconds(120)


def test_a_summary_that_nothing_renews_is_left_out_whichever_expiry_it_is_of():
    far_old = [summary(FRONT, 4.2, 0.12), summary(MONTH, 39.2, 0.16, age_s=121)]
    assert chain_volatility(far_old, NOW, 120).by_days == ((4.2, 0.12),)
    front_old = [summary(FRONT, 4.2, 0.12, age_s=121), summary(MONTH, 39.2, 0.16)]
    assert chain_volatility(front_old, NOW, 120).by_days == ((39.2, 0.16),)


def test_with_old_summaries_only_nothing_is_known_but_how_old_the_newest_is():
    rows = [summary(FRONT, 4.2, 0.12, age_s=300), summary(MONTH, 39.2, 0.16, age_s=121)]
    assert chain_volatility(rows, NOW, 120) == ChainVolatility((), as_of_ns=NOW - seconds(121))
    assert chain_volatility([], NOW, 120) == ChainVolatility(())


def test_reading_joins_all_of_it():
    closes = np.array([100.0 * math.exp(0.01 * (n % 2)) for n in range(40)])
    chain = ChainVolatility(((5.0, 0.22), (12.0, 0.20)), 0.30, 0.20, as_of_ns=7)
    reading = read_volatility("NIFTY", chain, closes=closes, iv_history=YEAR)
    assert (reading.front_iv, reading.back_iv, reading.term_structure) == (0.22, 0.20, "INVERTED")
    assert (reading.skew_state, reading.iv, reading.as_of_ns) == ("STEEP_PUT", 0.20, 7)
    assert reading.hv == pytest.approx(0.01 * math.sqrt(30 / 29 * 252))  # 0.1615
    assert reading.iv_hv_ratio == pytest.approx(0.20 / reading.hv)  # 1.24
    assert reading.vol_regime == "IV_NORMAL"
    assert reading.iv_rank == pytest.approx(50.0)
    assert reading.conservative_rank == min(reading.iv_rank, reading.iv_percentile)


def test_reading_of_an_empty_chain_knows_nothing():
    reading = read_volatility(
        "NIFTY", ChainVolatility(()), closes=np.empty(0), iv_history=np.empty(0)
    )
    assert (reading.iv, reading.hv, reading.iv_hv_ratio) == (0.0, 0.0, 0.0)
    assert (reading.iv_rank, reading.iv_percentile, reading.conservative_rank) == (None, None, None)
