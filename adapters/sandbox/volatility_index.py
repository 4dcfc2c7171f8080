"""Volatility index of an option chain, by the method NSE publishes for India VIX.

NSE takes the variance-swap method of CBOE (VIX white paper, 2003): each out-of-the-money option
weighs by its strike's step over its square; two expiries are interpolated to 30 days. Where a
strike has no price, NSE puts the value of a natural cubic spline through the others. The forward
here is that of put-call parity, for a recorded chain has no future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.clock import NS_PER_MINUTE

MINUTES_A_YEAR = 365 * 24 * 60
HORIZON = 30 * 24 * 60  # minutes
NEAREST_MINUTES = 3 * 24 * 60  # nearer expiries are left out: their last days swing too much
STRIKES_MIN = 5  # fewer tell no smile


@dataclass(frozen=True, slots=True)
class ChainPrices:
    """Prices of one expiry: strikes ascending, calls and puts beside them, NaN where none is."""

    expires_ns: int
    strikes: np.ndarray
    calls: np.ndarray
    puts: np.ndarray


def volatility_index(chains: Sequence[ChainPrices], at_ns: int, *, rate: float) -> float | None:
    """Points (14.2 is 14.2 % a year); None when no two expiries can be used.

    The two expiries lie on both sides of 30 days where possible; else the two that are nearest to
    them, their total variance extended in a straight line.
    """
    by_expiry = sorted(chains, key=lambda row: row.expires_ns)
    usable = [row for row in by_expiry if _minutes(row, at_ns) >= NEAREST_MINUTES]
    while len(usable) >= 2:
        beyond = (n for n, row in enumerate(usable) if _minutes(row, at_ns) >= HORIZON)
        far = max(next(beyond, len(usable) - 1), 1)
        pair = usable[far - 1 : far + 1]
        minutes = [_minutes(row, at_ns) for row in pair]
        near, later = (
            _total_variance(*each, rate=rate) for each in zip(pair, minutes, strict=True)
        )
        if near is not None and later is not None:
            return _at_horizon(minutes, (near, later))
        usable.remove(pair[0] if near is None else pair[1])
    return None


def _minutes(chain: ChainPrices, at_ns: int) -> float:
    return (chain.expires_ns - at_ns) / NS_PER_MINUTE


def _total_variance(chain: ChainPrices, minutes: float, *, rate: float) -> float | None:
    years = minutes / MINUTES_A_YEAR
    variance = model_free_variance(chain, years, rate=rate)
    return None if variance is None else variance * years


def _at_horizon(minutes: list[float], totals: tuple[float, float]) -> float | None:
    slope = (totals[1] - totals[0]) / (minutes[1] - minutes[0])
    total = totals[0] + slope * (HORIZON - minutes[0])
    return float(100.0 * np.sqrt(total * MINUTES_A_YEAR / HORIZON)) if total > 0 else None


def model_free_variance(chain: ChainPrices, years: float, *, rate: float) -> float | None:
    """Variance a year of one expiry; None with too few strikes or none priced on both sides."""
    forward = parity_forward(chain, years, rate=rate)
    if forward is None or not np.any(chain.strikes <= forward):
        return None
    base = float(chain.strikes[chain.strikes <= forward].max())
    puts, calls = chain.strikes < base, chain.strikes > base
    values = np.where(puts, chain.puts, np.where(calls, chain.calls, np.nan))
    middle = chain.strikes == base
    values[middle] = (chain.calls[middle] + chain.puts[middle]) / 2
    priced = np.flatnonzero(np.isfinite(values) & (values > 0))
    if len(priced) < STRIKES_MIN:
        return None
    inside = slice(priced[0], priced[-1] + 1)
    strikes, values = chain.strikes[inside], values[inside]
    values = fill_gaps(strikes, values)
    steps = np.gradient(strikes)  # half the distance between the neighbours; the step at the ends
    weighed = float(np.sum(steps / strikes**2 * values)) * np.exp(rate * years)
    return float(2.0 / years * weighed - (forward / base - 1.0) ** 2 / years)


def parity_forward(chain: ChainPrices, years: float, *, rate: float) -> float | None:
    """The forward at the strike where call and put are nearest; None when no strike has both."""
    gap = np.abs(chain.calls - chain.puts)
    if not np.any(np.isfinite(gap)):
        return None
    at = int(np.nanargmin(gap))
    carried = np.exp(rate * years) * (chain.calls[at] - chain.puts[at])
    return float(chain.strikes[at] + carried)


def fill_gaps(strikes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """NaN and 0 replaced by a natural cubic spline through the logarithms of the other values.

    On logarithms, so that a filled price is never negative. The first and last row are known.
    """
    known = np.isfinite(values) & (values > 0)
    if known.all():
        return values
    filled = values.copy()
    filled[~known] = np.exp(natural_spline(strikes[known], np.log(values[known]), strikes[~known]))
    return filled


def natural_spline(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The natural cubic spline through (x, y), x ascending, at points inside it."""
    steps = np.diff(x)
    count = len(x)
    slopes = np.diff(y) / steps
    system = np.eye(count)
    inner = np.arange(1, count - 1)
    system[inner, inner - 1], system[inner, inner + 1] = steps[:-1], steps[1:]
    system[inner, inner] = 2 * (steps[:-1] + steps[1:])
    right = np.zeros(count)
    right[inner] = 6 * np.diff(slopes)
    bends = np.linalg.solve(system, right)
    place = np.clip(np.searchsorted(x, at) - 1, 0, count - 2)
    step = steps[place]
    before, after = at - x[place], x[place + 1] - at
    cubic = (bends[place] * after**3 + bends[place + 1] * before**3) / (6 * step)
    line = (y[place] / step - bends[place] * step / 6) * after
    line += (y[place + 1] / step - bends[place + 1] * step / 6) * before
    return np.asarray(cubic + line)
