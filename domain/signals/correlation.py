"""How closely underlyings move together: correlation of their daily returns (`tomic.md` 7.6)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from domain.readings import Correlation

RETURNS = 60


def correlations(bars: Mapping[str, np.ndarray]) -> tuple[Correlation, ...]:
    """Of each pair's last 60 daily log returns on days that both traded; `bars` are BAR_DTYPE, in
    order of time. A pair with fewer, or with a price that never moved, is left out.
    """
    found = []
    for one, other in combinations(sorted(bars), 2):
        days, mine, yours = np.intersect1d(
            bars[one]["start_ns"], bars[other]["start_ns"], return_indices=True
        )
        if len(days) <= RETURNS:
            continue
        returns = np.array([
            np.diff(np.log(bars[name]["close"][rows][-RETURNS - 1 :].astype(float)))
            for name, rows in ((one, mine), (other, yours))
        ])  # fmt: skip
        if np.all(np.ptp(returns, axis=1) > 0):
            found.append(Correlation(one, other, float(np.corrcoef(returns)[0, 1])))
    return tuple(found)
