"""A generated market goes on after a restart: from its last prices, with the history it lived."""

import shutil
import sqlite3
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from adapters.sandbox.config import SandboxConfig
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.lived import QUARTER_NS, thinned
from adapters.sandbox.markets import MARKET_FILE, build_source
from adapters.sandbox.pauses import COARSE_STEPS_MAX, FINE_NS, pause_steps
from adapters.sandbox.server import SandboxServer
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, NS_PER_S, epoch_ns, exchange_time
from domain.errors import StorageFailure
from domain.prices import BAR_DTYPE
from domain.readings import Phase
from domain.signals.regime import PhaseMemory, raw_phase, read_bars, score_of
from tests.kit.market_makers import CALENDAR
from tests.kit.sandbox_bench import instance

DAY = date(2026, 11, 20)  # a Friday
START_NS = epoch_ns(datetime(2026, 11, 20, 11, 30, 20, tzinfo=EXCHANGE_ZONE))
HOUR_NS = 60 * NS_PER_MINUTE


def market_of(folder, start_ns=START_NS, **settings):
    settings = {"seed": 7, "always_open": True, "instances": (instance(),), **settings}
    return build_source(SandboxConfig(data_dir=folder, start_ns=start_ns, **settings))


def nifty_of(market):
    return market.index.get("NSE_INDEX", "NIFTY")


def last_price(market):
    return market.quote(nifty_of(market).listing_id).ltp


