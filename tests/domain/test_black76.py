"""Black-76 against published numbers, QuantLib, and what arithmetic demands of it."""

import math

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfcx
from scipy.stats import norm

from domain import black76

RATE = 0.06
WEEK, MONTH = 7 / 365, 30 / 365

forwards = st.floats(1_000, 90_000)
moneyness = st.floats(0.8, 1.25)
volatilities = st.floats(0.06, 1.5)
spans = st.floats(1 / 365, 1.0)


GRID = [
    pytest.param(days / 365, volatility, id=f"{days} days at {volatility:.0%}")
    for days in (1, 7, 30, 91, 365)
    for volatility in (0.08, 0.15, 0.4, 1.2)
]
STRIKES = np.linspace(19_000.0, 30_000.0, 23)


def quantlib_price(forward, strike, years, volatility, is_call):
    kind = ql.Option.Call if is_call else ql.Option.Put
    deviation = volatility * math.sqrt(years)
    return ql.blackFormula(kind, strike, forward, deviation, math.exp(-RATE * years))


def quantlib_greeks(spot, strike, years, volatility, is_call, *, dividend_yield):
    """Delta, gamma, theta a day, vega a point, rho a percentage point."""
    forward = spot * math.exp((RATE - dividend_yield) * years)
    judge = ql.BlackCalculator(
        ql.PlainVanillaPayoff(ql.Option.Call if is_call else ql.Option.Put, strike),
        forward,
        volatility * math.sqrt(years),
        math.exp(-RATE * years),
    )
    return (
        judge.delta(spot),
        judge.gamma(spot),
        judge.theta(spot, years) / 365,
        judge.vega(years) / 100,
        judge.rho(years) / 100,
    )


def test_a_week_call_at_the_money_has_the_specified_volatility_and_greeks():
    forward = black76.forward_of(24_000, WEEK, rate=RATE)
    implied = black76.implied_volatility(200, forward, 24_000, years=WEEK, rate=RATE, is_call=True)
    greeks = black76.greeks(forward, 24_000, WEEK, volatility=implied, rate=RATE, is_call=True)
    assert float(implied) == pytest.approx(0.14027, abs=5e-6)
    assert greeks.delta == pytest.approx(0.5275, abs=5e-5)
    assert greeks.gamma == pytest.approx(0.000854, abs=5e-7)
    assert greeks.theta == pytest.approx(-15.30, abs=5e-3)
    assert greeks.vega == pytest.approx(13.23, abs=5e-3)


def test_a_month_put_below_the_money_has_the_specified_volatility_and_delta():
    forward = black76.forward_of(24_000, MONTH, rate=RATE)
    implied = black76.implied_volatility(
        250, forward, 23_800, years=MONTH, rate=RATE, is_call=False
    )
    greeks = black76.greeks(forward, 23_800, MONTH, volatility=implied, rate=RATE, is_call=False)
    assert float(implied) == pytest.approx(0.14234, abs=5e-6)
    assert greeks.delta == pytest.approx(-0.3646, abs=5e-5)


@given(forwards, moneyness, spans, volatilities, st.booleans())
def test_prices_agree_with_quantlib(forward, ratio, years, volatility, is_call):
    strike = forward * ratio
    ours = black76.price(forward, strike, years, volatility=volatility, rate=RATE, is_call=is_call)
    theirs = quantlib_price(forward, strike, years, volatility, is_call)
    assert float(ours) == pytest.approx(theirs, rel=1e-9, abs=1e-9 * forward)


@given(forwards, moneyness, spans, volatilities)
def test_a_call_less_a_put_is_the_discounted_forward_less_strike(forward, ratio, years, volatility):
    strike = forward * ratio
    call, put = black76.price(
        forward, strike, years, volatility=volatility, rate=RATE, is_call=[True, False]
    )
    parity = math.exp(-RATE * years) * (forward - strike)
    assert call - put == pytest.approx(parity, abs=1e-9 * forward)


@given(forwards, moneyness, spans, volatilities, st.booleans())
def test_implied_volatility_gives_back_the_price_it_was_taken_from(
    forward, ratio, years, volatility, is_call
):
    strike = forward * ratio
    terms = {"rate": RATE, "is_call": is_call}
    asked = black76.price(forward, strike, years, volatility=volatility, **terms)
    implied = black76.implied_volatility(asked, forward, strike, years=years, **terms)
    if np.isnan(implied):
        intrinsic = black76.price(forward, strike, years, volatility=0.005, **terms)
        assert float(asked - intrinsic) < 1e-6 * forward
    else:
        again = black76.price(forward, strike, years, volatility=implied, **terms)
        assert float(again) == pytest.approx(float(asked), abs=1e-9 * forward)


