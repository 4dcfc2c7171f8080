"""The sniper: bars in; directional signals at their price, or reasons, out."""

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from actors.signals.sniper_agent import SniperAgent, SniperSettings
from domain.clock import NS_PER_MINUTE, seconds
from domain.instruments import Kind, Listing
from domain.intents import Bias, SizedIntent, StrategyType
from domain.orders import CommandRow, CommandStatus
from domain.prices import BAR_DTYPE
from domain.readings import Phase, Regime
from domain.settings import Settings
from messages.codec import encode, to_plain
from messages.market import InstrumentsLoaded, WantWindows
from messages.trading import ScanCompleted, ScanRequested, SignalRaised, StructureOpened
from persistence.commands import CommandStore
from persistence.database import MainBase, MarketBase, open_engine
from persistence.instruments import InstrumentStore
from tests.kit.daily_bars import TIGHTENING, daily_bars, from_closes, with_volume
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime

BULLISH = Regime(
    version=5, phase=Phase.BULLISH, vix=16.0, vix_flags=(), as_of_ns=START_NS - seconds(60)
)
BEARISH = replace(BULLISH, phase=Phase.BEARISH)
# 60 quiet bars, a base of 25,990-26,020, and a departure up and away.
QUIET = [(26_000, 26_020, 26_000, 26_020), (26_020, 26_020, 26_000, 26_000)] * 30
INDEX_WITH_DEMAND = [*QUIET, (26_010, 26_020, 25_990, 26_005), (26_005, 26_105, 26_005, 26_105)]


@pytest.fixture
def runtime(tmp_path):
    made = make_runtime(tmp_path)
    engine = open_engine(made.database_url)
    MainBase.metadata.create_all(engine)
    engine.dispose()
    engine = open_engine(made.market_url)
    MarketBase.metadata.create_all(engine)
    engine.dispose()
    made.settings = Settings(
        feed_underlyings=(("NSE_INDEX", "NIFTY"), ("NSE", "ACME"), ("NSE_INDEX", "INDIAVIX"))
    )
    return made


@pytest.fixture
def ids(runtime):
    rows = [
        Listing(0, exchange, name, name, kind, 1, Decimal("0.05"), 0)
        for exchange, name, kind in (
            ("NSE_INDEX", "NIFTY", Kind.INDEX),
            ("NSE_INDEX", "INDIAVIX", Kind.INDEX),
            ("NSE", "ACME", Kind.EQUITY),
        )
    ]
    engine = open_engine(runtime.database_url)
    InstrumentStore(engine).load(rows, "alpha", date(2026, 11, 20))
    index = InstrumentStore(engine).load_index()
    engine.dispose()
    return {row.name: row.listing_id for row in index.by_id.values()}


def start(runtime, settings=None):
    context = RecordingContext("sniper_agent", runtime)
    agent = SniperAgent(context, settings or SniperSettings())
    agent.start()
    return agent, context


def minute(listing, price, ago=1, low=None, high=None):
    """One bar of a minute that ended `ago` minutes less one before now."""
    bar = np.zeros(1, BAR_DTYPE)
    bar["listing"], bar["start_ns"] = listing, START_NS - ago * NS_PER_MINUTE
    bar["open"] = bar["close"] = price
    bar["high"], bar["low"], bar["vwap"] = high or price, low or price, np.nan
    return bar


def with_demand(runtime, ids, price=26_010.0):
    """NIFTY has a fresh demand zone of 25,990-26,020 and trades in it."""
    agent, context = start(runtime)
    context.feed("bars.1D", daily_bars(INDEX_WITH_DEMAND, ids["NIFTY"]))
    context.feed("bars.1m", minute(ids["NIFTY"], price))
    return agent, context


def scan(agent, context, regime=BULLISH, dry=False):
    context.deliver(agent, ScanRequested(cycle=4, regime=regime, dry=dry))
    told = context.told_to("signal_loop", ScanCompleted)
    return (told if dry else context.heard(ScanCompleted))[-1]


def notes_of(answer):
    return {note.text.split(":")[0]: note.code for note in answer.notes}


