"""The volatility agent: chains, closes and IV history in; signals with legs, or reasons, out."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from actors.signals.volatility_agent import VolatilityAgent, VolatilitySettings
from domain.clock import seconds
from domain.instruments import Kind, Listing
from domain.intents import Bias, StrategyType
from domain.prices import BAR_DTYPE
from domain.readings import ChainSummary, Phase, Regime
from domain.settings import Settings
from messages.lifecycle import NodeRestarted
from messages.market import ChainSummarised, InstrumentsLoaded, VolatilityRead
from messages.trading import (
    CorrelationsMeasured,
    ScanCompleted,
    ScanRequested,
    SignalRaised,
)
from persistence.database import MainBase, MarketBase, open_engine
from persistence.instruments import InstrumentStore
from persistence.market import MarketStore
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime

TODAY = date(2026, 11, 20)
DAY = seconds(86_400)
CONGESTION = Regime(
    version=5, phase=Phase.CONGESTION, vix=18.0, vix_flags=(), as_of_ns=START_NS - seconds(60)
)


def load_master(runtime):
    rows = [
        Listing(0, "NSE_INDEX", name, name, Kind.INDEX, 1, Decimal("0.05"), 0)
        for name in ("NIFTY", "BANKNIFTY", "INDIAVIX")
    ]
    engine = open_engine(runtime.database_url)
    InstrumentStore(engine).load(rows, "alpha", TODAY)
    index = InstrumentStore(engine).load_index()
    engine.dispose()
    return {row.name: row.listing_id for row in index.by_id.values()}


@pytest.fixture
def runtime(tmp_path):
    made = make_runtime(tmp_path)
    for url, base in ((made.database_url, MainBase), (made.market_url, MarketBase)):
        engine = open_engine(url)
        base.metadata.create_all(engine)
        engine.dispose()
    made.settings = Settings(feed_underlyings=(("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "INDIAVIX")))
    return made


@pytest.fixture
def ids(runtime):
    return load_master(runtime)


def keep_history(runtime, ivs, underlying="NIFTY"):
    """One IV a day, the last of them yesterday's."""
    engine = open_engine(runtime.market_url)
    store = MarketStore(engine)
    for back, iv in enumerate(reversed(ivs), 1):
        store.write_iv(underlying, TODAY - timedelta(days=back), iv)
    engine.dispose()


def start(runtime, settings=None):
    context = RecordingContext("volatility_agent", runtime)
    agent = VolatilityAgent(context, settings or VolatilitySettings())
    agent.start()
    return agent, context


def daily(listing, closes):
    rows = np.zeros(len(closes), BAR_DTYPE)
    rows["listing"], rows["close"], rows["history"] = listing, closes, True
    rows["start_ns"] = START_NS - DAY * np.arange(len(closes), 0, -1)
    return rows


def choppy(move, count=60, level=26_000.0):
    """Closes that go up and down by one log move: HV = move x sqrt(30/29 x 252) = move x 16.15."""
    return level * np.exp(move * (np.arange(count) % 2))


def summary(expiry, iv, days, underlying="NIFTY", **more):
    fields = {
        "underlying": underlying, "expiry": expiry, "spot": 26_000.0, "forward": 26_010.0,
        "atm_strike": 26_000.0, "atm_iv": iv, "put_iv_25d": iv * 1.05, "call_iv_25d": iv,
        "put_call_ratio": 1.0, "max_pain": 26_000.0, "days_to_expiry": days,
        "iv_source": "feed", "as_of_ns": START_NS,
    }  # fmt: skip
    return ChainSummarised(summary=ChainSummary(**(fields | more)))


def chains(agent, context, iv, **more):
    """Three expiries at one volatility."""
    for days in (4, 11, 32):
        context.deliver(agent, summary(TODAY + timedelta(days=days), iv, float(days), **more))


