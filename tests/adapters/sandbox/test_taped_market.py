"""The taped market lets out what a run heard, when it heard it, and knows nothing more."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from adapters.sandbox.clocks import SteppedClock
from adapters.sandbox.data_routes import read_bars
from adapters.sandbox.hours import shipped_calendars
from adapters.sandbox.market import Market
from adapters.sandbox.taped import STEP_NS, TapedMarket
from domain.clock import NS_PER_MINUTE, NS_PER_S
from domain.instruments import Kind, Listing
from domain.prices import BAR_DTYPE, TICK_DTYPE
from domain.tape import TapedRun

T0 = 1_787_119_020 * NS_PER_S  # 2026-08-19 11:27 at the exchange
MIDNIGHT = T0 - 11 * 3600 * NS_PER_S - 27 * NS_PER_MINUTE
DAY_NS = 24 * 3600 * NS_PER_S
INDEX = Listing(1, "NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 1, Decimal("0.05"), 0)
CALL = Listing(
    2, "NFO", "NIFTY25AUG2624000CE", "NIFTY", Kind.CALL, 65, Decimal("0.05"), 1800,
    date(2026, 8, 25), Decimal(24000),
)  # fmt: skip


def ticks(*rows: tuple[int, int, float]) -> np.ndarray:
    """(listing, received after T0, ltp); true for the exchange when received."""
    found = np.zeros(len(rows), TICK_DTYPE)
    for tick, (listing, after_ns, ltp) in zip(found, rows, strict=True):
        tick["listing"], tick["ltp"] = listing, ltp
        tick["received_ns"] = tick["ts_ns"] = T0 + after_ns
        tick["bid"], tick["ask"], tick["bid_quantity"] = ltp - 1, ltp + 1, 65
    return found


def bars(*rows: tuple[int, int, float, bool]) -> np.ndarray:
    found = np.zeros(len(rows), BAR_DTYPE)
    for bar, (listing, start_ns, close, history) in zip(found, rows, strict=True):
        bar["listing"], bar["start_ns"], bar["history"] = listing, start_ns, history
        bar["open"] = bar["high"] = bar["low"] = bar["close"] = close
    return found


def market(columns: np.ndarray, **more: Any) -> TapedMarket:
    run = TapedRun("day/1", {}, T0, T0 + 600 * NS_PER_S, True, (INDEX, CALL), columns, **more)
    return TapedMarket(run)


def moments(source: TapedMarket) -> list[tuple[int, list[float]]]:
    """Every moment after T0 with the prices let out in it."""
    found = []
    while (due_ns := source.next_ns()) is not None:
        found.append((due_ns - T0, source.advance(due_ns)["ltp"].tolist()))
    return found


def test_ticks_come_at_their_recorded_times_and_a_burst_comes_as_one() -> None:
    second = NS_PER_S
    burst = (1, second, 10.0), (2, second + 3_000_000, 5.0), (1, second + 99_000_000, 11.0)
    source = market(ticks((1, 0, 9.0), *burst, (1, 2 * second, 12.0)))
    assert moments(source) == [
        (0, [9.0]), (second + 99_000_000, [10.0, 5.0, 11.0]), (2 * second, [12.0]),
    ]  # fmt: skip
    assert source.ended


def test_a_market_of_moments_played_again_has_the_same_moments() -> None:
    rng = np.random.default_rng(5)
    times = np.sort(rng.integers(0, 5 * NS_PER_S, 300))
    first = moments(market(ticks(*((1, int(at), float(n)) for n, at in enumerate(times)))))
    again = [(1, at, price) for at, prices in first for price in prices]
    assert moments(market(ticks(*again))) == first
    assert len(first) <= 5 * NS_PER_S // STEP_NS


def test_the_first_moment_is_the_runs_begin_though_no_tick_came_then() -> None:
    assert moments(market(ticks((1, NS_PER_S, 9.0)))) == [(0, []), (NS_PER_S, [9.0])]
    assert moments(market(ticks())) == [(0, [])]


def test_a_quote_is_the_last_tick_heard_with_its_own_book() -> None:
    source = market(ticks((2, 0, 9.0), (2, NS_PER_S, 7.0)))
    assert source.quote(2) is None
    source.advance(T0 + NS_PER_S)
    quote = source.quote(2)
    assert quote
    assert (quote.ltp, quote.bid, quote.ask, quote.high, quote.low) == (7.0, 6.0, 8.0, 9.0, 7.0)
    bids, _asks = source.depth(2)
    assert bids[0] == (6.0, 65, 1)
    assert source.quote(1) is None


def test_history_is_what_the_run_read_and_the_minutes_of_its_ticks_up_to_now() -> None:
    minute = NS_PER_MINUTE
    read = bars(
        (1, T0 - minute, 5.0, False),  # its own bar of an earlier run, read back
        (1, T0, 6.0, True),  # the first minute, heard in part, repaired later
        (1, T0 + minute, 99.0, False),  # its own bar of this run: made of the ticks anew
        (2, T0 - minute, 1.0, True),
    )
    source = market(ticks((1, 0, 9.0), (1, minute, 8.0), (1, 2 * minute, 7.0)), bars={"1m": read})
    day = date(2026, 8, 19)
    source.advance(T0)
    told = [(bar.start_ns - T0, bar.close) for bar in source.history(INDEX, "1m", day, day)]
    assert told == [(-minute, 5.0), (0, 9.0)]  # the repair is not known yet
    source.advance(T0 + minute)
    told = [(bar.start_ns - T0, bar.close) for bar in source.history(INDEX, "1m", day, day)]
    assert told == [(-minute, 5.0), (0, 6.0), (minute, 8.0)]
    assert source.history(INDEX, "1m", date(2026, 8, 20), date(2026, 8, 20)) == []


def test_daily_history_ends_before_the_day_and_gives_the_close_before() -> None:
    read = bars((1, MIDNIGHT - DAY_NS, 90.0, True), (1, MIDNIGHT, 95.0, True))
    source = market(ticks((1, 0, 100.0)), bars={"1D": read})
    told = source.history(INDEX, "D", date(2026, 8, 1), date(2026, 8, 19))
    assert [(bar.start_ns, bar.close) for bar in told] == [
        (1_787_011_200 * NS_PER_S, 90.0)  # midnight UTC of 2026-08-18
    ]
    source.advance(T0)
    quote = source.quote(1)
    assert quote
    assert quote.prev_close == 90.0


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="interval 5m"):
        market(ticks()).history(INDEX, "5m", date.min, date.max)


def test_quarters_of_before_the_first_minute_are_told_by_the_exchange_too() -> None:
    quarter = 15 * NS_PER_MINUTE
    begin = T0 - T0 % quarter - quarter  # 11:00
    read = {
        "1m": bars((1, begin + quarter, 5.0, True)),
        "15m": bars((1, begin - quarter, 3.0, True), (1, begin, 4.0, True)),
    }
    source, day = market(ticks(), bars=read), date(2026, 8, 19)
    exchange = Market(source, SteppedClock(T0), shipped_calendars(), always_open=False)
    told = [(bar.start_ns, bar.close) for bar in read_bars(exchange, INDEX, "15m", (day, day))]
    assert told == [(begin - quarter, 3.0), (begin, 4.0), (begin + quarter, 5.0)]
    told = [(bar.start_ns, bar.close) for bar in read_bars(exchange, INDEX, "1m", (day, day))]
    assert told == [(begin + quarter, 5.0)]
