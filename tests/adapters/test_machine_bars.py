"""The fold of bars by machine code leaves behind what the columns leave, to the last bit."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import machine_bars, machine_code
from domain.calendar import TradingSession
from domain.clock import NS_PER_MINUTE, seconds
from domain.market.bars import MinuteBars
from domain.market.sessions import midnight_ns
from domain.prices import TICK_DTYPE

DAY = date(2026, 2, 10)
OPENS_NS = midnight_ns(DAY) + seconds(9 * 3600 + 15 * 60)
SESSION = TradingSession(DAY, OPENS_NS, OPENS_NS + 6 * NS_PER_MINUTE, 0, 0)
LATE_S = [0.0, 0.1, 2.0, 3.0, 61.0, 130.0, 400.0, 90_000.0, -4.0, -5.0, -5.1, -60.0]
PRICES = [100.0, 100.05, 99.95, 5e-324, math.inf, 0.0, -1.0, math.nan]
VOLUMES = [-1, 0, 5, 10, 2**62]


def market(rng: np.random.Generator, count: int, odd_share: float) -> np.ndarray:
    """Ticks of some minutes around the open, by arrival; this share of them strange."""
    ticks = np.zeros(count, TICK_DTYPE)
    ticks["listing"] = rng.integers(1, 9, count)
    gaps_s = rng.choice([0.0, 0.01, 1.0, 20.0], count, p=[0.3, 0.5, 0.17, 0.03])
    ticks["received_ns"] = OPENS_NS - seconds(40) + np.cumsum(gaps_s * 1e9).astype(np.int64)
    ticks["ts_ns"] = ticks["received_ns"] - 10_000_000
    ticks["ltp"] = 100 + rng.integers(-20, 20, count) / 20
    ticks["volume"] = np.arange(count) * 5
    for name, choices in (("ltp", PRICES), ("volume", VOLUMES), ("listing", [9, 77, 2**32 - 1])):
        odd = rng.random(count) < odd_share
        ticks[name][odd] = rng.choice(choices, odd.sum())
    odd = rng.random(count) < odd_share
    ticks["ts_ns"][odd] -= (rng.choice(LATE_S, odd.sum()) * 1e9).astype(np.int64)
    again = np.flatnonzero(rng.random(count) < odd_share)[1:]
    ticks[again] = ticks[again - 1]
    return ticks


def everything(bars: MinuteBars, ticks: np.ndarray, sizes: list[int], began_ns: int) -> list:
    """All that a session leaves, in bytes."""
    bars.begin(SESSION if began_ns else None, began_ns)
    bars.add(np.arange(1, 6), began_ns)
    told, at = [], 0
    for size in [*sizes, len(ticks)]:
        part = ticks[at : at + size]
        at += size
        if not len(part):
            break
        bars.add(part["listing"][:1][part["listing"][:1] < 9], began_ns)
        bars.fold(part)
        closed = bars.close(int(part["received_ns"][-1]))
        told.append((closed.bars.tobytes(), closed.silent))
    told.append([bars.live_vwap(listing) for listing in range(1, 9)])
    told.append(bars.close(SESSION.closes_ns + NS_PER_MINUTE).bars.tobytes())
    return [*told, bars.counters, bars._state.tobytes(), bars.closed.between(0, 2**62).tobytes()]


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 300),
    odd_share=st.sampled_from([0.0, 0.05, 0.5]),
    sizes=st.lists(st.integers(1, 120), max_size=8),
    began_ns=st.sampled_from([0, OPENS_NS - NS_PER_MINUTE, OPENS_NS, OPENS_NS + seconds(70)]),
)
@settings(deadline=None, max_examples=300)
def test_both_folds_leave_the_same_behind(
    seed: int, count: int, odd_share: float, sizes: list[int], began_ns: int
) -> None:
    ticks = market(np.random.default_rng(seed), count, odd_share)
    with np.errstate(invalid="ignore"):  # a VWAP of infinite prices
        one, other = (
            everything(MinuteBars(fold), ticks, sizes, began_ns)
            for fold in (None, machine_bars.walker)
        )
    assert one == other or str(one) == str(other)  # NaN is not itself


def quiet_bars() -> MinuteBars:
    bars = MinuteBars(machine_bars.walker)
    bars.begin(SESSION, OPENS_NS)
    bars.add(np.array([1]), OPENS_NS)
    return bars


def tick_at(ns: int, volume: int) -> np.ndarray:
    ticks = np.zeros(2, TICK_DTYPE)
    ticks["listing"], ticks["ltp"] = 1, 100.0
    ticks["ts_ns"] = ticks["received_ns"] = [ns, ns + 1]
    ticks["volume"] = volume, volume + 5
    return ticks


@pytest.mark.skipif(machine_code.CODE is None, reason="no library is shipped for this machine")
def test_the_columns_are_not_asked_while_machine_code_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MinuteBars, "_fold_part", None)
    bars = quiet_bars()
    bars.fold(tick_at(OPENS_NS, 10))
    bars.fold(tick_at(OPENS_NS + seconds(65), 20))  # a minute falls due within
    assert bars.counters["accepted"] == 4


@pytest.mark.parametrize("session", [SESSION, None])
def test_ticks_of_a_closed_market_open_no_bars(session: TradingSession | None) -> None:
    bars = MinuteBars(machine_bars.walker)
    bars.begin(session, OPENS_NS)
    bars.add(np.array([1]), OPENS_NS)
    for minute in range(600):
        bars.fold(tick_at(OPENS_NS + minute * NS_PER_MINUTE, minute))
    assert len(bars._open) <= 1
    assert bars.counters["out_of_session"] == (2 * 600 if session is None else 2 * 594)


def test_a_batch_whose_rows_lie_apart_is_left_to_the_columns() -> None:
    bars = quiet_bars()
    bars.fold(np.repeat(tick_at(OPENS_NS, 10), 2)[::2])
    assert bars.counters["accepted"] == 2


def test_without_a_library_the_columns_do_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_bars, "CODE", None)
    bars = quiet_bars()
    bars.fold(tick_at(OPENS_NS, 10))
    assert bars.counters["accepted"] == 2
    assert bars.close(SESSION.closes_ns).bars["volume"].tolist() == [5]