def test_a_return_into_fresh_demand_buys_a_deep_call(runtime, ids):
    agent, context = with_demand(runtime, ids)
    answer = scan(agent, context)
    (signal,) = answer.signals
    assert (answer.cycle, answer.source, answer.regime_version) == (4, "sniper_agent", 5)
    assert (signal.source, signal.instrument, signal.pattern) == (
        "SNIPER", "NIFTY", "SUPPLY_DEMAND",
    )  # fmt: skip
    assert (signal.strategy, signal.direction, signal.bias) == (
        StrategyType.DITM_CALL, "BUY", Bias.BULLISH,
    )  # fmt: skip
    assert (signal.extras["signal_direction"], signal.extras["option_type"]) == ("BUY", "CE")
    # Middle of 25,990-26,020; half a per cent below the low edge; five above the high one.
    assert signal.price_basis == "UNDERLYING"
    assert (signal.entry_price, signal.stop_price, signal.target_price) == pytest.approx(
        (26_005.0, 25_860.05, 27_321.0)
    )
    # The benchmark is in line (100); 100 points left it, 38.45 basis points of 26,005: + 0.38.
    assert signal.strength == 100.38
    assert (signal.extras["rs_score"], signal.extras["signal_score"]) == ("100.00", "100.38")
    assert (signal.dte_min, signal.dte_max, signal.product) == (5, 10, "NRML")
    assert signal.valid_until_ns == START_NS + seconds(60)
    assert signal.instrument_vol > 0


def test_the_volatility_index_is_no_instrument_and_the_other_one_says_what_it_waits_for(
    runtime, ids
):
    agent, context = with_demand(runtime, ids)
    assert notes_of(scan(agent, context)) == {"ACME": "BARS_SHORT"}


def test_the_same_zone_is_no_signal_outside_it_or_in_another_market(runtime, ids):
    agent, context = with_demand(runtime, ids, price=26_050.0)
    answer = scan(agent, context)
    assert (answer.signals, notes_of(answer)["NIFTY"]) == ((), "WAITS_FOR_ZONE")
    assert notes_of(scan(agent, context, BEARISH))["NIFTY"] == "NO_PATTERN"
    (note,) = scan(agent, context, replace(BULLISH, phase=Phase.CONGESTION)).notes
    assert note.code == "CONGESTION_NO_DIRECTION"


def test_a_day_that_fell_through_the_stop_is_remembered_from_its_quarters(runtime, ids):
    agent, context = with_demand(runtime, ids)
    quarter = minute(ids["NIFTY"], 25_950.0, ago=30, low=25_860.0)
    context.feed("bars.15m", quarter, warm=True)
    assert notes_of(scan(agent, context))["NIFTY"] == "SETUP_FAILED"


def test_bars_of_yesterday_say_nothing_of_todays_price(runtime, ids):
    agent, context = start(runtime)
    context.feed("bars.1D", daily_bars(INDEX_WITH_DEMAND, ids["NIFTY"]))
    context.feed("bars.1m", minute(ids["NIFTY"], 26_010.0, ago=24 * 60), warm=True)
    assert notes_of(scan(agent, context))["NIFTY"] == "PRICE_UNKNOWN"


def test_a_stock_breaks_out_of_its_contraction(runtime, ids):
    agent, context = start(runtime)
    context.feed("bars.1D", from_closes([26_000.0] * 61, ids["NIFTY"]))
    bars = with_volume(TIGHTENING)
    bars["listing"] = ids["ACME"]
    context.feed("bars.1D", bars)
    context.feed("bars.1m", minute(ids["ACME"], 97.5))
    (signal,) = scan(agent, context).signals
    assert (signal.instrument, signal.pattern) == ("ACME", "VCP")
    assert (signal.entry_price, signal.stop_price, signal.target_price) == pytest.approx(
        (97.0, 92.15, 106.7)
    )
    strength = 100 * 96 / TIGHTENING[-51]
    assert signal.strength == pytest.approx(strength + 5, abs=0.01)
    assert (signal.dte_min, signal.dte_max) == (10, 45)


def test_a_scan_tells_its_signals_as_facts_and_a_dry_one_tells_nothing(runtime, ids):
    agent, context = with_demand(runtime, ids)
    context.clear()
    assert len(scan(agent, context, dry=True).signals) == 1
    assert context.announced == []
    scan(agent, context)
    assert [fact.signal.instrument for fact in context.heard(SignalRaised)] == ["NIFTY"]


def an_intent(signal):
    return SizedIntent(
        strategy_id="s1", strategy_tag="TOMIC_DITM_CALL_NIFTY", idempotency_key="s1:entry",
        correlation_id=signal.correlation_id, signal=signal, structure=None, quantity=65, lots=1,
        product="NRML", loss_per_unit=100.0, margin_required=Decimal(0), sizing=(),
        regime_version=5, regime_phase="BULLISH", regime_score=8, vix=16.0, entry_reason="",
        valid_until_ns=0,
    )  # fmt: skip


def test_a_zone_that_was_traded_is_used_up(runtime, ids):
    agent, context = with_demand(runtime, ids)
    (signal,) = scan(agent, context).signals
    context.deliver(agent, StructureOpened(intent=an_intent(signal), command_id=1))
    answer = scan(agent, context)
    assert (answer.signals, notes_of(answer)["NIFTY"]) == ((), "SETUP_TRADED")


