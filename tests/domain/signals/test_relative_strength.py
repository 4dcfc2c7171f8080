"""Relative strength against numbers worked by hand and a plain second reading."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.signals.relative_strength import common_bars, relative_strength
from tests.kit.daily_bars import from_closes, generated


def risen(share, bars=60, start=100.0):
    """Flat, then the last close of the 50-bar window's end `share` above its beginning."""
    return from_closes([start] * (bars - 1) + [start * (1 + share)])


def test_a_stock_that_did_twenty_per_cent_against_ten_stands_at_109():
    assert relative_strength(risen(0.20), risen(0.10)) == pytest.approx(100 * 1.2 / 1.1)


def test_a_falling_benchmark_does_not_flip_it():
    # -5 % against -10 % is stronger: 100 x 0.95 / 0.90.
    assert relative_strength(risen(-0.05), risen(-0.10)) == pytest.approx(105.5556, abs=1e-4)


def test_a_flat_benchmark_does_not_make_it_explode():
    assert relative_strength(risen(0.01), risen(0.0)) == pytest.approx(101.0)


def test_bars_match_by_their_day_not_by_their_place():
    stock, market = generated(1, 120), generated(2, 120)
    fewer = np.delete(market, [70, 90, 100])  # a benchmark that missed three days
    days = sorted(set(stock["start_ns"]) & set(fewer["start_ns"]))[-51:]
    close = {row["start_ns"]: float(row["close"]) for row in stock}
    other = {row["start_ns"]: float(row["close"]) for row in fewer}
    own, theirs = close[days[-1]] / close[days[0]], other[days[-1]] / other[days[0]]
    assert relative_strength(stock, fewer) == pytest.approx(100 * own / theirs)
    assert common_bars(stock, fewer) == 117


def test_fifty_bars_are_one_too_few():
    assert relative_strength(risen(0.2)[-50:], risen(0.1)) is None
    assert relative_strength(risen(0.2)[-51:], risen(0.1)) is not None


@given(st.integers(0, 60))
def test_a_market_is_in_line_with_itself(seed):
    bars = generated(seed, 60)
    assert relative_strength(bars, bars) == pytest.approx(100.0)
