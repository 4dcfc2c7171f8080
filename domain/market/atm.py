"""The at-the-money strike, the ladder around it, and when it counts as moved.

Strikes come from the instrument master; nothing here knows a step by heart.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.clock import seconds

STEP_SAMPLE = 21  # listed strikes nearest the price that vote on the step (`subscriptions.md` 2.4)
# A 10-delta strike lies about 1.3 deviations out; a little beyond it, so that wings find strikes.
REACH_DEVIATIONS = 1.6


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the ladder stands: the strike, the price it was taken at, and when."""

    strike: float
    price: float
    at_ns: int


def nearest_strike(strikes: np.ndarray, price: float) -> int:
    """Position of the strike nearest `price` in ascending `strikes`; an exact half goes up."""
    distances = np.abs(strikes - price)
    return int(np.flatnonzero(distances == distances.min())[-1])


def strike_step(strikes: Sequence[float], price: float) -> float:
    """The most frequent gap among the listed strikes nearest `price`, the smaller on a tie.

    0 when one strike or none is listed.
    """
    near = sorted(sorted(strikes, key=lambda strike: (abs(strike - price), strike))[:STEP_SAMPLE])
    gaps = Counter(round(after - before, 4) for before, after in itertools.pairwise(near))
    return min(gaps, key=lambda gap: (-gaps[gap], gap)) if gaps else 0.0


def has_moved(
    anchor: Anchor | None,
    price: float,
    now_ns: int,
    *,
    step: float,
    recenter_steps: float,
    refresh_s: float,
) -> bool:
    """True when the ladder must be found anew: none yet, too old, or the price left its anchor.

    It left by max(step, step x recenter_steps) (`tomic.md` 11.4): a price swinging about the middle
    of two strikes moves nothing.
    """
    if anchor is None or now_ns - anchor.at_ns > seconds(refresh_s):
        return True
    return abs(price - anchor.price) >= max(step, step * recenter_steps)


def strikes_reached(price: float, step: float, years: float, volatility: float) -> int:
    """How many strikes a side reach beyond 10 delta."""
    if step <= 0:
        return 0
    return math.ceil(REACH_DEVIATIONS * volatility * math.sqrt(max(years, 0.0)) * price / step)


def ladder(strikes: np.ndarray, price: float, each_side: int) -> np.ndarray:
    """The listed strikes around the money, `each_side` of them above and below at most."""
    middle = nearest_strike(strikes, price)
    return strikes[max(0, middle - each_side) : middle + each_side + 1]
