"""The bar builder: warm windows first, then bars by the clock, told once and kept."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from actors.actor import NoSettings
from actors.market import history_reader
from actors.market.bar_builder import BarBuilder
from domain.brokers import HistoryBar
from domain.clock import NS_PER_MINUTE, seconds
from domain.errors import BrokerRejected, NotSent
from domain.settings import Settings
from messages.lifecycle import NodeRestarted
from messages.market import (
    CarriageChanged,
    FeedSwitched,
    InstrumentsLoaded,
    WantListings,
    WantWindows,
    WarmStartReported,
)
from persistence.database import open_engine
from persistence.market import MarketStore
from tests.kit.market_makers import DAY, at, make_ticks

MIDNIGHT_DAY_BEFORE = at(0, 0, day=date(2026, 11, 19))


class FakeBroker:
    """History of a flat market; `failure` makes every call raise it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.minute_price = 100.0

    def history(self, listing, interval, first, last):
        self.asked.append((listing.symbol, interval))
        if self.failure:
            raise self.failure
        starts = {
            "1m": range(at(9, 15), at(15, 30), NS_PER_MINUTE),
            "15m": range(at(9, 15), at(15, 30), 15 * NS_PER_MINUTE),
            "D": [MIDNIGHT_DAY_BEFORE + seconds(3600), at(0, 0)],
        }[interval]
        price = self.minute_price
        return [HistoryBar(start, price, price + 1, price - 1, price, 10) for start in starts]

    def close(self):
        pass


@pytest.fixture
def broker(monkeypatch):
    fake = FakeBroker()
    monkeypatch.setattr(history_reader, "open_broker", lambda _endpoint, _key: fake)
    return fake


@pytest.fixture
def build(market, broker):
    market.runtime.broker = lambda name: name

    def make(now_ns, **options):
        context = market.context("bar_builder", now_ns, **options)
        builder = BarBuilder(context, NoSettings())
        builder.start()
        return context, builder

    return make


def published(context, timeframe, *, warm=False):
    return [
        columns
        for topic, columns, meta in context.published
        if topic == f"bars.{timeframe}" and meta["warm"] is warm
    ]


def stored(market, name, timeframe):
    engine = open_engine(market.runtime.market_url)
    rows = MarketStore(engine).read_bars(market.index.get("NSE_INDEX", name), timeframe)
    engine.dispose()
    return rows


def nifty(market):
    return market.index.get("NSE_INDEX", "NIFTY").listing_id


def test_it_wants_the_underlyings(build, market):
    context, _ = build(at(10, 0))
    (wish,) = context.told_to("subscription_desk", WantListings)
    names = {market.index.by_id[id_].symbol for id_ in wish.listing_ids}
    assert (wish.owner, names, wish.pinned) == ("bar_builder", {"NIFTY", "INDIAVIX"}, False)


def test_warm_windows_are_told_before_any_live_bar_and_hold_ended_bars_only(build, market):
    context, _ = build(at(10, 7, 30))
    assert not context.published
    context.advance(1.0)
    assert [topic for topic, _, _ in context.published] == ["bars.1m", "bars.15m", "bars.1D"]
    minutes, quarters, days = (rows for _, rows, _ in context.published)
    own = nifty(market)
    assert minutes[minutes["listing"] == own]["start_ns"].max() == at(10, 6)
    assert quarters[quarters["listing"] == own]["start_ns"].max() == at(9, 45)
    assert days[days["listing"] == own]["start_ns"].tolist() == [MIDNIGHT_DAY_BEFORE]
    assert minutes["history"].all()
    told = context.heard(WarmStartReported)
    assert [row.status for row in told] == ["idle", "running", "ok"]


def test_before_second_twelve_history_is_not_asked_for(build, broker):
    context, _ = build(at(10, 7, 3))
    context.advance(8.9)
    assert not broker.asked
    context.advance(0.2)
    assert broker.asked