@pytest.mark.parametrize("is_call", [True, False], ids=["calls", "puts"])
@pytest.mark.parametrize(("years", "volatility"), GRID)
def test_implied_volatility_agrees_with_quantlib(years, volatility, is_call):
    strikes = 24_000 * np.exp(np.linspace(-2.5, 2.5, 21) * volatility * math.sqrt(years))
    asked = [quantlib_price(24_000, k, years, volatility, is_call) for k in strikes]
    implied = black76.implied_volatility(
        asked, 24_000, strikes, years=years, rate=RATE, is_call=is_call
    )
    theirs = [
        ql.blackFormulaImpliedStdDev(
            ql.Option.Call if is_call else ql.Option.Put,
            strike, 24_000.0, premium, math.exp(-RATE * years), 0.0, ql.nullDouble(), 1e-12,
        ) / math.sqrt(years)
        for strike, premium in zip(strikes, asked, strict=True)
    ]  # fmt: skip
    assert implied == pytest.approx(theirs, abs=1e-8)
    assert implied == pytest.approx(volatility, abs=1e-8)


@pytest.mark.parametrize("dividend_yield", [0.0, 0.012])
@pytest.mark.parametrize("is_call", [True, False], ids=["calls", "puts"])
@pytest.mark.parametrize(("years", "volatility"), GRID)
def test_greeks_agree_with_quantlib(years, volatility, is_call, dividend_yield):
    spot = 24_000.0
    ours = black76.greeks(
        black76.forward_of(spot, years, rate=RATE, dividend_yield=dividend_yield),
        STRIKES,
        years,
        volatility=volatility,
        rate=RATE,
        is_call=is_call,
        dividend_yield=dividend_yield,
    )
    theirs = np.array(
        [
            quantlib_greeks(spot, k, years, volatility, is_call, dividend_yield=dividend_yield)
            for k in STRIKES.tolist()
        ]
    )
    columns = (ours.delta, ours.gamma, ours.theta, ours.vega, ours.rho)
    for name, column, judged in zip(
        ("delta", "gamma", "theta", "vega", "rho"), columns, theirs.T, strict=True
    ):
        assert column == pytest.approx(judged, rel=1e-9, abs=1e-12), name


def test_a_deep_in_the_money_call_is_solved_from_its_small_time_value():
    premium = quantlib_price(24_000, 21_000, MONTH, 0.25, True)
    implied = black76.implied_volatility(
        premium, 24_000, 21_000, years=MONTH, rate=RATE, is_call=True
    )
    assert float(implied) == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize(
    ("premium", "forward", "strike", "years"),
    [
        (0.0, 24_000, 24_000, WEEK),
        (-5.0, 24_000, 24_000, WEEK),
        (math.nan, 24_000, 24_000, WEEK),
        (200.0, 24_000, 24_000, 0.0),
        (200.0, 24_000, 24_000, -WEEK),
        (200.0, 0.0, 24_000, WEEK),
        (1_000 * math.exp(-RATE * WEEK), 24_000, 23_000, WEEK),  # intrinsic value and no more
        (900.0, 24_000, 23_000, WEEK),  # below intrinsic value
        (24_000.0, 24_000, 24_000, WEEK),  # more than a call at 500 %
    ],
)
def test_a_price_that_no_volatility_explains_has_none(premium, forward, strike, years):
    implied = black76.implied_volatility(
        premium, forward, strike, years=years, rate=RATE, is_call=True
    )
    assert np.isnan(implied)


def test_one_bad_row_leaves_its_neighbours_solved():
    good = quantlib_price(24_000, 24_500, MONTH, 0.2, True)
    implied = black76.implied_volatility(
        [good, math.nan, good], 24_000, 24_500, years=MONTH, rate=RATE, is_call=True
    )
    assert np.isnan(implied).tolist() == [False, True, False]
    assert implied[[0, 2]] == pytest.approx([0.2, 0.2], abs=1e-9)


@given(moneyness, st.floats(7 / 365, 0.5), st.floats(0.1, 0.6), st.booleans())
def test_greeks_are_the_slopes_of_the_price(ratio, years, volatility, is_call):
    spot, strike, yield_ = 24_000.0, 24_000.0 * ratio, 0.012

    def value(spot=spot, years=years, volatility=volatility, rate=RATE):
        forward = black76.forward_of(spot, years, rate=rate, dividend_yield=yield_)
        return float(
            black76.price(forward, strike, years, volatility=volatility, rate=rate, is_call=is_call)
        )

    greeks = black76.greeks(
        black76.forward_of(spot, years, rate=RATE, dividend_yield=yield_),
        strike,
        years,
        volatility=volatility,
        rate=RATE,
        is_call=is_call,
        dividend_yield=yield_,
    )
    up, middle, down = value(spot + 2), value(), value(spot - 2)
    assert greeks.delta == pytest.approx((up - down) / 4, abs=1e-5)
    assert greeks.gamma == pytest.approx((up - 2 * middle + down) / 4, abs=1e-7)
    hour = 1 / 365 / 24
    decay = (value(years=years - hour) - value(years=years + hour)) / 2 * 24
    assert greeks.theta == pytest.approx(decay, abs=2e-3)
    vega = value(volatility=volatility + 5e-4) - value(volatility=volatility - 5e-4)
    assert greeks.vega == pytest.approx(vega * 10, abs=2e-3)
    rho = value(rate=RATE + 5e-4) - value(rate=RATE - 5e-4)
    assert greeks.rho == pytest.approx(rho * 10, abs=2e-3)


