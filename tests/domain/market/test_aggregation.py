"""Fifteen-minute and daily bars from closed minutes."""

from __future__ import annotations

from datetime import date, datetime, time

import numpy as np
import pytest

from domain.calendar import TradingSession
from domain.clock import EXCHANGE_ZONE, epoch_ns, seconds
from domain.market.aggregation import combine, day_ended, quarters_ended
from domain.prices import BAR_DTYPE

DAY = date(2026, 8, 4)


def at(hour: int, minute: int, second: float = 0.0) -> int:
    return epoch_ns(datetime.combine(DAY, time(hour, minute), EXCHANGE_ZONE)) + seconds(second)


SESSION = TradingSession(DAY, at(9, 15), at(15, 40), at(15, 0), at(15, 15))


def test_a_bar_of_minutes_opens_with_the_first_and_closes_with_the_last_per_listing():
    minutes = np.zeros(3, BAR_DTYPE)
    minutes["listing"] = [1, 1, 2]
    minutes["start_ns"] = [at(9, 15), at(9, 29), at(9, 20)]
    minutes["open"], minutes["high"] = [10, 12, 50], [13, 15, 51]
    minutes["low"], minutes["close"] = [9, 8, 49], [12, 14, 50]
    minutes["volume"], minutes["tick_count"] = [100, 50, 0], [5, 6, 7]
    minutes["vwap"], minutes["history"] = [11, 11.5, np.nan], [True, False, True]
    minutes["partial"] = [True, False, False]
    one, two = combine(minutes, at(9, 15))
    assert (one["open"], one["high"], one["low"], one["close"]) == (10, 15, 8, 14)
    assert (one["volume"], one["tick_count"], one["vwap"]) == (150, 11, 11.5)
    assert (bool(one["partial"]), bool(one["history"])) == (True, False)
    assert (two["start_ns"], bool(two["history"])) == (at(9, 15), True)


@pytest.mark.parametrize(
    ("from_ns", "before_ns", "expected"),
    [
        (at(9, 29), at(9, 30), [at(9, 15)]),
        (at(9, 30), at(9, 31), []),
        (at(9, 15), at(10, 0), [at(9, 15), at(9, 30), at(9, 45)]),
        (at(15, 39), at(15, 40), [at(15, 30)]),
        (at(15, 40), at(15, 41), []),
    ],
)
def test_a_quarter_ends_with_its_last_minute_and_the_last_one_with_the_session(
    from_ns, before_ns, expected
):
    assert quarters_ended(from_ns, before_ns, SESSION) == expected


def test_the_day_ends_once():
    assert not day_ended(at(15, 38), at(15, 39), SESSION)
    assert day_ended(at(15, 39), at(15, 40), SESSION)
    assert not day_ended(at(15, 40), at(15, 41), SESSION)