def test_a_broker_that_fails_is_asked_again_and_the_failure_is_told(build, broker):
    broker.failure = NotSent("no route to the broker")
    context, _ = build(at(10, 7, 30))
    context.advance(1)
    assert context.heard(WarmStartReported)[-1].status == "error"
    assert context.reports[-1]["warm_start"]["errors"]["NIFTY"] == "no route to the broker"
    broker.failure = None
    context.advance(10)
    assert context.heard(WarmStartReported)[-1].status == "ok"
    assert context.reports[-1]["last_error"] == ""


def test_a_freshness_keeper_with_a_new_life_hears_again_how_the_warm_start_went(build):
    context, builder = build(at(10, 7, 30))
    context.advance(1)
    context.clear()
    for name in ("chain_keeper", "freshness_keeper"):
        again = NodeRestarted(name=name, life=2, reason="killed", handles_orders=False)
        context.deliver(builder, again)
    assert [row.status for row in context.heard(WarmStartReported)] == ["ok"]


def test_a_switched_off_warm_start_asks_nobody(build, broker):
    context, _ = build(at(9, 0), settings=Settings(warm_start_enabled=False))
    context.advance(30)
    assert not broker.asked
    assert context.heard(WarmStartReported)[-1].status == "disabled"


def test_without_a_master_it_waits_for_the_load(market, broker, tmp_path, build):
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    engine = open_engine(empty)
    from persistence.database import MainBase

    MainBase.metadata.create_all(engine)
    engine.dispose()
    context, builder = build(at(10, 0, 30), database_url=empty)
    context.advance(5)
    assert not context.told
    context.runtime.database_url = market.runtime.database_url
    context.deliver(builder, InstrumentsLoaded(broker="alpha", rows=1, day=DAY))
    assert context.told_to("subscription_desk", WantListings)


def test_a_bar_closes_two_seconds_after_its_minute_and_is_kept(build, market):
    context, _ = build(at(9, 0))
    own = nifty(market)
    context.advance(seconds(15 * 60) / 1e9)
    context.feed(
        "ticks.alpha", make_ticks((own, at(9, 15, 1), 24_000), (own, at(9, 15, 9), 24_010))
    )
    context.advance(61.9)
    assert not published(context, "1m")
    context.advance(0.1)
    (bars,) = published(context, "1m")
    assert bars[["listing", "open", "close"]].tolist() == [(own, 24_000, 24_010)]
    assert stored(market, "NIFTY", "1m")["close"][-1] == 24_010


def test_quarters_and_the_day_are_made_from_minutes_and_told_when_they_end(build, market, broker):
    broker.failure = NotSent("off")
    context, _ = build(at(9, 0))
    own, option = nifty(market), market.index.get("NFO", "NIFTY24NOV2624000CE").listing_id
    for minute, price in ((15, 100.0), (29, 130.0), (30, 90.0)):
        context.advance((at(9, minute, 5) - context.now_ns()) / 1e9)
        ticks = make_ticks((own, context.now_ns(), price), (option, context.now_ns(), 5.0))
        context.feed("ticks.alpha", ticks)
    context.advance((at(9, 30, 2) - at(9, 30, 5) + seconds(60)) / 1e9)
    (quarter,) = published(context, "15m")
    assert quarter[["listing", "start_ns", "open", "high", "low", "close"]].tolist() == [
        (own, at(9, 15), 100, 130, 100, 130)
    ]
    assert not published(context, "1D")
    context.stall((at(15, 39) - context.now_ns()) / 1e9)
    context.advance((at(15, 40, 2) - context.now_ns()) / 1e9)
    (day,) = published(context, "1D")
    assert day[["start_ns", "open", "high", "low", "close"]].tolist() == [
        (at(0, 0), 100, 130, 90, 90)
    ]
    assert stored(market, "NIFTY", "1D")["close"].tolist() == [90]


