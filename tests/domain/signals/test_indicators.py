"""Indicators against numbers worked by hand and a second, plain implementation."""

import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.prices import BAR_DTYPE
from domain.signals import indicators


def walk(bars, seed=7, drift=0.0):
    """High, low and close of a random walk, and its volumes."""
    rng = random.Random(seed)
    close, rows = 100.0, []
    for _ in range(bars):
        opened = close
        close = max(1.0, close + rng.gauss(drift, 1.0))
        high = max(opened, close) + abs(rng.gauss(0, 0.5))
        low = min(opened, close) - abs(rng.gauss(0, 0.5))
        rows.append((high, low, close, rng.randint(50, 150)))
    return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))


# -- Ichimoku --


def ichimoku_again(high, low, close):
    """Plain lists; the cloud of 26 bars ago, counted from the front."""
    last = len(close) - 1 - 26

    def middle(bars):
        rows = range(last - bars + 1, last + 1)
        return (max(high[i] for i in rows) + min(low[i] for i in rows)) / 2

    span_a, span_b = (middle(9) + middle(26)) / 2, middle(52)
    if close[-1] > span_a and close[-1] > span_b:
        return "BULLISH"
    return "BEARISH" if close[-1] < span_a and close[-1] < span_b else "NEUTRAL"


@pytest.mark.parametrize("seed", range(40))
def test_cloud_agrees_with_a_plain_reading_of_the_rule(seed):
    high, low, close, _ = walk(90, seed, drift=(seed % 5 - 2) * 0.1)
    assert indicators.ichimoku_signal(high, low, close) == ichimoku_again(high, low, close)


def test_cloud_is_the_one_of_26_bars_ago_not_of_today():
    # 52 bars at 100, then 26 at 110: the cloud of 26 bars ago is 100; today's own spans 105 to 110.
    close = np.array([100.0] * 52 + [110.0] * 25 + [104.0])
    assert indicators.ichimoku_signal(close, close, close) == "BULLISH"


def test_cloud_needs_78_bars():
    close = np.arange(1.0, 78.0)
    assert len(close) == 77
    assert indicators.ichimoku_signal(close, close, close) == "NEUTRAL"
    close = np.arange(1.0, 79.0)
    assert indicators.ichimoku_signal(close, close, close) == "BULLISH"
    assert indicators.ichimoku_signal(-close, -close, -close) == "BEARISH"


# -- impulse --


def test_average_is_seeded_with_the_first_value():
    # k = 2 / (3 + 1) = 0.5: 10, then (10 + 20) / 2 = 15, then (15 + 11) / 2 = 13.
    assert indicators.ema(np.array([10.0, 20.0, 11.0]), 3).tolist() == [10.0, 15.0, 13.0]


def impulse_again(close):
    def averages(values, bars):
        out = [values[0]]
        for value in values[1:]:
            out.append(value * 2 / (bars + 1) + out[-1] * (1 - 2 / (bars + 1)))
        return out

    fast, slow = averages(close, 12), averages(close, 26)
    line = [a - b for a, b in zip(fast, slow, strict=True)]
    signal = averages(line, 9)
    histogram = [a - b for a, b in zip(line, signal, strict=True)]
    trend = averages(close, 13)
    if trend[-1] > trend[-2] and histogram[-1] > histogram[-2]:
        return "GREEN"
    return "RED" if trend[-1] < trend[-2] and histogram[-1] < histogram[-2] else "BLUE"


@pytest.mark.parametrize("seed", range(40))
def test_impulse_agrees_with_a_plain_reading_of_the_rule(seed):
    close = walk(60, seed)[2]
    assert indicators.impulse_color(close) == impulse_again(close.tolist())


def test_flat_market_is_blue_and_not_red():
    assert indicators.impulse_color(np.full(60, 100.0)) == "BLUE"


def test_impulse_needs_35_closes():
    rising = np.exp(np.arange(34) / 10.0)
    assert indicators.impulse_color(rising) == "BLUE"
    assert indicators.impulse_color(np.exp(np.arange(35) / 10.0)) == "GREEN"


# -- ranges, squeeze, blow-off --


def test_mean_range_counts_the_gap_from_the_close_before():
    # Every bar spans 2 (99..101); the last opens a gap: low 105, high 106, close before 100 -> 6.
    high = np.array([101.0] * 14 + [106.0])
    low = np.array([99.0] * 14 + [105.0])
    close = np.array([100.0] * 14 + [105.5])
    assert indicators.average_true_range(high, low, close) == pytest.approx((13 * 2 + 6) / 14)


def test_mean_range_is_zero_below_15_bars():
    flat = np.full(14, 100.0)
    assert indicators.average_true_range(flat + 1, flat - 1, flat) == 0.0


def test_band_width_by_hand():
    # Ten at 99 and ten at 101: mean 100, population sigma 1, width 4 / 100.
    close = np.array([99.0, 101.0] * 10)
    assert indicators.band_widths(close).tolist() == pytest.approx([0.04])


@pytest.mark.parametrize("seed", range(30))
def test_congestion_agrees_with_a_plain_reading_of_the_rule(seed):
    high, low, close, _ = walk(140, seed)
    widths = [
        4 * statistics.pstdev(close[end - 20 : end]) / statistics.fmean(close[end - 20 : end])
        for end in range(20, 141)
    ][-100:]
    is_narrow = widths[-1] in sorted(widths)[:20]
    overlaps = min(high[-5:]) > max(low[-5:])
    assert indicators.is_congested(high, low, close) is bool(is_narrow and overlaps)


def test_squeeze_without_overlap_is_no_congestion():
    close = np.concatenate([100 + 5 * np.sin(np.arange(120)), np.linspace(100, 101, 20)])
    assert indicators.is_congested(close + 2, close - 2, close)
    assert not indicators.is_congested(close + 0.01, close - 0.01, close)