def scan(agent, context, regime=CONGESTION, dry=False):
    context.deliver(agent, ScanRequested(cycle=9, regime=regime, dry=dry))
    told = context.told_to("signal_loop", ScanCompleted)
    return (told if dry else context.heard(ScanCompleted))[-1]


RANK_75 = list(np.linspace(0.10, 0.18, 100))  # IV 0.16 stands at three quarters


def rich(runtime, ids):
    """IV 16 % at rank 75 over an HV of 12.1 %: ratio 1.32."""
    keep_history(runtime, RANK_75)
    agent, context = start(runtime)
    context.feed("bars.1D", daily(ids["NIFTY"], choppy(0.0075)))
    chains(agent, context, 0.16)
    return agent, context


def test_rich_premium_in_congestion_gives_a_condor_with_wings_and_deltas(runtime, ids):
    agent, context = rich(runtime, ids)
    answer = scan(agent, context)
    (signal,) = answer.signals
    assert (answer.cycle, answer.source, answer.regime_version) == (9, "volatility_agent", 5)
    assert (signal.strategy, signal.direction) == (StrategyType.IRON_CONDOR, "SELL")
    assert (signal.bias, signal.product) == (Bias.NEUTRAL, "NRML")
    assert (signal.dte_min, signal.dte_max) == (30, 45)
    assert [leg.wing_points for leg in signal.legs if leg.direction == "BUY"] == [200.0, 200.0]
    assert [leg.delta_target for leg in signal.legs if leg.direction == "SELL"] == [0.25, 0.25]
    # rank 75 + 4 + 8 = 87, capped by the conservative rank: 40 + 0.6 x 75 (or 74) = 84.4 to 85
    assert 84.0 <= signal.strength <= 85.0
    assert signal.extras["vol_regime"] == "IV_HIGH"
    assert float(signal.extras["iv_rank"]) == pytest.approx(75.0, abs=0.01)
    assert signal.extras["vix_at_signal"] == "18.00"
    assert signal.instrument_vol == pytest.approx(0.0075 * 252**0.5, rel=1e-6)
    assert signal.valid_until_ns == START_NS + seconds(60)
    assert answer.notes == ()


def test_scan_tells_facts_once_and_a_dry_scan_tells_none(runtime, ids):
    agent, context = rich(runtime, ids)
    scan(agent, context, dry=True)
    assert context.announced == []
    answer = scan(agent, context)
    assert [one.signal for one in context.heard(SignalRaised)] == list(answer.signals)
    assert [one.reading.underlying for one in context.heard(VolatilityRead)] == ["NIFTY"]
    scan(agent, context)
    assert len(context.heard(VolatilityRead)) == 1  # unchanged
    assert len(context.heard(SignalRaised)) == 2


def test_correlation_ids_repeat_exactly_for_the_same_moment(runtime, ids):
    agent, context = rich(runtime, ids)
    first, second = scan(agent, context), scan(agent, context)
    assert first.signals == second.signals
    assert first.signals[0].correlation_id == f"VOLATILITY:NIFTY:IRON_CONDOR:{START_NS}:0"


def test_calendar_in_a_bearish_market_is_of_puts_and_short_dated(runtime, ids):
    keep_history(runtime, RANK_75)
    agent, context = start(runtime)
    context.feed("bars.1D", daily(ids["NIFTY"], choppy(0.01)))  # HV 16.2 %
    chains(agent, context, 0.11)  # ratio 0.68, rank 12.5
    answer = scan(agent, context, replace(CONGESTION, phase=Phase.BEARISH))
    found = {signal.strategy: signal for signal in answer.signals}
    calendar = found[StrategyType.CALENDAR_DIAGONAL]
    assert {leg.option_type for leg in calendar.legs} == {Kind.PUT}
    assert (calendar.dte_min, calendar.dte_max) == (5, 10)
    ditm = found[StrategyType.DITM_PUT]
    assert (ditm.direction, ditm.legs[0].delta_target) == ("BUY", 0.90)
    assert ditm.bias is Bias.BEARISH
    assert len({signal.correlation_id for signal in answer.signals}) == len(answer.signals)