def test_at_expiry_an_option_is_its_intrinsic_value_and_has_only_delta():
    terms = {"volatility": 0.2, "rate": RATE, "is_call": [True, True, False]}
    strikes = [23_900, 24_100, 24_100]
    assert black76.price(24_000, strikes, 0.0, **terms).tolist() == [100.0, 0.0, 100.0]
    greeks = black76.greeks(24_000, strikes, 0.0, **terms)
    assert greeks.delta.tolist() == [1.0, 0.0, -1.0]
    for rest in (greeks.gamma, greeks.theta, greeks.vega, greeks.rho):
        assert not rest.any()


def test_an_unknown_volatility_gives_unknown_greeks_not_zeros():
    greeks = black76.greeks(24_000, 24_000, WEEK, volatility=math.nan, rate=RATE, is_call=True)
    assert all(
        np.isnan(column)
        for column in (greeks.delta, greeks.gamma, greeks.theta, greeks.vega, greeks.rho)
    )


def test_the_normal_distribution_agrees_with_scipy_into_its_tails():
    points = np.linspace(-8.0, 8.0, 4_001)
    assert black76.normal_cdf(points) == pytest.approx(norm.cdf(points), rel=1e-12)


@pytest.mark.parametrize("days", [0.25, 1, 30, 365, 1_825])
def test_a_volatility_is_exact_from_the_money_to_where_a_price_is_rounding_noise(days):
    """Against prices by the scaled error function of scipy, which cancel nowhere: QuantLib's own
    are off by 1e-5 of themselves six deviations away."""
    years, forward = days / 365, 24_000.0
    volatility, away = np.meshgrid(
        np.geomspace(0.0051, 4.9, 60), np.concatenate([[0.0], np.geomspace(1e-6, 6, 80)])
    )
    deviation = volatility * math.sqrt(years)
    strike = forward * np.exp(away * deviation)
    steep, half = -np.log(strike / forward) / deviation, deviation / 2
    width = erfcx(-(steep + half) / math.sqrt(2)) - erfcx((half - steep) / math.sqrt(2))
    value = np.sqrt(forward * strike) / 2 * np.exp(-(steep**2 + half**2) / 2) * width
    implied = black76.implied_volatility(
        value, forward, strike, years=years, rate=0.0, is_call=True
    )
    told = value > 2e-10 * forward
    assert np.isnan(implied[value < 1e-10 * forward]).all()
    # What roundings of the price move, where years of high volatility hardly change it.
    vega = forward * math.sqrt(years) * norm.pdf(steep + half)
    rounding = 2.0**-52 * value / vega
    assert (np.abs(implied - volatility)[told] <= 1e-11 + 32 * rounding[told]).all()
    assert told.sum() > 2_000


def test_ten_thousand_rows_are_solved_as_each_alone():
    rng = np.random.default_rng(3)
    strike = 24_000 * np.exp(rng.uniform(-0.3, 0.3, 10_000))
    years = rng.uniform(1, 400, 10_000) / 365
    premium = black76.price(24_000, strike, years, volatility=0.2, rate=RATE, is_call=True)
    together = black76.implied_volatility(
        premium, 24_000, strike, years=years, rate=RATE, is_call=True
    )
    for row in range(0, 10_000, 997):
        alone = black76.implied_volatility(
            premium[row], 24_000, strike[row], years=years[row], rate=RATE, is_call=True
        )
        assert np.array_equal(alone, together[row], equal_nan=True)


@given(moneyness, spans, st.floats(0.0, 1.2))
def test_a_dearer_option_never_has_a_lower_volatility(ratio, years, share):
    strike = 24_000 * ratio
    least = max(24_000 - strike, 0.0)
    premium = least + (24_000 - least) * share * np.linspace(0.5, 1.0, 40)
    implied = black76.implied_volatility(
        premium, 24_000, strike, years=years, rate=0.0, is_call=True
    )
    told = implied[~np.isnan(implied)]
    assert (np.diff(told) >= 0).all()
    assert ((told >= 0.005) & (told <= 5.0)).all()
