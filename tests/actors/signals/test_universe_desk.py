"""The sniper's universe: built by the calendar, kept, told, and followed by live prices."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from actors.signals import universe_desk
from actors.signals.sniper_agent import SniperAgent, SniperSettings
from domain.brokers import HistoryBar
from domain.clock import seconds
from domain.errors import NotSent
from domain.instruments import Kind, Listing
from domain.settings import Settings
from messages.lifecycle import NodeRestarted
from messages.market import (
    InstrumentsLoaded,
    SessionClosed,
    SessionOpened,
    UniverseChanged,
    WantListings,
)
from persistence.database import MainBase, MarketBase, open_engine
from persistence.instruments import InstrumentStore
from persistence.market import MarketStore
from tests.kit.daily_bars import day_ns
from tests.kit.market_makers import make_ticks
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime

DAY = date(2026, 11, 20)
OPENS_NS = START_NS - seconds(3600)  # 09:15
GROWTH = {"NIFTY": 1.10, "FAST": 1.21, "SLOW": 0.99, "PLAIN": 2.0}


class FakeBroker:
    """Daily candles of 60 days that grow by GROWTH over the last 50; `down` fails every call."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, date, date]] = []
        self.down = False

    def history(self, listing, interval, first, last):
        assert interval == "D"
        self.asked.append((listing.symbol, first, last))
        if self.down:
            raise NotSent("alpha: no connection")
        rows = []
        for back in range(60):
            share = max(0.0, 1 - back / 50)
            close = 100 * (1 + (GROWTH[listing.symbol] - 1) * share)
            start_ns = day_ns(last - timedelta(days=back))
            rows.append(HistoryBar(start_ns, close, close, close, close, 700_000))
        return rows[::-1]

    def close(self):
        pass


@pytest.fixture
def broker(monkeypatch):
    fake = FakeBroker()
    monkeypatch.setattr(universe_desk, "open_broker", lambda _endpoint, _key: fake)
    return fake


