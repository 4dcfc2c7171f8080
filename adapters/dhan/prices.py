"""Prices that come as floats, as the decimals they were before (`broker_protocols.md` 0.4). Pure.

A float32 holds 24350.35 as 24350.349609375. What was meant is the shortest decimal that becomes the
same float again. Nearly every price has two decimals, so those are tried at once, exactly: a
float32 times a power of ten up to 10^12 is exact in float64 (24 + 28 bits).
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from adapters.packets import ABSENT

USUAL_DECIMALS = 2
DECIMALS_MAX = 10
# Below it neighbours of a float32 are less than a cent apart by far, so no shorter decimal can
# stand for the same float as two decimals do (half a step is 1/256); 2^17 is 131,072 rupees.
FINE_BELOW = 2.0**17
PRICE_MAX = 1e8  # with DECIMALS_MAX still inside 64 bits


@np.errstate(invalid="ignore", over="ignore")  # a signalling NaN is told by its absence
def scaled(prices: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """(n, k) floats as whole numbers, the divisor of each row, and how many are no price.

    What is not finite, PRICE_MAX or more, or needs more than DECIMALS_MAX decimals is ABSENT.
    """
    whole = usual(prices)
    if whole is not None:
        return whole, np.full(len(prices), 10**USUAL_DECIMALS), 0
    numbers = np.zeros(prices.shape, np.int64)
    decimals = np.full(prices.shape, -1)
    usable = np.abs(prices) < PRICE_MAX  # False for NaN
    fine = usable & (np.abs(prices) < FINE_BELOW)
    pending = fine.copy()
    exact = np.where(usable, prices, 0).astype(np.float64)
    for places in range(USUAL_DECIMALS, DECIMALS_MAX + 1):
        candidate = np.rint(exact * 10.0**places)
        hit = pending & ((candidate / 10.0**places).astype(prices.dtype) == prices)
        numbers[hit], decimals[hit] = candidate[hit].astype(np.int64), places
        pending &= ~hit
    for at in zip(*np.nonzero(usable & ~fine), strict=True):
        numbers[at], decimals[at] = _shortest(prices[at])
    found = decimals >= 0
    places = np.where(found, decimals, 0).max(axis=1).clip(USUAL_DECIMALS)
    shift = np.where(found, places[:, None] - decimals, 0)
    numbers = np.where(found, numbers * 10**shift, ABSENT)
    return numbers, 10**places, int(np.count_nonzero(~found))


@np.errstate(invalid="ignore", over="ignore")
def usual(prices: np.ndarray) -> np.ndarray | None:
    """Hundredths, when every one of these floats is a price of two decimals; else None."""
    hundredths = np.multiply(prices, 100.0, dtype=np.float64)
    np.rint(hundredths, out=hundredths)
    if prices.dtype == np.float32:
        # As exact as the division: no midpoint of two float32 lies so close to n/100 (2^-31).
        same = (hundredths * 0.01).astype(np.float32) == prices
    else:
        same = hundredths / 100.0 == prices
    if same.all() and prices.max(initial=0) < FINE_BELOW and prices.min(initial=0) > -FINE_BELOW:
        return hundredths.astype(np.int64)
    return None


def _shortest(price: np.floating) -> tuple[int, int]:
    """(number, decimals) of the shortest decimal that becomes this float again."""
    text = np.format_float_positional(price, unique=True, trim="-")
    sign, digits, exponent = Decimal(text).as_tuple()
    number = int("".join(map(str, digits)))
    places = max(0, -int(exponent))
    return (-number if sign else number) * 10 ** max(0, int(exponent)), places
