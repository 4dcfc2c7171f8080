"""Black-76 on arrays: price, implied volatility, greeks; and the forward of a spot.

Every argument may be a number or an array, and they broadcast. Years are calendar years (days /
365), volatilities and rates are decimals a year (0.14 is 14 %). NaN in is NaN out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.ArrayLike
Floats = npt.NDArray[np.float64]

DAYS_A_YEAR = 365.0
VOLATILITY_MIN, VOLATILITY_MAX = 0.005, 5.0  # the bracket of `tomic.md` 8.5
# Below this share of the forward a time value is rounding noise of the price it was taken from.
TIME_VALUE_MIN = 1e-10
_SQRT_2 = float(np.sqrt(2.0))
_SQRT_2PI = float(np.sqrt(2.0 * np.pi))

# (1 + 2 x) exp(x^2) erfc(x) as a polynomial in t = (x - 3.75) / (x + 3.75), which is smooth over
# the whole half line: the form of M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation of
# (1 + 2x) exp(x^2) erfc x in 0 <= x < inf", Math. Comp. 36 (1981). Made anew from 100 Chebyshev
# nodes in 140 digits; highest power first; relative error under 4e-15.
_CENTRE = 3.75
_FAR = 1e8  # from there on t is 1
_SCALED_ERFC = (
    1.7618294805288315e-08, 8.36618710309267e-09, -2.1472107619047173e-07, -2.6987545425072315e-08,
    1.6970698925433685e-06, -1.0098746861331167e-06, -1.1401240280974887e-05,
    2.2411701847886438e-05, 5.1627289376483535e-05, -0.00029016740175393354, 0.00029372077318953407,
    0.0017556299484846251, -0.009746580989505274, 0.028362276654914212, -0.05869339842443026,
    0.09230432123945212, -0.10880393015118994, 0.0822767384863489, 0.0035854154856586606,
    -0.14024059858549204, 1.2375126308378273,
)  # fmt: skip
# w (1 + a w) / (1 + b w + c w^1.5) fits the inverse of the normal model's out-of-the-money price
# phi(y) / y - N(-y) within 1.3 % for y up to 7.5, w = log(1 + 1 / (sqrt(2 pi) price)).
_INVERSE_NORMAL = (3.8763391, 4.12208105, 2.30821873)
# S. Winitzki's error function, "A handy approximation for the error function and its inverse"
# (2008).
_WINITZKI = 0.147
_STEPS = 4  # each has an error of the fourth order: two settle all but 500 % over years


@dataclass(frozen=True, slots=True)
class Greeks:
    """Sensitivities of one unit, arrays of the broadcast shape.

    `delta` and `gamma` are to the spot, `theta` is rupees per calendar day, `vega` rupees per 1
    volatility point, `rho` rupees per 1 percentage point of rate.
    """

    delta: Floats
    gamma: Floats
    theta: Floats
    vega: Floats
    rho: Floats


def forward_of(
    spot: Numbers, years: Numbers, *, rate: Numbers, dividend_yield: Numbers = 0.0
) -> Floats:
    """The price agreed today for delivery in `years`: spot x exp((rate - dividend) x years)."""
    carry = np.subtract(rate, dividend_yield)
    return np.asarray(np.multiply(spot, np.exp(np.multiply(carry, years))))


def price(
    forward: Numbers,
    strike: Numbers,
    years: Numbers,
    *,
    volatility: Numbers,
    rate: Numbers,
    is_call: npt.ArrayLike,
) -> Floats:
    """Price of a European option; without time or volatility its discounted intrinsic value."""
    forward, strike, years, volatility, rate, is_call = _columns(
        forward, strike, years, volatility, rate, is_call
    )
    sign = np.where(is_call > 0, 1.0, -1.0)
    deviation = volatility * np.sqrt(np.maximum(years, 0.0))
    return np.exp(-rate * years) * _undiscounted(forward, strike, deviation, sign=sign)


def implied_volatility(
    price: Numbers,
    forward: Numbers,
    strike: Numbers,
    *,
    years: Numbers,
    rate: Numbers,
    is_call: npt.ArrayLike,
) -> Floats:
    """The volatility at which `price` is the Black-76 price, within 0.5 % .. 500 %.

    NaN where there is none: no time value, no time, a price no volatility in the bracket gives.
    An in-the-money option is solved as the out-of-the-money one on the same strike (put-call
    parity). All rows take the same few steps; none is walked alone.
    """
    premium, forward, strike, years, rate, is_call = _columns(
        price, forward, strike, years, rate, is_call
    )
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        sign = np.where(is_call > 0, 1.0, -1.0)
        intrinsic = np.maximum(sign * (forward - strike), 0.0)
        time_value = premium * np.exp(rate * years) - intrinsic
        scaled = time_value / np.sqrt(forward * strike)
        moneyness = -np.abs(np.log(forward / strike))
        answerable = (premium > 0) & (forward > 0) & (strike > 0) & (years > 0)
        answerable &= (time_value > TIME_VALUE_MIN * forward) & (scaled < np.exp(0.5 * moneyness))
        solved = np.full(premium.shape, np.nan)
        deviation = _deviation(scaled[answerable], moneyness[answerable])
        solved[answerable] = deviation / np.sqrt(years[answerable])
    # What was priced at an edge of the bracket may come back a rounding beyond it.
    solved = np.where(np.abs(solved - VOLATILITY_MAX) < 1e-9, VOLATILITY_MAX, solved)
    solved = np.where(np.abs(solved - VOLATILITY_MIN) < 1e-9, VOLATILITY_MIN, solved)
    inside = (solved >= VOLATILITY_MIN) & (solved <= VOLATILITY_MAX)
    return np.where(inside, solved, np.nan)


def greeks(
    forward: Numbers,
    strike: Numbers,
    years: Numbers,
    *,
    volatility: Numbers,
    rate: Numbers,
    is_call: npt.ArrayLike,
    dividend_yield: Numbers = 0.0,
) -> Greeks:
    """Greeks as Black-Scholes gives them for the spot behind `forward` (`tomic.md` 8.5).

    With no time or no volatility left an option is its intrinsic value: delta is that of the
    underlying or 0, everything else 0.
    """
    forward, strike, years, volatility, rate, is_call, dividend_yield = _columns(
        forward, strike, years, volatility, rate, is_call, dividend_yield
    )
    years = np.maximum(years, 0.0)
    sign = np.where(is_call > 0, 1.0, -1.0)
    deviation = volatility * np.sqrt(years)
    alive = ~(deviation <= 0)  # NaN counts as alive, so that it stays NaN
    d1, d2 = _d1_d2(forward, strike, deviation)
    discount, growth = np.exp(-rate * years), np.exp(-dividend_yield * years)
    spot = forward * discount / growth
    carried = forward * discount  # the spot less the dividends that a holder of the option misses
    density = np.where(alive, np.exp(-0.5 * d1 * d1) / _SQRT_2PI, 0.0)
    in_underlying = sign * normal_cdf(sign * d1)
    in_money = sign * strike * discount * normal_cdf(sign * d2)
    safe_deviation = np.where(alive, deviation, 1.0)
    decay = carried * density * volatility / (2.0 * np.sqrt(np.where(alive, years, 1.0)))
    earned = dividend_yield * carried * in_underlying - rate * in_money
    return Greeks(
        delta=growth * in_underlying,
        gamma=carried * density / (spot * spot * safe_deviation),
        theta=np.where(alive, earned - decay, 0.0) / DAYS_A_YEAR,
        vega=carried * density * np.sqrt(years) / 100.0,
        rho=np.where(alive, years * in_money, 0.0) / 100.0,
    )


def normal_cdf(x: Numbers) -> Floats:
    """Standard normal distribution function, to about 1e-14, tails included."""
    x = np.asarray(x, dtype=np.float64)
    size = np.minimum(np.abs(x) / _SQRT_2, _FAR)
    tail = 0.5 * _scaled_erfc(size) * np.exp(-size * size)
    return np.asarray(np.where(x > 0, 1.0 - tail, tail))


def _columns(*values: npt.ArrayLike) -> tuple[Floats, ...]:
    return tuple(np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values)))


def _d1_d2(forward: Floats, strike: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """d1 and d2; with no deviation they are infinite towards the side the forward is on."""
    moneyness = np.log(forward / strike)
    some = ~(deviation <= 0)
    scaled = moneyness / np.where(some, deviation, 1.0)
    centre = np.where(some, scaled, np.where(moneyness == 0, 0.0, np.copysign(np.inf, moneyness)))
    half = np.where(some, 0.5 * deviation, 0.0)
    return centre + half, centre - half


def _undiscounted(forward: Floats, strike: Floats, deviation: Floats, *, sign: Floats) -> Floats:
    d1, d2 = _d1_d2(forward, strike, deviation)
    value = sign * (forward * normal_cdf(sign * d1) - strike * normal_cdf(sign * d2))
    return np.maximum(value, 0.0)


def _deviation(scaled: Floats, moneyness: Floats) -> Floats:
    """Volatility times root of time, of out-of-the-money prices by sqrt(forward x strike).

    `moneyness` is -|log(forward / strike)|, below 0 or 0. The price and its slopes are those of
    P. Jaeckel, "Let's be rational" (2015), by the scaled complementary error function, so that
    nothing cancels in the wings; each step is Householder's of the third order on the logarithm of
    the price.
    """
    deviation = _first_guess(scaled, moneyness)
    target = np.log(scaled)
    for _ in range(_STEPS):
        steep = moneyness / deviation
        half = 0.5 * deviation
        above, below = steep + half, half - steep
        upper = _scaled_erfc(np.abs(above) / _SQRT_2)
        upper = np.where(above > 0, 2.0 * np.exp(0.5 * above * above) - upper, upper)
        width = upper - _scaled_erfc(below / _SQRT_2)
        distance = target - np.log(0.5 * width) + 0.5 * (steep * steep + half * half)
        ratio = 0.5 * _SQRT_2PI * width  # of the price to its slope
        slope = 1.0 / ratio
        bend = steep * steep / deviation
        second = bend - 0.5 * half
        third = second * second - 3.0 * bend / deviation - 0.25
        third += slope * (2.0 * slope - 3.0 * second)
        second -= slope
        newton = distance * ratio
        deviation = deviation + newton * (1.0 + 0.5 * second * newton) / (
            1.0 + newton * (second + third * newton / 6.0)
        )
    return deviation


def _first_guess(scaled: Floats, moneyness: Floats) -> Floats:
    """Within 15 %: below the price's point of inflexion the normal model's answer, above it an
    error function through that point, with its slope there and the same limit."""
    root = np.sqrt(-moneyness)
    limit = np.exp(0.5 * moneyness)
    turn = 0.5 * limit * (1.0 - _scaled_erfc(root))
    room = limit - turn
    share = np.clip((scaled - turn) / room, 0.0, 1.0)
    logarithm = np.log((1.0 - share) * (1.0 + share))
    middle = 2.0 / (np.pi * _WINITZKI) + 0.5 * logarithm
    inverse = np.sqrt(np.sqrt(middle * middle - logarithm / _WINITZKI) - middle)
    above = _SQRT_2 * (root + 2.0 * inverse * room / limit)
    a, b, c = _INVERSE_NORMAL
    w = np.log1p(-moneyness / (_SQRT_2PI * scaled))
    below = -moneyness * (1.0 + w * (b + c * np.sqrt(w))) / (w * (1.0 + a * w))
    return np.where(scaled < turn, below, above)


def _scaled_erfc(x: Floats) -> Floats:
    """exp(x^2) erfc(x) for x >= 0."""
    total = x + _CENTRE
    t = (x - _CENTRE) / total
    value = np.full_like(t, _SCALED_ERFC[0])
    for coefficient in _SCALED_ERFC[1:]:
        value *= t
        value += coefficient
    value /= 1.0 + 2.0 * x
    return value
