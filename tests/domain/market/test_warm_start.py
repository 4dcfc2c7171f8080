"""What a warm start takes from the store, what from a broker, and what it leaves to the ticks."""

from __future__ import annotations

from datetime import date, datetime, time

import numpy as np
import pytest

from domain.brokers import HistoryBar
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, epoch_ns
from domain.market.warm_start import (
    DAYS,
    ask_order,
    from_history,
    is_enough,
    join,
    no_finer_than,
    windows_of,
)
from domain.prices import BAR_DTYPE

MINUTES, QUARTERS, DAILY = windows_of(3, 2)


def at(hour: int, minute: int, day: int = 20) -> int:
    return epoch_ns(datetime.combine(date(2026, 11, day), time(hour, minute), EXCHANGE_ZONE))


def bars(*rows) -> np.ndarray:
    """Rows of (start, close[, partial])."""
    made = np.zeros(len(rows), BAR_DTYPE)
    for bar, row in zip(made, rows, strict=True):
        bar["start_ns"], bar["close"] = row[:2]
        bar["partial"] = row[2] if len(row) > 2 else False
    return made


@pytest.mark.parametrize(
    ("interval", "asked"),
    [("1m", "1m 15m 1D"), ("3m", "15m 1D"), ("15m", "15m 1D"), ("30m", "1D"), ("D", "1D")],
)
def test_history_is_asked_no_finer_than_the_setting_says(interval, asked):
    windows = no_finer_than((MINUTES, QUARTERS, DAILY), interval)
    assert " ".join(window.timeframe for window in windows) == asked


def test_the_windows_hold_enough_for_the_regime_and_for_volatility():
    assert (MINUTES.bars, QUARTERS.bars, DAILY.bars) == (3, 200, 260)
    assert QUARTERS.lookback_days >= 200 / 25 * 7 / 5
    assert DAILY.lookback_days >= 260 * 7 / 5


@pytest.mark.parametrize("column", range(4))
def test_a_candle_with_a_price_of_zero_is_dropped(column):
    prices = [10.0, 11.0, 9.0, 10.0]
    prices[column] = 0.0
    rows = [HistoryBar(at(10, 0), *prices, 5), HistoryBar(at(10, 1), 10, 11, 9, 10.5, 7)]
    made = from_history(rows, 42, MINUTES)
    assert made[["listing", "start_ns", "close", "volume"]].tolist() == [(42, at(10, 1), 10.5, 7)]
    assert made["history"].all()


def test_a_daily_candle_starts_at_midnight_of_the_exchange():
    rows = [HistoryBar(at(9, 15), 10, 11, 9, 10, 5)]
    assert from_history(rows, 1, DAILY)["start_ns"].tolist() == [at(0, 0)]
    assert DAILY.timeframe == DAYS


def test_stored_bars_are_enough_when_they_fill_the_window_up_to_now():
    stored = bars(*[(at(10, minute), 1.0) for minute in (0, 1, 2)])
    assert is_enough(stored, MINUTES, at(10, 4))
    assert not is_enough(stored, MINUTES, at(10, 4) + 1)
    assert not is_enough(stored[1:], MINUTES, at(10, 3))


def test_a_stored_bar_that_was_not_heard_whole_is_not_enough():
    stored = bars((at(10, 0), 1.0), (at(10, 1), 1.0, True), (at(10, 2), 1.0))
    assert not is_enough(stored, MINUTES, at(10, 4))


def test_the_canonical_feed_is_asked_first_and_who_just_failed_only_when_all_did():
    sequence, now_ns = ("alpha", "beta", "gamma"), at(10, 0)
    assert ask_order("beta", sequence, {}, now_ns) == ("beta", "alpha", "gamma")
    assert ask_order("beta", sequence, {"beta": now_ns + 1}, now_ns) == ("alpha", "gamma")
    assert ask_order("beta", sequence, {"beta": now_ns}, now_ns)[0] == "beta"
    all_cool = dict.fromkeys(sequence, now_ns + 1)
    assert ask_order("beta", sequence, all_cool, now_ns) == ("beta", "alpha", "gamma")


def test_joined_bars_ascend_end_before_now_and_are_the_newest_of_the_window():
    stored, told = bars((at(10, 1), 1.0)), bars(*[(at(10, m), 2.0) for m in (4, 0, 3, 2)])
    joined = join(stored, told, MINUTES, at(10, 4) + NS_PER_MINUTE // 2)
    assert joined[["start_ns", "close"]].tolist() == [
        (at(10, 1), 1.0), (at(10, 2), 2.0), (at(10, 3), 2.0)
    ]  # fmt: skip


def test_a_whole_stored_bar_stays_and_a_partial_one_gives_way():
    stored = bars((at(10, 0), 1.0), (at(10, 1), 1.0, True))
    told = bars((at(10, 0), 2.0), (at(10, 1), 2.0))
    assert join(stored, told, MINUTES, at(11, 0))["close"].tolist() == [1.0, 2.0]