def stretched(last_close, last_volume, volume=100.0):
    """50 bars at 100 with ranges of 2, the last one running away."""
    close = np.array([100.0] * 49 + [last_close])
    high, low = close + 1, close - 1
    return high, low, close, np.array([volume] * 49 + [last_volume])


def test_blowoff_asks_for_stretch_and_for_volume():
    # Last close 120: TR 21; ATR = (13 x 2 + 21) / 14 = 3.36; mean20 = 101; stretch 19 / 3.36.
    high, low, close, volume = stretched(120.0, 300.0)
    assert indicators.is_blown_off(high, low, close, volume=volume)
    volume[-1] = 200.0  # mean of 50 is 102, twice that 204
    assert not indicators.is_blown_off(high, low, close, volume=volume)
    volume[-1] = 210.0  # mean 102.2, twice that 204.4
    assert indicators.is_blown_off(high, low, close, volume=volume)


def test_blowoff_without_volume_asks_for_four_ranges():
    # Close 107: TR 8, ATR 34 / 14, mean20 100.35, stretch 2.74; close 110: 37 / 14, 3.59 of ATR;
    # close 112: 13, 39/14, 100.6, 4.09.
    for last, expected in ((107.0, False), (110.0, False), (112.0, True)):
        high, low, close, volume = stretched(last, 0.0, volume=0.0)
        assert indicators.is_blown_off(high, low, close, volume=volume) is expected
    high, low, close, volume = stretched(110.0, 300.0)
    assert indicators.is_blown_off(high, low, close, volume=volume)


def test_blowoff_is_false_without_any_range_or_below_50_bars():
    flat = np.full(60, 100.0)
    assert not indicators.is_blown_off(flat, flat, flat, volume=flat)
    high, low, close, volume = stretched(120.0, 300.0)
    short = slice(1, None)
    assert not indicators.is_blown_off(high[short], low[short], close[short], volume=volume[short])


# -- ADX --


def adx_again(high, low, close, bars=14):
    """Wilder's rule with three running sums, in lists."""
    ranges, plus, minus = [], [], []
    for i in range(1, len(close)):
        ranges.append(
            max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
        )
        up, down = high[i] - high[i - 1], low[i - 1] - low[i]
        plus.append(up if up > down and up > 0 else 0.0)
        minus.append(down if down > up and down > 0 else 0.0)
    strengths, sums = [], [sum(rows[:bars]) for rows in (ranges, plus, minus)]
    for i in range(bars, len(ranges) + 1):
        di_plus, di_minus = 100 * sums[1] / sums[0], 100 * sums[2] / sums[0]
        strengths.append(100 * abs(di_plus - di_minus) / (di_plus + di_minus))
        if i < len(ranges):
            sums = [
                s * 13 / 14 + rows[i] for s, rows in zip(sums, (ranges, plus, minus), strict=True)
            ]
    level = statistics.fmean(strengths[:bars])
    for strength in strengths[bars:]:
        level = level * 13 / 14 + strength / 14
    return level


@pytest.mark.parametrize(("seed", "bars"), [(1, 28), (2, 29), (3, 60), (4, 200)])
def test_trend_strength_agrees_with_a_plain_reading_of_wilder(seed, bars):
    high, low, close, _ = walk(bars, seed)
    expected = adx_again(high, low, close)
    assert indicators.trend_strength(high, low, close) == pytest.approx(expected, abs=0.0051)


def test_trend_strength_of_a_straight_rise_is_full():
    close = np.arange(100.0, 140.0)
    assert indicators.trend_strength(close + 1, close - 1, close) == 100.0


def test_trend_strength_is_zero_below_28_bars_and_in_a_dead_market():
    close = np.arange(100.0, 127.0)
    assert indicators.trend_strength(close + 1, close - 1, close) == 0.0
    flat = np.full(60, 100.0)
    assert indicators.trend_strength(flat, flat, flat) == 0.0


# -- VWAP, windows --


@pytest.mark.parametrize(
    ("close", "expected"),
    [(100.2, "ABOVE"), (100.05, "AT"), (100.0, "AT"), (99.95, "AT"), (99.8, "BELOW")],
)
def test_price_stands_against_vwap_within_a_tenth_of_a_percent(close, expected):
    assert indicators.price_vs_vwap(close, 100.0) == expected


def test_vwap_without_volume_is_unknown():
    assert indicators.price_vs_vwap(100.0, float("nan")) == "UNKNOWN"
    assert indicators.price_vs_vwap(100.0, 0.0) == "UNKNOWN"


def bars_at(*starts_and_closes):
    rows = np.zeros(len(starts_and_closes), BAR_DTYPE)
    for row, (start, close) in zip(rows, starts_and_closes, strict=True):
        row["start_ns"], row["close"] = start, close
    return rows


def test_merged_window_is_sorted_and_keeps_the_later_told_of_doubles():
    merged = indicators.merge_bars(bars_at((1, 10), (3, 30)), bars_at((2, 20), (3, 31)), 10)
    assert merged["close"].tolist() == [10, 20, 31]
    assert indicators.merge_bars(merged, bars_at((4, 40)), 2)["close"].tolist() == [31, 40]
    assert len(indicators.merge_bars(bars_at(), bars_at(), 5)) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=25), st.lists(st.integers(0, 30), max_size=25))
def test_merging_the_same_bars_again_changes_nothing(first, second):
    window = indicators.merge_bars(
        bars_at(*((n, n) for n in first)), bars_at(*((n, 100 + n) for n in second)), 50
    )
    again = indicators.merge_bars(window, window, 50)
    assert again.tobytes() == window.tobytes()
    assert (np.diff(window["start_ns"]) > 0).all()