def test_short_history_gives_notes_and_no_seller(runtime, ids):
    keep_history(runtime, RANK_75[:12])
    agent, context = start(runtime)
    context.feed("bars.1D", daily(ids["NIFTY"], choppy(0.0075)))
    chains(agent, context, 0.16)
    answer = scan(agent, context)
    assert answer.signals == ()
    texts = {note.code: note.text for note in answer.notes}
    assert texts["IV_RANK_UNKNOWN"].startswith("NIFTY: 12 of 60 days")


def test_volatility_index_stands_in_for_the_history_of_its_underlying(runtime, ids):
    agent, context = start(runtime)
    context.feed("bars.1D", daily(ids["NIFTY"], choppy(0.0075)))
    context.feed("bars.1D", daily(ids["INDIAVIX"], np.array(RANK_75) * 100))
    chains(agent, context, 0.16)
    (signal,) = scan(agent, context).signals
    assert float(signal.extras["iv_rank"]) == pytest.approx(75.0, abs=0.01)


def test_own_history_leads_once_it_has_60_days(runtime, ids):
    keep_history(runtime, RANK_75)
    agent, context = start(runtime)
    context.feed("bars.1D", daily(ids["NIFTY"], choppy(0.0075)))
    context.feed("bars.1D", daily(ids["INDIAVIX"], np.full(200, 50.0)))
    chains(agent, context, 0.16)
    (signal,) = scan(agent, context).signals
    assert float(signal.extras["iv_rank"]) == pytest.approx(75.0, abs=0.01)


def test_todays_own_observation_is_not_part_of_its_history(runtime, ids):
    keep_history(runtime, RANK_75)
    engine = open_engine(runtime.market_url)
    MarketStore(engine).write_iv("NIFTY", TODAY, 0.99)
    engine.dispose()
    agent, context = start(runtime)
    context.feed("bars.1D", daily(ids["NIFTY"], choppy(0.0075)))
    chains(agent, context, 0.16)
    (signal,) = scan(agent, context).signals
    assert float(signal.extras["iv_rank"]) == pytest.approx(75.0, abs=0.01)


def test_every_underlying_without_a_signal_says_why(runtime, ids):
    runtime.settings = Settings()
    agent, context = start(runtime)
    chains(agent, context, 0.16)
    answer = scan(agent, context)
    codes = [(note.text.split(":")[0], note.code) for note in answer.notes]
    assert ("BANKNIFTY", "IV_UNKNOWN") in codes
    assert ("NIFTY", "HV_UNKNOWN") in codes


def test_old_volatility_gives_no_signal(runtime, ids):
    agent, context = rich(runtime, ids)
    context.advance(121)
    answer = scan(agent, context)
    assert answer.signals == ()
    assert [note.code for note in answer.notes] == ["IV_STALE"]
    assert answer.notes[0].text == "NIFTY: the newest IV is 121 s old"


def test_a_far_expiry_that_is_renewed_no_more_gives_no_signal(runtime, ids):
    agent, context = rich(runtime, ids)
    assert scan(agent, context).signals
    context.advance(121)
    near = {"as_of_ns": context.now_ns() - seconds(20)}
    for days in (4, 11):  # 11 % is poor; only the frozen month is still rich at 16 %
        context.deliver(agent, summary(TODAY + timedelta(days=days), 0.12, float(days), **near))
    answer = scan(agent, context)
    assert answer.signals == ()
    (told,) = answer.inputs["volatility_snapshots"]
    assert (told["iv"], told["as_of_ns"]) == (0.12, near["as_of_ns"])


def test_a_reading_is_as_old_as_the_oldest_summary_in_it(runtime, ids):
    agent, context = rich(runtime, ids)
    context.advance(100)
    front = summary(TODAY + timedelta(days=4), 0.16, 4.0, as_of_ns=context.now_ns())
    context.deliver(agent, front)
    (told,) = scan(agent, context).inputs["volatility_snapshots"]
    assert told["as_of_ns"] == START_NS


