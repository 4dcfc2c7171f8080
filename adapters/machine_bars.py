"""Bars of a minute by machine code: what domain.market.bars takes for a fold that walks.

It takes each tick by the nine rules as they are worded, in order of arrival. Without a library for
this machine it leaves all to the columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adapters.machine_code import CODE, ODD, address


def walker(
    row_of: np.ndarray,
    state: np.ndarray,
    minutes: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    limits_ns: list[int],
) -> Callable[[np.ndarray], bool]:
    """A fold over these columns, changed in place, as domain.market.bars.MinuteBars words it."""
    if CODE is None:
        return lambda _ticks: False
    kept = row_of, state, *minutes, counts
    rows_at, *places = map(address, kept)
    bars = np.array([rows_at, len(row_of), *places, *limits_ns], np.int64)
    fold_bars, bars_at = CODE.fold_bars, address(bars)

    def walk(ticks: np.ndarray, _kept: tuple[np.ndarray, ...] = (*kept, bars)) -> bool:
        if not ticks.flags.c_contiguous:
            return False
        return bool(fold_bars(address(ticks), len(ticks), bars_at) != ODD)

    return walk
