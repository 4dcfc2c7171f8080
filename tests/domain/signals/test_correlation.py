"""Correlation of daily returns: 60 of them, on days both traded."""

from __future__ import annotations

import numpy as np
import pytest

from domain.prices import BAR_DTYPE
from domain.signals.correlation import correlations

DAY_NS = 86_400 * 10**9


def bars(closes, first_day=0):
    rows = np.zeros(len(closes), BAR_DTYPE)
    rows["start_ns"] = (np.arange(len(closes)) + first_day) * DAY_NS
    rows["close"] = closes
    return rows


def walk(seed, days=80):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, days)))


def test_it_is_pearsons_of_the_last_sixty_log_returns():
    one, other = walk(1), walk(2)
    mixed = one**0.5 * other**0.5
    (found,) = correlations({"A": bars(one), "B": bars(mixed)})
    mine, yours = (np.diff(np.log(row))[-60:] for row in (one, mixed))
    centred = [row - row.mean() for row in (mine, yours)]
    expected = (centred[0] * centred[1]).sum() / np.sqrt(
        (centred[0] ** 2).sum() * (centred[1] ** 2).sum()
    )
    assert (found.one, found.other) == ("A", "B")
    assert found.value == pytest.approx(expected)


def test_what_moves_together_is_one_and_against_each_other_minus_one():
    prices = walk(3)
    found = correlations({"A": bars(prices), "B": bars(2 * prices), "C": bars(1e4 / prices)})
    values = {(row.one, row.other): row.value for row in found}
    assert values == pytest.approx({("A", "B"): 1.0, ("A", "C"): -1.0, ("B", "C"): -1.0})


def test_only_days_on_which_both_traded_count():
    prices = walk(4)
    with_holiday = np.delete(bars(prices), 40)
    (found,) = correlations({"A": bars(prices), "B": with_holiday})
    assert found.value == pytest.approx(1.0)


def test_too_few_days_and_a_price_that_never_moved_tell_nothing():
    prices = walk(5)
    assert correlations({"A": bars(prices[:61]), "B": bars(walk(6)[:61])})
    assert correlations({"A": bars(prices[:60]), "B": bars(prices)}) == ()
    assert correlations({"A": bars(prices, 100), "B": bars(prices)}) == ()
    assert correlations({"A": bars(np.full(80, 5.0)), "B": bars(prices)}) == ()
    assert correlations({"A": bars(prices)}) == ()