@pytest.fixture
def runtime(tmp_path):
    made = make_runtime(tmp_path)
    made.broker = lambda name: name
    made.settings = Settings(feed_underlyings=(("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "INDIAVIX")))
    for base, url in ((MainBase, made.database_url), (MarketBase, made.market_url)):
        engine = open_engine(url)
        base.metadata.create_all(engine)
        engine.dispose()
    load(made)
    return made


def load(runtime, options=("FAST", "SLOW")):
    rows = [Listing(0, "NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 1, Decimal("0.05"), 0)]
    for name in ("FAST", "SLOW", "PLAIN"):
        rows.append(Listing(0, "NSE", name, name, Kind.EQUITY, 1, Decimal("0.05"), 0))
    for name in options:
        rows.append(
            Listing(0, "NFO", f"{name}24NOV26100CE", name, Kind.CALL, 500, Decimal("0.05"), 0,
                    date(2026, 11, 24), Decimal(100))
        )  # fmt: skip
    engine = open_engine(runtime.database_url)
    InstrumentStore(engine).load(rows, "alpha", DAY)
    engine.dispose()


def start(runtime, now_ns=START_NS, life=1):
    context = RecordingContext("sniper_agent", runtime, now_ns=now_ns, life=life)
    agent = SniperAgent(context, SniperSettings())
    agent.start()
    return agent, context


def opened(day=DAY):
    return SessionOpened(
        day=day, opens_ns=OPENS_NS, closes_ns=START_NS + seconds(9_000), intraday_exit_ns=0,
        square_off_ns=0,
    )  # fmt: skip


def listing_id(runtime, name, exchange="NSE"):
    engine = open_engine(runtime.database_url)
    found = InstrumentStore(engine).load_index().get(exchange, name).listing_id
    engine.dispose()
    return found


def kept(runtime):
    return MarketStore(open_engine(runtime.market_url)).read_universe()


def test_the_universe_is_built_a_quarter_of_an_hour_before_the_calendars_open(runtime, broker):
    agent, context = start(runtime, now_ns=OPENS_NS - seconds(3600))
    closed = SessionClosed(day=DAY, reason="before the open", next_opens_ns=OPENS_NS)
    context.deliver(agent, closed)
    context.advance(2_699)
    assert not broker.asked
    context.advance(1)
    # Only what has options is asked for, completed days only, and the benchmark beside it.
    yesterday = DAY - timedelta(days=1)
    assert {(name, last) for name, _, last in broker.asked} == {
        ("NIFTY", yesterday), ("FAST", yesterday), ("SLOW", yesterday)
    }  # fmt: skip
    assert kept(runtime).day == DAY
    assert context.heard(UniverseChanged)[-1].hot == (("NSE", "FAST"), ("NSE", "SLOW"))


def test_a_start_in_the_session_builds_at_once_and_a_second_one_takes_it_from_disk(runtime, broker):
    agent, context = start(runtime)
    context.deliver(agent, opened())
    assert len(broker.asked) == 3
    assert {row.name: row.code for row in kept(runtime).rows} == {
        "NIFTY": "", "FAST": "", "SLOW": "", "PLAIN": "NO_OPTIONS"
    }  # fmt: skip
    again, second = start(runtime, life=2)
    second.deliver(again, opened())
    assert len(broker.asked) == 3
    assert second.heard(UniverseChanged)[-1].hot == (("NSE", "FAST"), ("NSE", "SLOW"))


def test_hot_shares_are_read_like_the_operators_own(runtime, broker):
    agent, context = start(runtime)
    context.deliver(agent, opened())
    assert [row["instrument"] for row in context.reports[-1]["readiness"]] == ["NIFTY"]
    context.deliver(agent, InstrumentsLoaded(broker="alpha", rows=6, day=DAY))
    context.advance(1_000)
    names = [row["instrument"] for row in agent._readiness()]
    assert names == ["NIFTY", "FAST", "SLOW"]


def test_members_are_subscribed_and_ranked_anew_by_their_prices(runtime, broker):
    agent, context = start(runtime)
    context.deliver(agent, opened())
    wish = context.told_to("subscription_desk", WantListings)[-1]
    ids = {name: listing_id(runtime, name) for name in ("FAST", "SLOW")}
    nifty = listing_id(runtime, "NIFTY", "NSE_INDEX")
    assert (wish.owner, set(wish.listing_ids)) == ("universe", {nifty, *ids.values()})
    now = context.now_ns()
    context.feed(
        "ticks.alpha",
        make_ticks((nifty, now, 110.0), (ids["FAST"], now, 121.0), (ids["SLOW"], now, 150.0)),
    )
    context.feed("ticks.beta", make_ticks((ids["SLOW"], now, 1.0)))  # not the canonical feed
    context.advance(900)
    assert context.heard(UniverseChanged)[-1].hot == (("NSE", "SLOW"), ("NSE", "FAST"))
    assert [row.name for row in kept(runtime).watched] == ["NIFTY", "SLOW", "FAST"]


def test_nothing_is_scored_while_the_market_is_shut(runtime, broker):
    agent, context = start(runtime)
    context.deliver(agent, opened())
    before = kept(runtime).scored_ns
    closed = SessionClosed(day=DAY, reason="after", next_opens_ns=OPENS_NS + seconds(3 * 86_400))
    context.deliver(agent, closed)
    context.advance(1_800)
    assert kept(runtime).scored_ns == before


def test_a_broker_that_is_down_leaves_yesterdays_universe_and_is_asked_again(runtime, broker):
    agent, context = start(runtime)
    context.deliver(agent, opened(DAY - timedelta(days=1)))
    broker.down = True
    context.deliver(agent, opened())
    assert kept(runtime).day == DAY - timedelta(days=1)
    assert context.alerts[-1].text == (
        "the universe of 2026-11-20 has no member: FAST: no daily bars (alpha: no connection)"
    )
    assert agent._universe.notes()[0].code == "UNIVERSE_OLD"
    broker.down = False
    context.advance(120)
    assert kept(runtime).day == DAY
    assert agent._universe.notes() == []


def test_a_market_without_stock_options_asks_nobody_and_subscribes_nothing(runtime, broker):
    load(runtime, options=())
    agent, context = start(runtime)
    context.deliver(agent, opened())
    assert not broker.asked
    assert not context.told_to("subscription_desk")
    assert not context.heard(UniverseChanged)
    assert [row.name for row in kept(runtime).watched] == ["NIFTY"]


@pytest.mark.parametrize("who", ["bar_builder", "chain_keeper", "freshness_keeper"])
def test_a_follower_that_is_new_hears_the_hot_list_again(runtime, broker, who):
    agent, context = start(runtime)
    context.deliver(agent, opened())
    context.clear()
    context.deliver(agent, NodeRestarted(name=who, life=2, reason="", handles_orders=False))
    (reminded,) = context.told_to(who, UniverseChanged)
    assert reminded.hot == (("NSE", "FAST"), ("NSE", "SLOW"))
    assert not context.announced


def test_a_new_desk_is_told_the_wish_again(runtime, broker):
    agent, context = start(runtime)
    context.deliver(agent, opened())
    wish = context.told_to("subscription_desk", WantListings)[-1]
    context.clear()
    restarted = NodeRestarted(name="subscription_desk", life=2, reason="", handles_orders=False)
    context.deliver(agent, restarted)
    (again,) = context.told_to("subscription_desk", WantListings)
    assert again.listing_ids == wish.listing_ids
