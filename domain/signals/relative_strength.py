"""Relative strength: how an instrument did against its benchmark (`tomic.md` 4.5)."""

from __future__ import annotations

import numpy as np

LOOKBACK_BARS = 50
IN_LINE = 100.0


def relative_strength(
    bars: np.ndarray, benchmark: np.ndarray, lookback: int = LOOKBACK_BARS
) -> float | None:
    """100 x (1 + return) / (1 + benchmark's return) over the newest `lookback` bars both have; 100
    is in line. None while there are fewer.

    `bars` and `benchmark` are BAR_DTYPE of one timeframe, ascending; bars match by their start.
    """
    common, mine, theirs = np.intersect1d(
        bars["start_ns"], benchmark["start_ns"], return_indices=True
    )
    if len(common) <= lookback:
        return None
    own = bars["close"][mine][[-1 - lookback, -1]]
    market = benchmark["close"][theirs][[-1 - lookback, -1]]
    if min(own.min(), market.min()) <= 0:
        return None
    return float(IN_LINE * (own[1] / own[0]) / (market[1] / market[0]))


def common_bars(bars: np.ndarray, benchmark: np.ndarray) -> int:
    """How many bars the two have at the same time."""
    return len(np.intersect1d(bars["start_ns"], benchmark["start_ns"]))
