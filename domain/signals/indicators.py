"""Indicators: columns of bars in, one number or word out (`tomic.md` 3.2).

All take plain float arrays, oldest first, the last row being the bar that just closed. What cannot
be told from so few bars is the neutral answer that each docstring names, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BULLISH, BEARISH, NEUTRAL = "BULLISH", "BEARISH", "NEUTRAL"


@dataclass(frozen=True, slots=True)
class IndicatorPeriods:
    """Periods in bars and multiples (`tomic.md` 2.3)."""

    tenkan: int = 9
    kijun: int = 26
    senkou_b: int = 52
    displacement: int = 26
    impulse_ema: int = 13
    macd_fast: int = 12
    macd_slow: int = 26
    macd_signal: int = 9
    band: int = 20
    squeeze_window: int = 100
    squeeze_share: float = 0.20
    overlap_bars: int = 5
    atr: int = 14
    adx: int = 14
    volume_average: int = 50
    blowoff_atr: float = 3.0
    blowoff_atr_without_volume: float = 4.0
    blowoff_volume: float = 2.0
    vwap_band: float = 0.001

    @property
    def bars_min(self) -> int:
        """Bars that a displaced cloud needs; with fewer there is no reading at all."""
        return self.senkou_b + self.displacement


PERIODS = IndicatorPeriods()


def merge_bars(window: np.ndarray, rows: np.ndarray, limit: int) -> np.ndarray:
    """The newest `limit` bars of both, ascending; of two with one start the later told stays."""
    joined: np.ndarray = np.concatenate([window, rows])
    order = np.argsort(joined["start_ns"], kind="stable")
    joined = joined[order]
    is_last = np.append(joined["start_ns"][1:] != joined["start_ns"][:-1], True)
    merged: np.ndarray = joined[is_last[: len(joined)]][-limit:]
    return merged


def ichimoku_signal(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, periods: IndicatorPeriods = PERIODS
) -> str:
    """BULLISH above, BEARISH below the cloud drawn `displacement` bars ago; else NEUTRAL."""
    if len(close) < periods.bars_min:
        return NEUTRAL
    end = len(close) - periods.displacement

    def middle(bars: int) -> float:
        return float(high[end - bars : end].max() + low[end - bars : end].min()) / 2

    span_a = (middle(periods.tenkan) + middle(periods.kijun)) / 2
    span_b = middle(periods.senkou_b)
    if close[-1] > max(span_a, span_b):
        return BULLISH
    return BEARISH if close[-1] < min(span_a, span_b) else NEUTRAL


def ema(values: np.ndarray, bars: int) -> np.ndarray:
    """Exponential average of each prefix, seeded with the first value, weight 2 / (bars + 1)."""
    weight = 2.0 / (bars + 1)
    out = np.empty(len(values))
    level = float(values[0])
    for index, value in enumerate(values):
        level += weight * (float(value) - level)
        out[index] = level
    return out


def impulse_color(close: np.ndarray, periods: IndicatorPeriods = PERIODS) -> str:
    """GREEN when average and MACD histogram both rise, RED when both fall, else BLUE.

    Equality is neither, so a flat market is BLUE; so are closes too few for a MACD signal line.
    """
    if len(close) < periods.macd_slow + periods.macd_signal:
        return "BLUE"
    average = ema(close, periods.impulse_ema)
    line = ema(close, periods.macd_fast) - ema(close, periods.macd_slow)
    histogram = line - ema(line, periods.macd_signal)
    trend, force = average[-1] - average[-2], histogram[-1] - histogram[-2]
    if trend > 0 and force > 0:
        return "GREEN"
    return "RED" if trend < 0 and force < 0 else "BLUE"


def true_ranges(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """True range of every bar but the first."""
    before = close[:-1]
    ranges: np.ndarray = np.maximum(high[1:], before) - np.minimum(low[1:], before)
    return ranges


def average_true_range(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, bars: int = PERIODS.atr
) -> float:
    """Mean true range of the last `bars` bars; 0 while there are not that many."""
    ranges = true_ranges(high, low, close)
    return float(ranges[-bars:].mean()) if len(ranges) >= bars else 0.0


def band_widths(close: np.ndarray, bars: int = PERIODS.band) -> np.ndarray:
    """Bollinger band width, 4 population sigma over the mean, of every full window."""
    if len(close) < bars:
        return np.empty(0)
    windows = np.lib.stride_tricks.sliding_window_view(close, bars)
    widths: np.ndarray = 4.0 * windows.std(axis=1) / windows.mean(axis=1)
    return widths


def is_congested(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, periods: IndicatorPeriods = PERIODS
) -> bool:
    """True in a squeeze whose last bars overlap: a sideways market.

    A squeeze: the band is among the narrowest fifth of its own last 100 (of as many as there are).
    """
    widths = band_widths(close, periods.band)[-periods.squeeze_window :]
    if not len(widths):
        return False
    is_squeezed = np.count_nonzero(widths < widths[-1]) < periods.squeeze_share * len(widths)
    overlap = high[-periods.overlap_bars :].min() - low[-periods.overlap_bars :].max()
    return bool(is_squeezed and overlap > 0)


def is_blown_off(
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    *,
    volume: np.ndarray,
    periods: IndicatorPeriods = PERIODS,
) -> bool:
    """True when the close ran away from its mean on unusual volume.

    An index has no volume: the volume rule falls away and more range is asked for instead.
    """
    if len(close) < periods.volume_average:
        return False
    range_mean = average_true_range(high, low, close, bars=periods.atr)
    if range_mean <= 0:
        return False
    stretch = abs(close[-1] - close[-periods.band :].mean()) / range_mean
    recent = volume[-periods.volume_average :]
    if recent.max() <= 0:
        return bool(stretch > periods.blowoff_atr_without_volume)
    is_busy = recent[-1] > periods.blowoff_volume * recent.mean()
    return bool(stretch > periods.blowoff_atr and is_busy)


def trend_strength(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, bars: int = PERIODS.adx
) -> float:
    """Wilder's ADX, two decimals; 0 while there are fewer than twice `bars` bars."""
    if len(close) < 2 * bars:
        return 0.0
    up, down = np.diff(high), -np.diff(low)
    moves = np.stack(
        [
            true_ranges(high, low, close),
            np.where((up > down) & (up > 0), up, 0.0),
            np.where((down > up) & (down > 0), down, 0.0),
        ],
        axis=1,
    )
    keep = (bars - 1) / bars
    sums = moves[:bars].sum(axis=0)
    strengths = [_directional_index(sums)]
    for row in moves[bars:]:
        sums = sums * keep + row
        strengths.append(_directional_index(sums))
    level = sum(strengths[:bars]) / bars
    for strength in strengths[bars:]:
        level = level * keep + strength / bars
    return round(level, 2)


def price_vs_vwap(close: float, vwap: float, periods: IndicatorPeriods = PERIODS) -> str:
    """ABOVE, BELOW or AT the session's VWAP within 0.1 %; UNKNOWN without volume (NaN or 0)."""
    if not vwap > 0:
        return "UNKNOWN"
    if close > (1 + periods.vwap_band) * vwap:
        return "ABOVE"
    return "BELOW" if close < (1 - periods.vwap_band) * vwap else "AT"


def _directional_index(sums: np.ndarray) -> float:
    true_range, plus, minus = (float(value) for value in sums)
    if true_range <= 0 or plus + minus <= 0:
        return 0.0
    return 100.0 * abs(plus - minus) / (plus + minus)