def test_only_the_canonical_feed_counts(build, market):
    context, builder = build(at(9, 0))
    own = nifty(market)
    context.advance(15 * 60 + 10)
    context.feed("ticks.beta", make_ticks((own, at(9, 15, 5), 1.0)))
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 6), 100.0)))
    switch = FeedSwitched(
        from_broker="alpha", to_broker="beta", reason="silent", using_fallback=True
    )
    context.deliver(builder, switch)
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 7), 2.0)))
    context.feed("ticks.beta", make_ticks((own, at(9, 15, 8), 101.0)))
    context.advance(60)
    (bars,) = published(context, "1m")
    assert bars[["open", "high", "low", "close"]].tolist() == [(100, 101, 100, 101)]


def carriage(since_ns: dict[int, int], broker="alpha"):
    return CarriageChanged(
        broker=broker, listing_ids=tuple(since_ns), since_ns=tuple(since_ns.values())
    )


def test_minutes_of_an_outage_are_partial_until_history_replaces_them(build, market, broker):
    context, builder = build(at(9, 0))
    own = nifty(market)
    context.advance(15 * 60 + 10)
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 10), 200.0)))
    context.advance(60)
    context.deliver(builder, carriage({own: at(9, 15, 10)}))
    context.deliver(builder, carriage({}))
    context.feed("ticks.alpha", make_ticks((own, at(9, 16, 11), 300.0)))
    context.advance(52)
    assert [bool(rows["partial"][0]) for rows in published(context, "1m")] == [False, True]
    context.advance(10)
    minutes = stored(market, "NIFTY", "1m")
    today = minutes[(minutes["start_ns"] >= at(9, 15)) & (minutes["start_ns"] <= at(9, 16))]
    assert today["close"].tolist() == [100, 100]
    assert not today["partial"].any()
    repaired = published(context, "1m", warm=True)[-1]
    assert repaired["close"][repaired["start_ns"] == at(9, 16)].tolist() == [100]


def test_an_option_whose_socket_fell_is_repaired_and_its_neighbour_is_left_alone(
    build, market, broker
):
    context, builder = build(at(9, 0))
    lost, kept = (
        market.index.get("NFO", f"NIFTY24NOV26{strike}CE").listing_id for strike in (24000, 24050)
    )
    context.advance(15 * 60 + 5)
    for at_ns in (at(9, 15, 5), at(9, 16, 5)):
        context.feed("ticks.alpha", make_ticks((lost, at_ns, 50.0), (kept, at_ns, 60.0)))
        context.advance(60)
    context.deliver(builder, carriage({lost: at(9, 16, 30)}))
    assert builder._bars.closed.window(lost)["partial"].tolist() == [False, True]
    context.feed("ticks.alpha", make_ticks((kept, at(9, 17, 5), 60.0)))
    context.advance(60)
    context.deliver(builder, carriage({}))
    broker.asked.clear()
    context.advance(70)
    assert [name for name, interval in broker.asked if interval == "1m"] == ["NIFTY24NOV2624000CE"]
    assert builder._bars.closed.window(lost)["close"].tolist() == [50, 100, 100, 100]
    assert builder._bars.closed.window(kept)["close"].tolist() == [60, 60, 60]


def test_a_repaired_minute_repairs_the_quarter_that_was_told(build, market, broker):
    context, builder = build(at(9, 0))
    own = nifty(market)
    for minute in range(15, 30):
        context.advance((at(9, minute, 5) - context.now_ns()) / 1e9)
        context.feed("ticks.alpha", make_ticks((own, context.now_ns(), 500.0)))
    context.deliver(builder, carriage({own: at(9, 29, 6)}))
    context.advance(60)
    assert published(context, "15m")[-1]["partial"].tolist() == [True]
    context.deliver(builder, carriage({}))
    context.advance(70)
    quarter = published(context, "15m", warm=True)[-1]
    assert quarter[["start_ns", "low", "partial"]].tolist() == [(at(9, 15), 99, False)]
    assert stored(market, "NIFTY", "15m")["close"][-1] == 100


def test_missed_batches_make_the_minute_partial_and_history_is_asked(build, market, broker):
    context, builder = build(at(9, 0))
    own = nifty(market)
    context.advance(15 * 60 + 5)
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 5), 200.0)))
    context.advance(5)
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 10), 201.0)), missed=3)
    context.advance(52)
    assert published(context, "1m")[-1]["partial"].tolist() == [True]
    context.advance(12)
    assert builder._bars.closed.window(own)["close"].tolist() == [100]


