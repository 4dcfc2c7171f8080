"""The regime agent: bars and the volatility index in, RegimeChanged out."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from actors.actor import NoSettings
from actors.signals.regime_agent import RegimeAgent
from domain.clock import seconds
from domain.instruments import Kind, Listing
from domain.prices import BAR_DTYPE, TICK_DTYPE
from domain.readings import ChainSummary, FreshnessMark, Phase, VixFlag
from domain.stamps import Stamps
from messages.lifecycle import NodeRestarted
from messages.market import (
    ChainSummarised,
    FeedSwitched,
    FreshnessMarked,
    InstrumentsLoaded,
    SessionOpened,
    WantWindows,
)
from messages.trading import RegimeChanged
from persistence.database import MainBase, open_engine
from persistence.instruments import InstrumentStore
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime

DAY = seconds(86_400)
QUARTER = seconds(900)


def index_listing(name):
    return Listing(0, "NSE_INDEX", name, name, Kind.INDEX, 1, Decimal("0.05"), 0)


def load_listings(runtime, *names):
    engine = open_engine(runtime.database_url)
    InstrumentStore(engine).load(
        [index_listing(name) for name in names], "alpha", date(2026, 11, 20)
    )
    index = InstrumentStore(engine).load_index()
    engine.dispose()
    return {name: index.find("NSE_INDEX", name).listing_id for name in names}


@pytest.fixture
def runtime(tmp_path):
    made = make_runtime(tmp_path)
    engine = open_engine(made.database_url)
    MainBase.metadata.create_all(engine)
    engine.dispose()
    return made


@pytest.fixture
def ids(runtime):
    return load_listings(runtime, "NIFTY", "BANKNIFTY", "INDIAVIX")


def start(runtime, life=1):
    context = RecordingContext("regime_agent", runtime, life=life)
    agent = RegimeAgent(context, NoSettings())
    agent.start()
    return agent, context


def bars(listing, count, step, *, end_ns=START_NS, slope=1, history=True):
    """`count` bars of a trend that gathers pace, ranges of 4 %; the last one ends at `end_ns`."""
    rows = np.zeros(count, BAR_DTYPE)
    rows["listing"], rows["history"], rows["vwap"] = listing, history, np.nan
    number = np.arange(count)
    rows["close"] = 100.0 * np.exp(slope * (0.0005 * number + 0.00001 * number**2))
    rows["high"], rows["low"] = rows["close"] * 1.02, rows["close"] * 0.98
    rows["start_ns"] = end_ns - step * np.arange(count, 0, -1)
    return rows


def ticks(listing, value, at_ns):
    rows = np.zeros(1, TICK_DTYPE)
    rows["listing"], rows["ltp"], rows["received_ns"] = listing, value, at_ns
    return rows


def regimes(context):
    return [message.regime for message in context.heard(RegimeChanged)]


def test_warm_start_of_both_timeframes_gives_one_tradable_phase(runtime, ids):
    _, context = start(runtime)
    context.feed("bars.1D", bars(ids["NIFTY"], 120, DAY))
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER))
    last = regimes(context)[-1]
    assert (last.phase, last.timeframe, last.ichimoku) == (Phase.BULLISH, "15m", "BULLISH")
    assert last.as_of_ns == START_NS
    assert context.reports[-1]["benchmark"] == "NIFTY"


def test_daily_phase_rules_while_fewer_than_78_bars_are_known(runtime, ids):
    _, context = start(runtime)
    context.feed("bars.1D", bars(ids["NIFTY"], 120, DAY))
    context.feed("bars.15m", bars(ids["NIFTY"], 77, QUARTER, slope=-1))
    assert {one.timeframe for one in regimes(context)} == {"1D"}
    assert regimes(context)[-1].phase is Phase.BULLISH


def test_daily_phase_rules_while_the_newest_bars_are_yesterdays(runtime, ids):
    _, context = start(runtime)
    context.feed("bars.1D", bars(ids["NIFTY"], 120, DAY))
    old = START_NS - seconds(60_000)
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER, end_ns=old))
    assert regimes(context)[-1].timeframe == "1D"
    context.feed("bars.15m", bars(ids["NIFTY"], 1, QUARTER, slope=0, history=False))
    assert regimes(context)[-1].timeframe == "15m"


def test_dead_feed_leaves_its_last_live_bar_to_grow_stale(runtime, ids):
    _, context = start(runtime)
    context.feed("bars.1D", bars(ids["NIFTY"], 120, DAY))
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER, history=False))
    context.advance(7_200)
    context.feed("ticks.alpha", ticks(ids["INDIAVIX"], 31.0, context.now_ns()))
    last = regimes(context)[-1]
    assert (last.timeframe, last.as_of_ns) == ("15m", START_NS)
    assert context.now_ns() - last.as_of_ns > seconds(last.stale_after_s)


def test_trend_against_the_daily_cloud_is_congestion(runtime, ids):
    _, context = start(runtime)
    context.feed("bars.1D", bars(ids["NIFTY"], 120, DAY, slope=-1))
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER))
    last = regimes(context)[-1]
    assert (last.ichimoku, last.score > 5, last.phase) == ("BULLISH", True, Phase.CONGESTION)


def test_bars_of_other_listings_are_not_mixed_in(runtime, ids):
    _, context = start(runtime)
    context.feed("bars.15m", bars(ids["BANKNIFTY"], 120, QUARTER))
    assert regimes(context) == []


def test_live_vix_sets_flags_within_a_tick(runtime, ids):
    _, context = start(runtime)
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER))
    assert regimes(context)[-1].vix_flags == (VixFlag.UNKNOWN,)
    context.feed("ticks.alpha", ticks(ids["INDIAVIX"], 31.0, context.now_ns()))
    last = regimes(context)[-1]
    assert (last.vix, last.vix_flags) == (31.0, (VixFlag.HALF_SIZE, VixFlag.DEFINED_RISK_ONLY))
    count = len(regimes(context))
    context.feed("ticks.alpha", ticks(ids["INDIAVIX"], 31.5, context.now_ns() + 1))
    context.feed("ticks.alpha", ticks(ids["NIFTY"], 12.0, context.now_ns() + 2))
    assert len(regimes(context)) == count  # no flag changed


def opened():
    return SessionOpened(
        day=date(2026, 11, 20), opens_ns=START_NS, closes_ns=START_NS + DAY, intraday_exit_ns=0,
        square_off_ns=0,
    )  # fmt: skip


def test_vix_older_than_a_minute_in_session_is_unknown(runtime, ids):
    agent, context = start(runtime)
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER))
    context.feed("ticks.alpha", ticks(ids["INDIAVIX"], 18.0, context.now_ns()))
    context.advance(600)
    assert regimes(context)[-1].vix_flags == ()
    context.deliver(agent, opened())
    assert regimes(context)[-1].vix_flags == (VixFlag.UNKNOWN,)
    mark = FreshnessMark(
        as_of_ns=context.now_ns(), expires_ns=0, quotes_ns=Stamps(), iv_ns={},
        vix_ns=context.now_ns(), switched_ns=0, gate_open=True,
    )  # fmt: skip
    context.deliver(agent, FreshnessMarked(mark=mark))
    assert regimes(context)[-1].vix_flags == ()
    context.advance(66)
    assert regimes(context)[-1].vix_flags == (VixFlag.UNKNOWN,)


def test_ticks_of_a_feed_that_is_not_canonical_do_not_count(runtime, ids):
    agent, context = start(runtime)
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER))
    context.feed("ticks.beta", ticks(ids["INDIAVIX"], 31.0, context.now_ns()))
    assert regimes(context)[-1].vix == 0.0
    switched = FeedSwitched(from_broker="alpha", to_broker="beta", reason="", using_fallback=True)
    context.deliver(agent, switched)
    context.feed("ticks.alpha", ticks(ids["INDIAVIX"], 41.0, context.now_ns()))
    assert regimes(context)[-1].vix == 0.0
    context.feed("ticks.beta", ticks(ids["INDIAVIX"], 31.0, context.now_ns()))
    assert regimes(context)[-1].vix == 31.0


def test_minute_bar_gives_the_vix_a_value_before_its_first_tick(runtime, ids):
    _, context = start(runtime)
    context.feed("bars.1m", bars(ids["INDIAVIX"], 1, seconds(60), slope=0))
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER))
    assert regimes(context)[-1].vix == 100.0


def test_put_call_ratio_of_the_front_expiry_counts_while_fresh(runtime, ids):
    agent, context = start(runtime)
    for expiry, ratio in ((date(2026, 12, 1), 0.9), (date(2026, 11, 24), 1.3)):
        summary = ChainSummary(
            underlying="NIFTY", expiry=expiry, spot=1.0, forward=1.0, atm_strike=1.0, atm_iv=0.1,
            put_iv_25d=0.1, call_iv_25d=0.1, put_call_ratio=ratio, max_pain=1.0,
            days_to_expiry=4.0, iv_source="feed", as_of_ns=context.now_ns(),
        )  # fmt: skip
        context.deliver(agent, ChainSummarised(summary=summary))
    rows = bars(ids["NIFTY"], 121, QUARTER, end_ns=START_NS + QUARTER)
    context.feed("bars.15m", rows[:120])
    assert regimes(context)[-1].score == 20  # 8 + 6 + 5, trending + 2, clamped from 21
    context.advance(900)
    context.feed("bars.15m", rows[120:])
    assert regimes(context)[-1].score == 16  # the ratio is 15 minutes old


def test_new_bar_without_a_difference_renews_the_time_under_the_same_version(runtime, ids):
    _, context = start(runtime)
    rows = bars(ids["NIFTY"], 121, QUARTER, end_ns=START_NS + QUARTER)
    context.feed("bars.15m", rows[:120])
    before = regimes(context)[-1]
    context.advance(902)
    context.feed("bars.15m", rows[120:])
    after = regimes(context)[-1]
    assert after.version == before.version
    assert after.as_of_ns == before.as_of_ns + QUARTER
    context.feed("bars.15m", rows[120:])  # told again: nothing new
    assert len(regimes(context)) == 2


def test_phase_takes_two_live_bars_to_turn(runtime, ids):
    _, context = start(runtime)
    up = bars(ids["NIFTY"], 120, QUARTER)
    context.feed("bars.15m", up)
    assert regimes(context)[-1].phase is Phase.BULLISH
    # Closes below the cloud turn cloud and impulse at once: the phase follows one bar later.
    for number in (1, 2):
        context.advance(900)
        fall = bars(ids["NIFTY"], 1, QUARTER, end_ns=context.now_ns(), history=False)
        for name in ("close", "high", "low"):
            fall[name] = up["low"][10] * (1 - 0.01 * number)
        context.feed("bars.15m", fall)
        expected = Phase.BULLISH if number == 1 else Phase.BEARISH
        assert regimes(context)[-1].ichimoku == "BEARISH"
        assert regimes(context)[-1].phase is expected


def test_bars_before_the_master_are_kept_until_it_is_there(runtime):
    agent, context = start(runtime)
    later = load_listings(runtime, "NIFTY", "INDIAVIX")
    context.feed("bars.15m", bars(later["NIFTY"], 120, QUARTER))
    assert regimes(context) == []
    context.deliver(agent, InstrumentsLoaded(broker="alpha", rows=2, day=date(2026, 11, 20)))
    assert regimes(context)[-1].phase is Phase.BULLISH


def test_whoever_restarts_hears_the_regime_again(runtime, ids):
    agent, context = start(runtime)
    restarted = NodeRestarted(name="risk_agent", life=2, reason="", handles_orders=True)
    context.deliver(agent, restarted)
    assert regimes(context) == []
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER))
    before = list(regimes(context))
    context.deliver(agent, restarted)
    ((name, again),) = [row for row in context.told if isinstance(row[1], RegimeChanged)]
    assert (name, again.regime) == ("risk_agent", before[-1])
    assert regimes(context) == before


def test_versions_of_a_new_life_are_newer(runtime, ids):
    _, context = start(runtime, life=2)
    context.feed("bars.15m", bars(ids["NIFTY"], 120, QUARTER))
    assert regimes(context)[0].version == 1_000_001


def test_bars_of_before_this_life_are_asked_for_until_they_came(runtime, ids):
    _, context = start(runtime, life=2)
    context.advance(4)
    assert len(context.told_to("bar_builder", WantWindows)) == 3
    context.feed("bars.1D", bars(ids["NIFTY"], 120, DAY), warm=True)
    context.advance(60)
    assert len(context.told_to("bar_builder", WantWindows)) == 3
