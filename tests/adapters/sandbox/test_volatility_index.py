"""The volatility index against an integral done another way, and its edges."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from adapters.sandbox.volatility_index import (
    ChainPrices,
    fill_gaps,
    model_free_variance,
    natural_spline,
    parity_forward,
    volatility_index,
)
from domain import black76
from domain.clock import NS_PER_MINUTE

DAY_NS = 24 * 60 * NS_PER_MINUTE
NOW_NS = 20_000 * DAY_NS
RATE = 0.06
STRIKES = np.arange(18_000.0, 30_001.0, 50.0)


def chain(days, volatility, strikes=STRIKES, spot=24_020.0):
    years = days / 365
    forward = black76.forward_of(spot, years, rate=RATE)
    calls, puts = (
        black76.price(forward, strikes, years, volatility=volatility, rate=RATE, is_call=is_call)
        for is_call in (True, False)
    )
    return ChainPrices(NOW_NS + days * DAY_NS, strikes.copy(), calls, puts)


def test_a_flat_smile_gives_back_its_own_volatility():
    found = volatility_index([chain(23, 0.15), chain(37, 0.15)], NOW_NS, rate=RATE)
    assert found == pytest.approx(15.0, abs=0.02)


def test_total_variance_is_interpolated_to_30_days():
    """(20 x 0.12^2 + (30 - 20) / (40 - 20) x (40 x 0.2^2 - 20 x 0.12^2)) / 30 = 0.157607^2."""
    found = volatility_index([chain(20, 0.12), chain(40, 0.20)], NOW_NS, rate=RATE)
    total = 20 * 0.12**2 + 10 / 20 * (40 * 0.2**2 - 20 * 0.12**2)
    assert found == pytest.approx(100 * np.sqrt(total / 30), abs=0.03)


def test_the_two_expiries_around_30_days_are_chosen_of_many():
    chains = [chain(9, 0.5), chain(24, 0.15), chain(38, 0.15), chain(66, 0.5)]
    assert volatility_index(chains, NOW_NS, rate=RATE) == pytest.approx(15.0, abs=0.02)


def test_with_all_expiries_short_the_last_two_are_extended():
    chains = [chain(6, 0.4), chain(13, 0.15), chain(20, 0.15)]
    assert volatility_index(chains, NOW_NS, rate=RATE) == pytest.approx(15.0, abs=0.03)


def test_an_expiry_of_the_last_three_days_is_left_out():
    assert volatility_index([chain(2, 0.9), chain(37, 0.15)], NOW_NS, rate=RATE) is None


def test_a_chain_that_tells_nothing_gives_way_to_the_next():
    empty = chain(25, 0.15)
    blank = np.full(len(STRIKES), np.nan)
    empty = ChainPrices(empty.expires_ns, empty.strikes, blank, blank)
    found = volatility_index([chain(18, 0.15), empty, chain(39, 0.15)], NOW_NS, rate=RATE)
    assert found == pytest.approx(15.0, abs=0.02)
    assert volatility_index([empty], NOW_NS, rate=RATE) is None
    assert volatility_index([], NOW_NS, rate=RATE) is None


def test_missing_strikes_are_filled_and_change_little():
    whole, holed = chain(30, 0.15), chain(30, 0.15)
    holed.calls[STRIKES == 24_500] = np.nan
    holed.puts[STRIKES == 23_300] = 0.0
    years = 30 / 365
    assert model_free_variance(holed, years, rate=RATE) == pytest.approx(
        model_free_variance(whole, years, rate=RATE), rel=1e-4
    )


def test_too_few_strikes_tell_nothing():
    few = chain(30, 0.15, strikes=np.array([23_950.0, 24_000.0, 24_050.0, 24_100.0]))
    assert model_free_variance(few, 30 / 365, rate=RATE) is None


def test_the_forward_is_that_of_parity():
    years = 30 / 365
    expected = float(black76.forward_of(24_020.0, years, rate=RATE))
    assert parity_forward(chain(30, 0.15), years, rate=RATE) == pytest.approx(expected, abs=1e-6)


def test_the_spline_is_the_natural_one():
    x = np.array([0.0, 1.0, 2.5, 3.0, 5.0])
    y = np.array([1.0, 3.0, 2.0, 2.5, -1.0])
    at = np.linspace(0.0, 5.0, 41)
    expected = CubicSpline(x, y, bc_type="natural")(at)
    assert natural_spline(x, y, at) == pytest.approx(expected, abs=1e-12)


def test_a_filled_price_is_never_negative():
    strikes = np.arange(1.0, 8.0)
    values = np.array([400.0, 90.0, np.nan, 0.05, np.nan, 0.05, 0.05])
    filled = fill_gaps(strikes, values)
    assert np.all(filled > 0)
    assert filled[[0, 1, 3, 5, 6]].tolist() == [400.0, 90.0, 0.05, 0.05, 0.05]