def test_history_that_refuses_a_listing_is_not_asked_for_it_again(build, market, broker):
    context, builder = build(at(9, 0))
    own = nifty(market)
    context.advance(15 * 60 + 5)
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 5), 200.0)))
    broker.failure = BrokerRejected("no such symbol")
    context.deliver(builder, carriage({own: at(9, 15, 6)}))
    context.deliver(builder, carriage({}))
    broker.asked.clear()
    context.advance(300)
    assert len(broker.asked) == 2  # each broker once
    assert builder._bars.closed.window(own)["partial"].tolist() == [True]


def test_when_the_canonical_broker_has_no_history_the_next_is_asked(build, market, monkeypatch):
    brokers = {"alpha": FakeBroker(), "beta": FakeBroker()}
    brokers["alpha"].failure = NotSent("no route")
    monkeypatch.setattr(history_reader, "open_broker", lambda endpoint, _key: brokers[endpoint])
    context, _ = build(at(10, 7, 30))
    context.advance(1)
    assert context.heard(WarmStartReported)[-1].status == "ok"
    assert len(brokers["alpha"].asked) == 1  # then it cools
    assert len(brokers["beta"].asked) == 6


def test_after_a_switch_the_new_canonical_broker_is_asked_first(build, market, monkeypatch):
    brokers = {"alpha": FakeBroker(), "beta": FakeBroker()}
    monkeypatch.setattr(history_reader, "open_broker", lambda endpoint, _key: brokers[endpoint])
    context, builder = build(at(9, 0))
    own = nifty(market)
    context.advance(15 * 60 + 5)
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 5), 200.0)))
    for fake in brokers.values():
        fake.asked.clear()
    switch = FeedSwitched(from_broker="alpha", to_broker="beta", reason="", using_fallback=True)
    context.deliver(builder, switch)
    context.advance(70)
    assert not brokers["alpha"].asked
    assert [name for name, _ in brokers["beta"].asked] == ["NIFTY", "INDIAVIX"]


def test_a_restarted_builder_takes_its_partial_minutes_back_as_partial(build, market, broker):
    broker.failure = NotSent("off")
    context, builder = build(at(9, 0))
    own = nifty(market)
    context.advance(15 * 60 + 5)
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 5), 200.0)))
    context.deliver(builder, carriage({own: at(9, 15, 6)}))
    context.deliver(builder, carriage({}))
    context.advance(62)
    again, builder = build(at(9, 16, 30), life=2)
    assert builder._bars.closed.window(own)[["partial", "history"]].tolist() == [(True, False)]
    broker.failure = None
    again.advance(60)
    window = builder._bars.closed.window(own)
    assert window[["close", "partial", "history"]][:1].tolist() == [(100, False, True)]


def test_who_asks_gets_the_windows_with_the_live_bars(build, market):
    context, builder = build(at(9, 0))
    own = nifty(market)
    context.advance(15 * 60 + 1)
    context.feed("ticks.alpha", make_ticks((own, at(9, 15, 1), 24_000)))
    context.advance(62)
    context.clear()
    context.deliver(builder, WantWindows(owner="regime_agent"))
    minutes = published(context, "1m", warm=True)[0]
    mine = minutes[minutes["listing"] == own]
    assert mine["start_ns"][-1] == at(9, 15)
    assert (np.diff(mine["start_ns"]) > 0).all()