def test_unknown_regime_gives_no_signal(runtime, ids):
    agent, context = rich(runtime, ids)
    answer = scan(agent, context, Regime())
    assert [note.code for note in answer.notes] == ["REGIME_UNKNOWN"]


def test_expired_chains_and_missing_volatilities_are_left_out(runtime, ids):
    agent, context = rich(runtime, ids)
    context.deliver(agent, summary(TODAY - timedelta(days=1), 0.9, 0.0))
    context.deliver(agent, summary(TODAY, float("nan"), 0.2))
    (signal,) = scan(agent, context).signals
    assert signal.extras["front_iv"] == "0.16"
    assert signal.extras["term_structure"] == "FLAT"


def test_readiness_says_what_is_missing(runtime, ids):
    agent, context = rich(runtime, ids)
    inputs = scan(agent, context).inputs
    (row,) = inputs["volatility_readiness"]
    assert row == {
        "underlying": "NIFTY", "price_bars": 60, "has_iv": True, "hv_ready_31": True,
        "iv_days": 100,
    }  # fmt: skip
    assert inputs["volatility_snapshots"][0]["vol_regime"] == "IV_HIGH"


def test_bars_before_the_master_are_kept_until_it_is_there(runtime):
    agent, context = start(runtime)
    context.feed("bars.1D", daily(1, choppy(0.0075)))
    context.feed("bars.1D", daily(2, choppy(0.0075)))
    context.feed("bars.1D", daily(3, choppy(0.0075)))
    load_master(runtime)
    context.deliver(agent, InstrumentsLoaded(broker="alpha", rows=3, day=TODAY))
    assert scan(agent, context).inputs["volatility_readiness"][0]["price_bars"] == 60


def test_daily_bars_told_again_are_not_counted_twice(runtime, ids):
    agent, context = start(runtime)
    for _ in range(2):
        context.feed("bars.1D", daily(ids["NIFTY"], choppy(0.0075)))
    assert scan(agent, context).inputs["volatility_readiness"][0]["price_bars"] == 60


def test_switches_of_the_environment_reach_the_rules(runtime, ids):
    runtime.settings = replace(runtime.settings, enable_jade_lizard=False)
    keep_history(runtime, RANK_75)
    agent, context = start(runtime)
    context.feed("bars.1D", daily(ids["NIFTY"], choppy(0.0075)))
    chains(agent, context, 0.16, put_iv_25d=0.24, call_iv_25d=0.15)
    strategies = {signal.strategy for signal in scan(agent, context).signals}
    assert strategies == {StrategyType.IRON_CONDOR, StrategyType.RISK_REVERSAL}


@pytest.mark.parametrize(
    "bad",
    [
        {"income_dte": (45, 30)},
        {"momentum_dte": (5,)},
        {"short_delta": 0.45},
        {"ditm_delta": 0.5},
        {"wing_points": {"NIFTY": 0}},
        {"iv_stale_after_s": 121.0},
    ],
)
def test_settings_out_of_range_are_refused_with_a_sentence(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        VolatilitySettings(**bad)


def test_correlations_are_told_with_the_bars_and_to_a_new_risk_agent(runtime, ids):
    runtime.settings = Settings(
        feed_underlyings=(
            ("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "BANKNIFTY"), ("NSE_INDEX", "INDIAVIX"),
        )
    )  # fmt: skip
    agent, context = start(runtime)
    prices = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 61)))
    for name in ids:
        context.feed("bars.1D", daily(ids[name], prices))
    (found,) = context.heard(CorrelationsMeasured)[-1].correlations
    assert (found.one, found.other, round(found.value, 6)) == ("BANKNIFTY", "NIFTY", 1.0)
    context.clear()
    news = {"life": 2, "reason": "killed", "handles_orders": True}
    context.deliver(agent, NodeRestarted(name="risk_agent", **news))
    assert context.heard(CorrelationsMeasured)[-1].correlations == (found,)
