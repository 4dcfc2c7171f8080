"""Daily bars of a test: from plain rows, or a generated market that repeats by its seed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import numpy as np

from domain.clock import EXCHANGE_ZONE, epoch_ns
from domain.prices import BAR_DTYPE

LAST_DAY = date(2026, 11, 19)  # the day before START_NS of the recording context


def day_ns(day: date) -> int:
    return epoch_ns(datetime.combine(day, time.min, EXCHANGE_ZONE))


def daily_bars(
    rows: Sequence[Sequence[float]], listing: int = 1, last: date = LAST_DAY
) -> np.ndarray:
    """Rows of (open, high, low, close[, volume]); the last one is of `last`, one a day before."""
    bars = np.zeros(len(rows), BAR_DTYPE)
    bars["listing"], bars["vwap"], bars["history"] = listing, np.nan, True
    for back, (bar, row) in enumerate(zip(bars[::-1], reversed(rows), strict=True)):
        bar["start_ns"] = day_ns(last - timedelta(days=back))
        bar["open"], bar["high"], bar["low"], bar["close"] = row[:4]
        bar["volume"] = row[4] if len(row) > 4 else 0
    return bars


def from_closes(closes: Sequence[float], listing: int = 1, last: date = LAST_DAY) -> np.ndarray:
    """Bars that open at the close before, without wicks."""
    opens = [closes[0], *closes[:-1]]
    rows = [(o, max(o, c), min(o, c), c) for o, c in zip(opens, closes, strict=True)]
    return daily_bars(rows, listing, last)


def generated(seed: int, count: int = 300, level: float = 1_000.0) -> np.ndarray:
    """A wandering market with wicks and volume, prices to the paisa."""
    dice = np.random.default_rng(seed)
    close = level * np.exp(np.cumsum(dice.normal(0.0003, 0.015, count)))
    open_ = np.concatenate([[level], close[:-1]]) * np.exp(dice.normal(0, 0.003, count))
    high = np.maximum(open_, close) * np.exp(np.abs(dice.normal(0, 0.004, count)))
    low = np.minimum(open_, close) * np.exp(-np.abs(dice.normal(0, 0.004, count)))
    volume = dice.integers(100_000, 900_000, count)
    columns = (np.round(column, 2) for column in (open_, high, low, close))
    return daily_bars(list(zip(*columns, volume, strict=True)))


def path(*corners):
    """Closes in straight legs: the first corner is (price,), the others (price, bars to it)."""
    closes = [float(corners[0][0])]
    for price, bars in corners[1:]:
        closes += list(np.linspace(closes[-1], price, bars + 1)[1:])
    return closes


# 20 %, 10 % and 5 % deep: each half of the one before; lows 80, 88.2, 92.15 rise.
TIGHTENING = path(
    (60,), (100, 35), (80, 5), (98, 6), (88.2, 4), (97, 4), (92.15, 3), (96, 3)
)  # fmt: skip


def with_volume(closes, recent=40_000, before=100_000):
    bars = from_closes(closes)
    bars["volume"] = before
    bars["volume"][-5:] = recent
    return bars
