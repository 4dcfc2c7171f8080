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
SOLVER_STEPS_MAX = 60  # bisection alone would settle 1e-15 of the bracket within these
_SQRT_2 = float(np.sqrt(2.0))
_SQRT_2PI = float(np.sqrt(2.0 * np.pi))

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969):
# erf on |x| <= 0.46875, erfc on 0.46875..4, erfc above 4; highest power first.
_ERF_NUMERATOR = (
    1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2,
    3.20937758913846947e3,
)  # fmt: skip
_ERF_DENOMINATOR = (
    1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3,
)  # fmt: skip
_MIDDLE_NUMERATOR = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
    2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
    1.23033935479799725e3,
)  # fmt: skip
_MIDDLE_DENOMINATOR = (
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)  # fmt: skip
_TAIL_NUMERATOR = (
    1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
    1.60837851487422766e-2, 6.58749161529837803e-4,
)  # fmt: skip
_TAIL_DENOMINATOR = (
    1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1,
    6.05183413124413191e-2, 2.33520497626869185e-3,
)  # fmt: skip


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
    parity), on the logarithm of its price; Newton steps that leave the bracket become bisections.
    """
    premium, forward, strike, years, rate, is_call = _columns(
        price, forward, strike, years, rate, is_call
    )
    solved = np.full(premium.shape, np.nan)
    usable = (premium > 0) & (forward > 0) & (strike > 0) & (years > 0) & np.isfinite(rate)
    premium, forward, strike, years, rate, is_call = (
        column[usable] for column in (premium, forward, strike, years, rate, is_call)
    )
    intrinsic = np.maximum(np.where(is_call > 0, forward - strike, strike - forward), 0.0)
    target = premium * np.exp(rate * years) - intrinsic
    out_of_money = np.where(strike >= forward, 1.0, -1.0)
    market = _Market(forward, strike, np.sqrt(years), out_of_money)
    answerable = (
        (target > TIME_VALUE_MIN * forward)
        & (target >= market.value(np.full(target.shape, VOLATILITY_MIN)))
        & (target <= market.value(np.full(target.shape, VOLATILITY_MAX)))
    )
    roots = np.full(target.shape, np.nan)
    roots[answerable] = _solve(target[answerable], market.rows(answerable))
    solved[usable] = roots
    return solved


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
    """Standard normal distribution function, to about 1e-15, tails included."""
    return 0.5 * _erfc(-np.asarray(x, dtype=np.float64) / _SQRT_2)


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


@dataclass(frozen=True, slots=True)
class _Market:
    """What stays fixed while a volatility is looked for; columns of one length."""

    forward: Floats
    strike: Floats
    root_years: Floats
    sign: Floats

    def value(self, volatility: Floats) -> Floats:
        deviation = volatility * self.root_years
        return _undiscounted(self.forward, self.strike, deviation, sign=self.sign)

    def slope(self, volatility: Floats) -> Floats:
        d1, _d2 = _d1_d2(self.forward, self.strike, volatility * self.root_years)
        return self.forward * self.root_years * np.exp(-0.5 * d1 * d1) / _SQRT_2PI

    def rows(self, chosen: npt.NDArray[np.bool_]) -> _Market:
        columns = (self.forward, self.strike, self.root_years, self.sign)
        return _Market(*(column[chosen] for column in columns))


def _solve(target: Floats, market: _Market) -> Floats:
    """Safeguarded Newton on log price, all rows at once, from the point of inflexion."""
    low = np.full(target.shape, VOLATILITY_MIN)
    high = np.full(target.shape, VOLATILITY_MAX)
    log_distance = np.abs(np.log(market.forward / market.strike))
    inflexion = np.sqrt(2.0 * log_distance) / market.root_years
    at_the_money = target * _SQRT_2PI / (market.forward * market.root_years)
    volatility = np.clip(np.maximum(inflexion, at_the_money), VOLATILITY_MIN, VOLATILITY_MAX)
    for _ in range(SOLVER_STEPS_MAX):
        value = np.maximum(market.value(volatility), 1e-300)
        too_high = value > target
        high, low = np.where(too_high, volatility, high), np.where(too_high, low, volatility)
        slope = np.maximum(market.slope(volatility), 1e-300)
        following = volatility - np.log(value / target) * value / slope
        inside = (following >= low) & (following <= high)
        following = np.where(inside, following, (low + high) / 2)
        settled = np.abs(following - volatility) <= 1e-13 * volatility
        volatility = following
        if settled.all():
            break
    return volatility


def _erfc(x: Floats) -> Floats:
    size = np.abs(x)
    square = size * size
    near = 1.0 - size * _ratio(_ERF_NUMERATOR, _ERF_DENOMINATOR, np.minimum(square, 0.25))
    tail = np.exp(-square)
    middle_size = np.clip(size, 0.46875, 4.0)
    middle = tail * _ratio(_MIDDLE_NUMERATOR, _MIDDLE_DENOMINATOR, middle_size)
    far_size = np.maximum(size, 4.0)
    inverse = 1.0 / (far_size * far_size)
    series = inverse * _ratio(_TAIL_NUMERATOR, _TAIL_DENOMINATOR, inverse)
    far = tail / far_size * (1.0 / np.sqrt(np.pi) - series)
    upper = np.where(size <= 0.46875, near, np.where(size <= 4.0, middle, far))
    return np.where(x < 0, 2.0 - upper, upper)


def _ratio(numerator: tuple[float, ...], denominator: tuple[float, ...], x: Floats) -> Floats:
    return np.polyval(numerator, x) / np.polyval(denominator, x)