def bars_of(market, interval, first=DAY - timedelta(days=30), last=DAY + timedelta(days=60)):
    return market.history(nifty_of(market), interval, first, last)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A folder whose market lived for a quarter of an hour, and what it knew at the end."""
    folder = tmp_path_factory.mktemp("lived")
    market = market_of(folder)
    market.watch([nifty_of(market).listing_id])
    market.advance(START_NS + 15 * NS_PER_MINUTE)
    known = {interval: bars_of(market, interval) for interval in ("1m", "15m", "D")}
    known["price"] = last_price(market)
    market.close()
    return folder, known


@pytest.fixture
def left(lived, tmp_path):
    """A copy of that folder, to go on from."""
    folder, known = lived
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path, known


def test_a_market_on_a_new_folder_is_the_one_without_a_folder(tmp_path):
    kept, other = market_of(tmp_path), market_of(None)
    for after_s in (1, 2, 61, 150):
        to_ns = START_NS + after_s * NS_PER_S
        assert kept.advance(to_ns).tobytes() == other.advance(to_ns).tobytes()
    kept.close()


def test_a_market_goes_on_from_its_last_price_with_the_history_it_lived(left):
    folder, known = left
    again = market_of(folder, START_NS + 15 * NS_PER_MINUTE)
    assert last_price(again) == known["price"]
    for interval in ("1m", "15m", "D"):
        assert bars_of(again, interval) == known[interval]
    assert again.warnings == []
    again.close()


def test_a_market_that_was_killed_loses_its_running_minute_only(tmp_path):
    killed = market_of(tmp_path)
    killed.watch([nifty_of(killed).listing_id])
    killed.advance(START_NS + 10 * NS_PER_MINUTE)
    known = bars_of(killed, "1m")
    again = market_of(tmp_path, START_NS + 11 * NS_PER_MINUTE)
    assert bars_of(again, "1m")[: len(known) - 1] == known[:-1]
    assert last_price(again) == pytest.approx(last_price(killed), rel=0.002)
    killed.close()
    again.close()


@pytest.mark.parametrize("hours", [2, 60, 24 * 21])
def test_time_that_nobody_watched_is_lived_without_a_hole_or_a_jump(left, hours):
    folder, _known = left
    again = market_of(folder, START_NS + hours * HOUR_NS)
    bars = bars_of(again, "15m", first=DAY)
    assert {after.start_ns - bar.start_ns for bar, after in pairwise(bars)} == {QUARTER_NS}
    assert max(abs(after.open / bar.close - 1) for bar, after in pairwise(bars)) < 0.003
    assert bars[-1].close == pytest.approx(last_price(again), abs=0.06)
    yesterday = exchange_time(START_NS + hours * HOUR_NS).date() - timedelta(days=1)
    closes = [bar.close for bar in bars_of(again, "D", last=yesterday)]
    quote = again.quote(nifty_of(again).listing_id)
    assert quote.prev_close == closes[-1]
    assert quote.low <= quote.ltp <= quote.high
    again.close()


def test_a_market_with_hours_lives_through_its_sessions_only(tmp_path):
    market = market_of(tmp_path, always_open=False)
    market.close()
    monday = START_NS + 3 * 24 * HOUR_NS
    again = market_of(tmp_path, monday, always_open=False)
    lived = [bar for bar in bars_of(again, "1m", first=DAY) if bar.start_ns >= START_NS]
    times = {f"{exchange_time(bar.start_ns):%a %H}" for bar in lived}
    assert times == {f"Fri {hour}" for hour in range(11, 16)} | {
        f"Mon {hour:02}" for hour in (9, 10, 11)
    }
    again.close()


def test_a_running_market_with_hours_sleeps_at_night(tmp_path):
    market = market_of(tmp_path, always_open=False)
    evening = epoch_ns(datetime(2026, 11, 20, 15, 39, 59, tzinfo=EXCHANGE_ZONE))
    market.advance(evening)
    before = last_price(market)
    ticks = market.advance(epoch_ns(datetime(2026, 11, 23, 9, 15, 5, tzinfo=EXCHANGE_ZONE)))
    assert len(ticks)
    lived = [bar for bar in bars_of(market, "1m", first=DAY) if bar.start_ns > evening]
    assert [f"{exchange_time(bar.start_ns):%a %H:%M}" for bar in lived] == ["Mon 09:15"]
    assert market.quote(nifty_of(market).listing_id).prev_close == pytest.approx(before, rel=1e-4)
    market.close()


def test_a_pause_is_steps_of_minutes_and_the_first_after_closed_hours_is_known():
    evening = epoch_ns(datetime(2026, 8, 19, 15, 38, 30, tzinfo=EXCHANGE_ZONE))
    morning = epoch_ns(datetime(2026, 8, 20, 9, 16, 10, tzinfo=EXCHANGE_ZONE))
    steps = list(pause_steps(evening, morning, CALENDAR))
    told = [((ends - begins) / NS_PER_S, is_rested) for begins, ends, is_rested in steps]
    assert told == [(30, False), (60, False), (60, True), (10, False)]
    assert steps[-1][1] == morning
    year = list(pause_steps(evening, evening + 365 * 24 * HOUR_NS, None))
    assert len(year) <= COARSE_STEPS_MAX + FINE_NS // NS_PER_MINUTE + 2


@pytest.mark.parametrize("days", [1, 90])
@pytest.mark.parametrize("seed", [1, 2, 16])
def test_a_squeeze_is_one_again_after_days_in_which_nothing_ran(tmp_path, seed, days):
    settings = {"seed": seed, "scenario": "congestion"}
    market_of(tmp_path, **settings).close()
    now_ns = START_NS + days * 24 * HOUR_NS
    again = market_of(tmp_path, now_ns, **settings)
    quarters = [
        bar
        for bar in bars_of(again, "15m", last=DAY + timedelta(days=days))
        if bar.start_ns + QUARTER_NS <= now_ns
    ][-200:]
    bars = np.zeros(200, BAR_DTYPE)
    for row, bar in zip(bars, quarters, strict=True):
        row["start_ns"], row["vwap"] = bar.start_ns, np.nan
        row["open"], row["high"], row["low"], row["close"] = bar.open, bar.high, bar.low, bar.close
    memory = PhaseMemory()
    for end in range(len(bars) - 40, len(bars) + 1):
        reading = read_bars(bars[:end], "15m")
        raw = raw_phase(reading, score_of(reading, 16.8, None), "NEUTRAL")
        memory = memory.with_bar(reading.start_ns, raw)
    assert memory.ruling is Phase.CONGESTION
    points = again.index.get("NSE_INDEX", "INDIAVIX")
    year = again.history(points, "D", DAY - timedelta(days=275), DAY + timedelta(days=days))
    now = again.quote(points.listing_id).ltp
    assert 14 <= now <= 20
    assert np.mean([bar.close < now for bar in year]) > 0.5
    again.close()


def test_a_gap_happens_once_in_the_life_of_a_market(tmp_path):
    market = market_of(tmp_path, scenario="gap")
    market.advance(START_NS + 5 * NS_PER_S)
    fallen = last_price(market)
    market.close()
    again = market_of(tmp_path, START_NS + 6 * NS_PER_S, scenario="gap")
    again.advance(START_NS + 10 * NS_PER_S)
    assert last_price(again) == pytest.approx(fallen, rel=0.002)
    again.close()


def test_a_strike_that_was_listed_stays_listed_when_the_market_has_moved_away(tmp_path):
    market = market_of(tmp_path, scenario="crash")
    expiry = market.index.expiries("NIFTY", DAY)[-1]
    strikes = set(market.index.strikes("NIFTY", expiry))
    market.advance(START_NS + HOUR_NS)
    fallen = last_price(market)
    market.close()
    again = market_of(tmp_path, START_NS + HOUR_NS, scenario="crash")
    listed = set(again.index.strikes("NIFTY", expiry))
    assert strikes < listed
    assert min(listed) < fallen - 40 * 50
    again.close()


@pytest.mark.parametrize(
    "change", [{"seed": 8}, {"scenario": "trend"}, {"always_open": False}], ids=str
)
def test_another_market_begins_anew_and_says_so(left, change):
    folder, _known = left
    later_ns = START_NS + HOUR_NS
    other, fresh = market_of(folder, later_ns, **change), market_of(None, later_ns, **change)
    assert last_price(other) == last_price(fresh)
    assert "begins anew" in other.warnings[-1]
    other.close()


def test_a_market_saved_by_a_clock_that_was_ahead_begins_anew(left):
    folder, _known = left
    before_ns = START_NS - HOUR_NS
    early = market_of(folder, before_ns)
    assert early.next_ns() == before_ns + NS_PER_S
    assert "later time than now" in early.warnings[-1]
    early.close()
    again = market_of(folder, START_NS, stepped=True)
    assert again.warnings == []
    again.close()


def test_prices_go_on_when_they_cannot_be_saved(tmp_path):
    market = market_of(tmp_path)
    market._memory.close()
    assert len(market.advance(START_NS + 3 * NS_PER_MINUTE))
    (warning,) = market.warnings
    assert "cannot be written" in warning


def test_a_file_that_is_no_market_is_named(tmp_path):
    (tmp_path / MARKET_FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(StorageFailure, match=MARKET_FILE):
        market_of(tmp_path)


def test_minutes_of_long_ago_are_kept_as_quarters_that_fold_into_the_same_bars(left):
    folder, known = left
    market_of(folder, START_NS + 15 * NS_PER_MINUTE).close()
    month = START_NS + 40 * 24 * HOUR_NS
    market_of(folder, month).close()
    again = market_of(folder, month)
    for interval in ("15m", "D"):
        bars = bars_of(again, interval)
        assert bars[: len(known[interval]) - 1] == known[interval][:-1]
    again.close()
    with sqlite3.connect(folder / MARKET_FILE) as connection:
        (count,) = connection.execute("SELECT count(*) FROM minutes").fetchone()
    connection.close()
    assert count < COARSE_STEPS_MAX + FINE_NS // NS_PER_MINUTE


def test_a_quarter_of_an_hour_has_the_open_the_range_and_the_close_of_its_minutes():
    starts = np.arange(3, dtype=np.int64) * NS_PER_MINUTE + 14 * NS_PER_MINUTE
    rows = np.array([[[1.0], [5.0], [0.5], [2.0]], [[2.0], [3.0], [1.0], [2.5]]])
    rows = np.concatenate((rows, [[[2.5], [9.0], [2.0], [8.0]]]))
    folded_ns, folded = thinned(starts, rows)
    assert folded_ns.tolist() == [0, QUARTER_NS]
    assert folded[:, :, 0].tolist() == [[1.0, 5.0, 0.5, 2.0], [2.0, 9.0, 1.0, 8.0]]


def test_an_exchange_that_is_started_again_quotes_where_it_stopped(tmp_path):
    config = SandboxConfig(
        instances=(instance(),),
        data_dir=tmp_path,
        start_ns=START_NS,
        stepped=True,
        always_open=True,
    )
    prices = []
    for _ in range(2):
        with SandboxServer(config) as server:
            control = SandboxControl(server.control_port)
            prices.append(last_price(server.market.source))
            control.step(90)
            prices.append(last_price(server.market.source))
            control.close()
    assert prices[2] == prices[1] != prices[0]
