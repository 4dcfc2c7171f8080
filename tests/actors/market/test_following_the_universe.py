"""What is hot is followed by bars, chains and ages like the operator's own list, and left again."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.actor import NoSettings
from actors.market import history_reader
from actors.market.bar_builder import BarBuilder
from actors.market.chain_keeper import ChainKeeper, ChainSettings
from actors.market.freshness_keeper import FreshnessKeeper
from domain.errors import NotSent
from domain.instruments import Kind
from domain.positions import BookSnapshot, Position
from domain.settings import Settings
from messages.market import (
    FreshnessMarked,
    SessionOpened,
    UniverseChanged,
    WantListings,
    WarmStartReported,
)
from messages.trading import PositionChanged
from tests.actors.market.test_bar_builder import FakeBroker
from tests.kit.market_makers import DAY, EXPIRIES, at, make_ticks

ONLY_VIX = Settings(feed_underlyings=(("NSE_INDEX", "INDIAVIX"),))
HOT = UniverseChanged(day=DAY, hot=(("NSE_INDEX", "NIFTY"),))
COLD = UniverseChanged(day=DAY, hot=())


@pytest.fixture
def nifty(market):
    return market.index.get("NSE_INDEX", "NIFTY").listing_id


@pytest.fixture
def keeper(market):
    context = market.context("chain_keeper", at(10, 0), settings=ONLY_VIX)
    made = ChainKeeper(context, ChainSettings(strikes_each_side=5, strikes_each_side_max=30))
    made.start()
    return context, made


@pytest.fixture
def builder(market, monkeypatch):
    broker = FakeBroker()
    monkeypatch.setattr(history_reader, "open_broker", lambda _endpoint, _key: broker)
    market.runtime.broker = lambda name: name
    context = market.context("bar_builder", at(10, 7, 30), settings=ONLY_VIX)
    made = BarBuilder(context, NoSettings())
    made.start()
    context.advance(1)
    return context, made, broker


def quote(context, nifty, spot=24_010):
    context.feed("ticks.alpha", make_ticks((nifty, context.now_ns(), spot)))


def wished(context, owner):
    wishes = [w for w in context.told_to("subscription_desk", WantListings) if w.owner == owner]
    return wishes[-1].listing_ids if wishes else ()


def test_a_chain_is_kept_while_its_underlying_is_hot(keeper, market, nifty):
    context, made = keeper
    quote(context, nifty)
    assert not wished(context, "chain_keeper")
    context.deliver(made, HOT)
    quote(context, nifty)
    names = {market.index.by_id[id_].name for id_ in wished(context, "chain_keeper")}
    assert names == {"NIFTY"}
    context.clear()
    context.deliver(made, COLD)
    assert wished(context, "chain_keeper") == ()
    gone = {topic: len(columns) for topic, columns, _ in context.published}
    assert gone
    assert set(gone.values()) == {0}  # an empty chain says that it is kept no more


def test_a_chain_with_a_position_stays_when_its_underlying_is_hot_no_more(keeper, market, nifty):
    context, made = keeper
    context.deliver(made, HOT)
    quote(context, nifty)
    held = Position(
        symbol="NIFTY24NOV2624000PE", exchange="NFO", product="NRML", direction="BUY", quantity=65,
        average_price=Decimal(10), strategy_id="s1", strategy_tag="t", strategy="DITM_PUT",
        leg_no=0, underlying="NIFTY", kind=Kind.PUT, strike=Decimal(24_000), expiry=EXPIRIES[0],
        entry_ns=0, broker="alpha",
    )  # fmt: skip
    context.deliver(made, PositionChanged(book=BookSnapshot(version=1, positions=(held,))))
    context.deliver(made, COLD)
    listing = market.index.get("NFO", "NIFTY24NOV2624000PE").listing_id
    assert listing in wished(context, "chain_keeper")
    # Nobody else wants the price of the underlying any more.
    assert wished(context, "underlyings of positions") == (nifty,)


def test_bars_of_a_hot_underlying_are_read_and_told_and_the_warm_start_does_not_wait(
    builder, nifty
):
    context, made, broker = builder
    assert "NIFTY" not in {name for name, _ in broker.asked}
    context.clear()
    context.deliver(made, HOT)
    assert nifty in wished(context, "bar_builder")
    told = {topic: set(rows["listing"].tolist()) for topic, rows, _ in context.published}
    assert told == {"bars.1m": {nifty}, "bars.15m": {nifty}, "bars.1D": {nifty}}
    assert not context.heard(WarmStartReported)
    context.clear()
    context.deliver(made, COLD)
    assert nifty not in wished(context, "bar_builder")


def test_windows_of_a_hot_underlying_are_asked_for_until_they_came(builder, nifty):
    context, made, broker = builder
    broker.failure = NotSent("no route to the broker")
    context.deliver(made, HOT)
    context.clear()
    context.advance(12)
    assert not context.published
    broker.failure = None
    context.advance(12)
    assert {topic for topic, rows, _ in context.published if nifty in rows["listing"]} >= {
        "bars.1m", "bars.15m", "bars.1D"
    }  # fmt: skip


def test_the_price_of_a_hot_underlying_has_an_age(market, nifty):
    context = market.context("freshness_keeper", at(10, 0), settings=ONLY_VIX)
    made = FreshnessKeeper(context, NoSettings())
    made.start()
    context.deliver(
        made,
        SessionOpened(
            day=DAY, opens_ns=at(9, 15), closes_ns=at(15, 40), intraday_exit_ns=0, square_off_ns=0
        ),
    )

    def quoted():
        context.feed("ticks.alpha", make_ticks((nifty, context.now_ns(), 24_010.0)))
        context.advance(1)
        return set(context.heard(FreshnessMarked)[-1].mark.quotes_ns)

    assert quoted() == set()
    context.deliver(made, HOT)
    assert quoted() == {"NIFTY"}
    context.deliver(made, COLD)
    assert quoted() == set()


def test_nothing_changes_for_a_hot_share_that_no_master_lists(builder):
    context, made, _ = builder
    context.clear()
    context.deliver(made, UniverseChanged(day=DAY, hot=(("NSE", "NOBODY"),)))
    assert not context.published
