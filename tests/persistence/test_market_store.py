"""Bars and volatility history on a real file."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from domain.instruments import Kind, Listing
from domain.prices import BAR_DTYPE
from domain.readings import Universe, UniverseRow
from persistence.database import MarketBase, open_engine
from persistence.market import MarketStore

MINUTE = 60_000_000_000
NIFTY = Listing(1, "NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 1, Decimal("0.05"), 0)
BANK = Listing(2, "NSE_INDEX", "BANKNIFTY", "BANKNIFTY", Kind.INDEX, 1, Decimal("0.05"), 0)
LISTINGS = {1: NIFTY, 2: BANK}


@pytest.fixture
def store(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'market.db'}")
    MarketBase.metadata.create_all(engine)
    yield MarketStore(engine)
    engine.dispose()


def bars(*rows) -> np.ndarray:
    """Rows of (listing, minute, close)."""
    made = np.zeros(len(rows), BAR_DTYPE)
    for bar, (listing, minute, close) in zip(made, rows, strict=True):
        bar["listing"], bar["start_ns"], bar["close"] = listing, minute * MINUTE, close
        bar["open"], bar["high"], bar["low"] = close - 1, close + 2, close - 2
        bar["volume"], bar["vwap"], bar["tick_count"] = 7, math.nan, 3
    return made


def test_bars_come_back_as_they_were_written(store):
    written = bars((1, 5, 100.0))
    written["partial"], written["history"], written["vwap"] = True, True, 99.25
    store.write_bars("1m", written, LISTINGS)
    assert store.read_bars(NIFTY, "1m").tolist() == written.tolist()


def test_no_volume_stays_no_vwap(store):
    store.write_bars("1m", bars((1, 5, 100.0)), LISTINGS)
    assert math.isnan(store.read_bars(NIFTY, "1m")["vwap"][0])


def test_the_newest_bars_come_in_ascending_order(store):
    store.write_bars("1m", bars((1, 3, 3.0), (1, 1, 1.0), (1, 2, 2.0)), LISTINGS)
    assert store.read_bars(NIFTY, "1m", count_max=2)["close"].tolist() == [2, 3]
    assert store.read_bars(NIFTY, "1m", since_ns=2 * MINUTE)["close"].tolist() == [2, 3]


def test_a_bar_written_again_replaces_the_first(store):
    store.write_bars("1m", bars((1, 1, 1.0)), LISTINGS)
    store.write_bars("1m", bars((1, 1, 9.0)), LISTINGS)
    assert store.read_bars(NIFTY, "1m")["close"].tolist() == [9]


def test_listings_and_timeframes_do_not_mix(store):
    store.write_bars("1m", bars((1, 1, 1.0), (2, 1, 2.0)), LISTINGS)
    store.write_bars("1D", bars((1, 1, 3.0)), LISTINGS)
    assert store.read_bars(BANK, "1m")["close"].tolist() == [2]
    assert store.read_bars(NIFTY, "1D")["close"].tolist() == [3]


def test_a_session_is_read_for_all_known_listings_at_once(store):
    store.write_bars("1m", bars((1, 1, 1.0), (1, 2, 2.0), (2, 2, 5.0)), LISTINGS)
    ids = {("NSE_INDEX", "NIFTY"): 41}
    read = store.read_session("1m", 2 * MINUTE, ids)
    assert read[["listing", "close"]].tolist() == [(41, 2.0)]


def test_of_a_session_only_what_history_told_can_be_read(store):
    told = bars((1, 2, 2.0), (2, 2, 5.0))
    told["history"], told["vwap"] = [True, False], [np.nan, 4.5]
    store.write_bars("1m", told, LISTINGS)
    ids = {("NSE_INDEX", "NIFTY"): 1, ("NSE_INDEX", "BANKNIFTY"): 2}
    both = store.read_session("1m", 0, ids)
    assert sorted(both[["listing", "history"]].tolist()) == [(1, True), (2, False)]
    assert np.isnan(both["vwap"][both["listing"] == 1]).all()
    assert both["vwap"][both["listing"] == 2].tolist() == [4.5]
    assert store.read_session("1m", 0, ids, told_by=("history",))["close"].tolist() == [2.0]
    assert store.read_session("1m", 3 * MINUTE, ids).tolist() == []


def test_old_bars_are_forgotten(store):
    store.write_bars("1m", bars((1, 1, 1.0), (1, 2, 2.0)), LISTINGS)
    assert store.delete_bars("1m", 2 * MINUTE) == 1
    assert store.read_bars(NIFTY, "1m")["close"].tolist() == [2]


def test_many_bars_are_written_in_one_call(store):
    store.write_bars("1m", bars(*[(1, minute, 1.0) for minute in range(1201)]), LISTINGS)
    assert len(store.read_bars(NIFTY, "1m", count_max=5000)) == 1201


def test_one_volatility_a_day_and_the_last_one_stays(store):
    store.write_iv("NIFTY", date(2026, 11, 19), 0.15)
    store.write_iv("NIFTY", date(2026, 11, 20), 0.14)
    store.write_iv("NIFTY", date(2026, 11, 20), 0.16)
    store.write_iv("BANKNIFTY", date(2026, 11, 20), 0.2)
    assert store.iv_history("NIFTY", date(2026, 11, 20)) == [(date(2026, 11, 20), 0.16)]
    assert len(store.iv_history("NIFTY", date(2026, 1, 1))) == 2


def test_the_newest_universe_replaces_the_one_before_and_comes_back_whole(store):
    old = Universe(date(2026, 11, 19), 1, 2, (UniverseRow("NSE", "GONE", rank=1, rs=101.0),))
    rows = (
        UniverseRow("NSE", "ACME", rank=1, is_hot=True, rs=110.5, volume=7e5, base_close=99.5),
        UniverseRow("NSE", "THIN", "VOLUME_BELOW_MIN", "THIN: 4 shares a day", rs=90.0, volume=4),
        UniverseRow("NSE_INDEX", "NIFTY", base_close=24_000.0),
    )
    assert store.read_universe() is None
    store.write_universe(old)
    store.write_universe(Universe(date(2026, 11, 20), 3, 4, rows))
    found = store.read_universe()
    assert (found.day, found.built_ns, found.scored_ns) == (date(2026, 11, 20), 3, 4)
    by_name = {row.name: row for row in found.rows}
    assert (by_name["ACME"], by_name["THIN"]) == rows[:2]
    assert math.isnan(by_name["NIFTY"].rs)
    assert by_name["NIFTY"].base_close == 24_000.0
