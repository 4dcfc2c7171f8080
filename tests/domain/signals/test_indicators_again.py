"""Second, plain implementations of the indicators that have no formula of their own in another
test: loops over lists, as one would work them out on paper.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pytest

from domain.signals import indicators
from domain.signals.relative_strength import relative_strength
from domain.signals.volatility import iv_percentile, iv_rank, weighted_volatility
from tests.kit.daily_bars import from_closes, generated

SEEDS = range(8)


def columns(seed):
    bars = generated(seed)
    return tuple(bars[name].astype(float) for name in ("high", "low", "close"))


@pytest.mark.parametrize("seed", SEEDS)
def test_average_true_range(seed):
    high, low, close = (rows.tolist() for rows in columns(seed))
    ranges = []
    for at in range(len(close) - 14, len(close)):
        before = close[at - 1]
        ranges.append(max(high[at], before) - min(low[at], before))
    found = indicators.average_true_range(*columns(seed))
    assert found == pytest.approx(sum(ranges) / 14)


@pytest.mark.parametrize("seed", SEEDS)
def test_band_width_is_four_population_sigmas_over_the_mean(seed):
    close = columns(seed)[2]
    widths = indicators.band_widths(close)
    for back in (1, 2, 50):
        window = close[len(close) - back - 19 : len(close) - back + 1].tolist()
        expected = 4 * statistics.pstdev(window) / statistics.mean(window)
        assert widths[-back] == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_exponential_average(seed):
    close = columns(seed)[2].tolist()
    value = close[0]
    for price in close[1:]:
        value = value + 2 / 14 * (price - value)
    assert indicators.ema(np.array(close), 13)[-1] == pytest.approx(value)


@pytest.mark.parametrize("seed", SEEDS)
def test_weighted_volatility_is_the_recursion_of_squared_returns(seed):
    close = columns(seed)[2].tolist()
    weight = 2 / 36
    top = bottom = 0.0
    for before, after in itertools.pairwise(close):
        top = (1 - weight) * top + math.log(after / before) ** 2
        bottom = (1 - weight) * bottom + 1
    assert weighted_volatility(np.array(close)) == pytest.approx(math.sqrt(252 * top / bottom))


@pytest.mark.parametrize("seed", SEEDS)
def test_rank_and_percentile_of_a_year(seed):
    draw = random.Random(seed)
    history = [draw.uniform(0.1, 0.4) for _ in range(400)]
    iv = draw.uniform(0.05, 0.45)
    year = history[-252:]
    rank = 100 * (iv - min(year)) / (max(year) - min(year))
    assert iv_rank(iv, np.array(history)) == pytest.approx(min(100.0, max(0.0, rank)))
    below = sum(1 for one in year if one < iv)
    assert iv_percentile(iv, np.array(history)) == pytest.approx(100 * below / 252, abs=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_relative_strength_is_growth_over_growth(seed):
    draw = random.Random(seed)
    own = [100 * math.exp(draw.gauss(0, 0.3)) for _ in range(60)]
    market = [100 * math.exp(draw.gauss(0, 0.3)) for _ in range(60)]
    found = relative_strength(from_closes(own), from_closes(market))
    assert found == pytest.approx(100 * (own[59] / own[9]) / (market[59] / market[9]))