@pytest.mark.parametrize(
    ("status", "is_used_up"), [(CommandStatus.DONE, True), (CommandStatus.FAILED, False)]
)
def test_a_new_life_reads_from_the_orders_which_setups_are_used_up(
    runtime, ids, status, is_used_up
):
    agent, context = with_demand(runtime, ids)
    (signal,) = scan(agent, context).signals
    engine = open_engine(runtime.database_url)
    CommandStore(engine).record(a_command(signal, status), [])
    engine.dispose()
    agent, context = with_demand(runtime, ids)
    assert (scan(agent, context).signals == ()) == is_used_up


def a_command(signal, status):
    return CommandRow(
        event_type="ORDER_REQUEST", idempotency_key="s1:entry",
        correlation_id=signal.correlation_id, strategy_id="s1", strategy_tag="t",
        underlying="NIFTY", broker_name="alpha", source_agent="risk_agent",
        payload=json.dumps(to_plain(an_intent(signal))), created_ns=START_NS, status=status,
    )  # fmt: skip


def test_readiness_counts_bars_and_zones(runtime, ids):
    agent, context = with_demand(runtime, ids)
    inputs = scan(agent, context).inputs
    rows = {row["instrument"]: row for row in inputs["sniper_readiness"]}
    assert inputs["sniper_instruments"] == 2
    nifty, acme = rows["NIFTY"], rows["ACME"]
    assert (nifty["bars"], nifty["ready_30"], nifty["setups"]) == (62, True, 1)
    assert nifty["zones_cached"] >= 1
    assert (acme["bars"], acme["ready_30"], acme["rs"]) == (0, False, None)


def test_what_is_to_be_looked_at_must_be_watched(runtime, ids):
    runtime.settings = replace(runtime.settings, sniper_symbols=(("NSE", "ACME"), ("NSE", "OTHER")))
    agent, context = with_demand(runtime, ids)
    answer = scan(agent, context)
    assert answer.signals == ()
    assert [note.code for note in answer.notes] == ["BARS_SHORT", "NOT_WATCHED"]
    assert "TOMIC_FEED_UNDERLYINGS" in answer.notes[1].text


def test_bars_from_before_the_master_are_not_lost(runtime):
    agent, context = start(runtime)
    context.feed("bars.1D", daily_bars(INDEX_WITH_DEMAND, 1))
    context.feed("bars.1m", minute(1, 26_010.0))
    rows = [Listing(0, "NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 1, Decimal("0.05"), 0)]
    engine = open_engine(runtime.database_url)
    InstrumentStore(engine).load(rows, "alpha", date(2026, 11, 20))
    engine.dispose()
    context.deliver(agent, InstrumentsLoaded(broker="alpha", rows=1, day=date(2026, 11, 20)))
    assert [signal.instrument for signal in scan(agent, context).signals] == ["NIFTY"]


def test_the_windows_of_before_are_asked_for_until_they_came(runtime, ids):
    _, context = start(runtime)
    context.advance(4)
    assert len(context.told_to("bar_builder", WantWindows)) == 3
    context.feed("bars.1D", daily_bars(INDEX_WITH_DEMAND, ids["NIFTY"]), warm=True)
    context.advance(10)
    assert len(context.told_to("bar_builder", WantWindows)) == 3


def test_the_swings_of_the_session_are_shown(runtime, ids):
    agent, context = start(runtime)
    rows = [(252, 248, 249), (250, 245, 246), (247, 242, 243)]
    for ago, (high, low, close) in zip((3, 2, 1), rows, strict=True):
        context.feed("bars.1m", minute(ids["NIFTY"], close, ago=ago, low=low, high=high))
    scan(agent, context)
    swing = context.reports[-1]["swings"]["NIFTY"]
    assert (swing["type"], swing["price"], swing["broken"]) == ("HIGH", 252.0, False)


def test_a_new_day_begins_with_an_empty_range(runtime, ids):
    agent, context = with_demand(runtime, ids)
    context.advance(timedelta(days=1).total_seconds())
    assert notes_of(scan(agent, context))["NIFTY"] == "PRICE_UNKNOWN"


def test_the_answer_travels(runtime, ids):
    agent, context = with_demand(runtime, ids)
    assert encode(scan(agent, context))


@pytest.mark.parametrize("bad", [{"dte": (10, 5)}, {"equity_dte": (-1, 5)}, {"dte": (1, 2, 3)}])
def test_a_band_of_days_must_be_one(bad):
    with pytest.raises(ValueError, match="must be"):
        SniperSettings(**bad)