def test_a_restarted_builder_reads_its_minutes_back_and_the_vwap_goes_on(build, market, broker):
    broker.failure = NotSent("off")
    option = market.index.get("NFO", "NIFTY24NOV2624000CE").listing_id
    context, _ = build(at(9, 0))
    context.advance(15 * 60)
    ticks = make_ticks((option, at(9, 15, 1), 100.0, 0), (option, at(9, 15, 2), 100.0, 30))
    context.feed("ticks.alpha", ticks)
    context.advance(62)
    again, _ = build(at(9, 16, 30), life=2)
    ticks = make_ticks((option, at(9, 17, 1), 200.0, 500), (option, at(9, 17, 2), 200.0, 510))
    again.advance(31)
    again.feed("ticks.alpha", ticks)
    again.advance(61)
    bar = published(again, "1m")[-1]
    assert bar["vwap"].tolist() == pytest.approx([(100 * 30 + 200 * 10) / 40])


def test_the_next_day_begins_by_its_first_tick_or_a_quarter_before_the_open(build, market):
    context, builder = build(at(15, 0))
    own, next_day = nifty(market), date(2026, 11, 24)
    context.feed("ticks.alpha", make_ticks((own, at(15, 0, 1), 24_000)))
    context.stall((at(8, 59, 59, day=next_day) - context.now_ns()) / 1e9)
    assert len(builder._bars.closed.window(own))
    context.advance(4)
    assert not len(builder._bars.closed.window(own))


def test_after_the_last_bar_the_session_is_summed_up(build, market, broker):
    broker.failure = NotSent("off")
    context, _ = build(at(15, 0))
    lines = []
    context.log = type("Log", (), {
        "warning": lambda *_: None,
        "info": lambda _self, text, *parts: lines.append(text.format(*parts)),
    })()  # fmt: skip
    context.advance(60)
    context.feed("ticks.alpha", make_ticks((nifty(market), at(15, 1), 24_000.0)))
    context.advance(40 * 60)
    summed = [line for line in lines if line.startswith("[SESSION]")]
    assert summed[0] == (
        "[SESSION] NIFTY | bars 1 | thin 1 | partial 0 | history 0 | gaps 0 | VWAP none"
    )
    assert summed[-1] == "[SESSION] ticks {'accepted': 1}"
    assert context.reports[-1]["quality"]["NIFTY"]["thin"] == 1


def test_a_silent_underlying_is_named_and_silent_options_are_counted(build, market):
    context, _ = build(at(9, 0))
    lines = []
    context.log = type("Log", (), {
        "warning": lambda _self, text, *parts: lines.append(text.format(*parts)),
        "info": lambda _self, text, *parts: lines.append(text.format(*parts)),
    })()  # fmt: skip
    option = market.index.get("NFO", "NIFTY24NOV2624000CE").listing_id
    context.advance(14 * 60)
    context.feed("ticks.alpha", make_ticks((option, at(9, 14), 5.0)))
    context.advance(60)
    context.feed("ticks.alpha", make_ticks((nifty(market), at(9, 15), 24_000.0, 0)))
    context.advance(62)
    assert "[BAR] NIFTY | O:24000 H:24000 L:24000 C:24000 V:0 VWAP:nan" in lines
    assert "[DATA] No ticks for INDIAVIX in 09:15" in lines
    assert "[DATA] No ticks for 1 options in 09:15" in lines


def test_a_refused_backfill_is_asked_again_and_its_minute_takes_its_place_in_the_window(
    build, market, broker
):
    context, builder = build(at(10, 7, 30))
    own = nifty(market)
    context.advance(31)
    broker.failure = NotSent("no route to the broker")
    for minute in (8, 9):
        context.feed("ticks.alpha", make_ticks((own, context.now_ns(), 24_000.0 + minute)))
        context.advance(60)
    broker.failure = None
    asked = len(broker.asked)
    context.advance(15)
    assert len(broker.asked) == asked + 2  # one a minute for each of two underlyings
    context.clear()
    context.deliver(builder, WantWindows(owner="volatility_agent"))
    minutes = published(context, "1m", warm=True)[0]
    mine = minutes[minutes["listing"] == own][-4:]
    # 10:07 was running at the start: only history knows it, and it came after 10:08 and 10:09.
    assert mine["start_ns"].tolist() == [at(10, minute) for minute in (6, 7, 8, 9)]
    assert mine["close"].tolist() == [100, 100, 24_008, 24_009]
