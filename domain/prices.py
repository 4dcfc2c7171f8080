"""Ticks, bars and chains as columns, and the one function that turns an analytic number into a
price.

A tick is never an object: a batch of them is one numpy structured array whose `listing` is the
listing_id of domain.instruments. Missing numbers are NaN (floats) or -1 (integers), never 0.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

import numpy as np

TICK_DTYPE = np.dtype(
    [
        ("listing", "<u4"),
        ("mode", "u1"),  # 1 LTP, 2 quote, 3 depth
        ("ts_ns", "<i8"),  # the exchange's time
        ("received_ns", "<i8"),  # our wall clock at the socket
        ("ltp", "<f8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("bid_quantity", "<i8"),
        ("ask_quantity", "<i8"),
        ("volume", "<i8"),  # cumulative of the day, -1 when absent
        ("open_interest", "<i8"),  # -1 when absent
        ("iv", "<f8"),  # decimal a year (0.18), NaN when the source gives none
    ]
)

BAR_DTYPE = np.dtype(
    [
        ("listing", "<u4"),
        ("start_ns", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<i8"),
        ("vwap", "<f8"),  # of the session so far; NaN while no volume
        ("tick_count", "<i4"),
        ("partial", "?"),
        ("history", "?"),  # from history, not from ticks
    ]
)

CHAIN_DTYPE = np.dtype(
    [
        ("listing", "<u4"),
        ("strike", "<f8"),
        ("is_call", "?"),
        ("ltp", "<f8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("volume", "<i8"),
        ("open_interest", "<i8"),
        ("ts_ns", "<i8"),  # when the last price was true by its source; 0 when never seen
        ("iv", "<f8"),
        ("delta", "<f8"),
        ("gamma", "<f8"),
        ("theta", "<f8"),  # per calendar day
        ("vega", "<f8"),  # per 1 volatility point
    ]
)

MODE_LTP, MODE_QUOTE, MODE_DEPTH = 1, 2, 3


def to_price(value: float | Decimal, tick_size: Decimal, towards: str = "nearest") -> Decimal:
    """The only door from an analytic number to an order's price: rounded to the tick size.

    `towards` is nearest, down or up. Raises ValueError for NaN, infinity or a tick size of 0 or
    less.
    """
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    if not exact.is_finite() or tick_size <= 0:
        raise ValueError(f"price {value} with tick size {tick_size} cannot be rounded")
    mode = {"nearest": ROUND_HALF_UP, "down": ROUND_FLOOR, "up": ROUND_CEILING}[towards]
    return (exact / tick_size).quantize(Decimal(1), rounding=mode) * tick_size


def money(value: float | str | Decimal) -> Decimal:
    """Rupees to the paisa."""
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
