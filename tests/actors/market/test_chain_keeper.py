"""The chain keeper: which options are wanted, what of them is told, and legs on demand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from actors.market.chain_keeper import ChainKeeper, ChainSettings
from domain.black76 import forward_of, price
from domain.instruments import Kind
from domain.intents import Leg
from domain.positions import BookSnapshot, Position
from domain.prices import CHAIN_DTYPE
from domain.settings import Settings
from messages.lifecycle import NodeRestarted
from messages.market import (
    AtmShifted,
    ChainSummarised,
    FeedSwitched,
    LegsResolved,
    ResolveLegs,
    SessionClosed,
    SessionOpened,
    WantListings,
)
from messages.trading import PositionChanged
from persistence.database import open_engine
from persistence.market import MarketStore
from tests.kit.market_makers import DAY, EXPIRIES, at, make_ticks

FRONT, NEXT, LATER, MONTH = EXPIRIES
OPEN = at(10, 0)
ONLY_NIFTY = Settings(feed_underlyings=(("NSE_INDEX", "NIFTY"), ("NSE_INDEX", "INDIAVIX")))


@pytest.fixture
def keep(market):
    def make(now_ns=OPEN, **options):
        context = market.context("chain_keeper", now_ns, settings=ONLY_NIFTY, **options)
        keeper = ChainKeeper(context, ChainSettings(strikes_each_side=5, strikes_each_side_max=30))
        keeper.start()
        return context, keeper

    return make


def quote_spot(context, market, spot):
    own = market.index.get("NSE_INDEX", "NIFTY").listing_id
    context.feed("ticks.alpha", make_ticks((own, context.now_ns(), spot)))


def quote_chain(context, market, spot, volatility=0.14, days=EXPIRIES):
    """A tick of every listed option of these expiries at its price for that volatility."""
    rows = [row for day in days for row in market.index.chain("NIFTY", day)]
    ends = np.array([at(15, 40, day=row.expiry) for row in rows])
    years = (ends - context.now_ns()) / (365 * 86_400e9)
    ltp = price(
        forward_of(spot, years, rate=0.06), np.array([float(row.strike) for row in rows]), years,
        volatility=volatility, rate=0.06, is_call=np.array([row.kind is Kind.CALL for row in rows]),
    )  # fmt: skip
    ids = [row.listing_id for row in rows]
    ticks = make_ticks(
        *[(i, context.now_ns(), max(p, 0.05)) for i, p in zip(ids, ltp, strict=True)]
    )
    context.feed("ticks.alpha", ticks)


def wanted(context, market, owner="chain_keeper"):
    wish = [w for w in context.told_to("subscription_desk", WantListings) if w.owner == owner][-1]
    return wish, [market.index.by_id[listing_id] for listing_id in wish.listing_ids]


def position(symbol, strike, expiry, quantity=65) -> Position:
    return Position(
        symbol=symbol, exchange="NFO", product="NRML", direction="SELL", quantity=quantity,
        average_price=Decimal(10), strategy_id="s1", strategy_tag="t", strategy="IRON_CONDOR",
        leg_no=0, underlying="NIFTY", kind=Kind.PUT, strike=Decimal(strike), expiry=expiry,
        entry_ns=0, broker="alpha",
    )  # fmt: skip


def test_nothing_is_wanted_before_the_first_price_of_the_underlying(keep):
    context, _ = keep()
    context.advance(5)
    assert not context.told


def test_the_first_price_wants_the_front_expiries_and_the_monthly_of_the_income_band(keep, market):
    context, _ = keep()
    quote_spot(context, market, 24_010)
    wish, rows = wanted(context, market)
    assert not wish.pinned
    assert {row.expiry for row in rows} == {FRONT, NEXT, MONTH}
    front = sorted({int(row.strike) for row in rows if row.expiry == FRONT})
    # 1.6 x 0.15 x sqrt(4.236 days) of 24010 is 620.8 points: 13 strikes of 50 a side
    assert front == list(range(24_000 - 650, 24_000 + 651, 50))
    assert {s.expiry: s.atm_strike for s in context.heard(AtmShifted)} == dict.fromkeys(
        (FRONT, NEXT, MONTH), 24_000
    )


def test_the_ladder_moves_with_a_whole_step_and_not_before(keep, market):
    context, _ = keep()
    quote_spot(context, market, 24_010)
    context.clear()
    quote_spot(context, market, 24_059)
    assert not context.announced
    quote_spot(context, market, 24_060)
    assert {row.atm_strike for row in context.heard(AtmShifted)} == {24_050}
    front = [int(row.strike) for row in wanted(context, market)[1] if row.expiry == FRONT]
    assert (min(front), max(front)) == (24_050 - 650, 24_050 + 650)


def test_only_the_canonical_feed_counts(keep, market):
    context, keeper = keep()
    own = market.index.get("NSE_INDEX", "NIFTY").listing_id
    context.feed("ticks.beta", make_ticks((own, context.now_ns(), 24_010)))
    assert not context.announced
    switch = FeedSwitched(from_broker="alpha", to_broker="beta", reason="", using_fallback=True)
    context.deliver(keeper, switch)
    context.feed("ticks.beta", make_ticks((own, context.now_ns(), 24_010)))
    assert context.announced


def test_chains_are_told_once_a_second_and_only_when_a_tick_came(keep, market):
    context, _ = keep()
    quote_spot(context, market, 24_010)
    quote_chain(context, market, 24_010)
    context.advance(1)
    topics = sorted(topic for topic, _, _ in context.published)
    assert topics == ["chain.NIFTY.01DEC26", "chain.NIFTY.24NOV26", "chain.NIFTY.29DEC26"]
    columns = context.published[0][1]
    assert columns.dtype == CHAIN_DTYPE
    assert np.isfinite(columns["delta"]).all()
    summary = context.heard(ChainSummarised)[0].summary
    assert summary.atm_iv == pytest.approx(0.14, abs=1e-3)
    assert summary.put_iv_25d == pytest.approx(0.14, abs=2e-3)
    context.clear()
    context.advance(3)
    assert not context.published


def test_a_spot_older_than_five_seconds_prices_nothing(keep, market):
    context, _ = keep()
    quote_spot(context, market, 24_010)
    context.advance(5.5)
    context.clear()
    quote_chain(context, market, 24_010)
    context.advance(2)
    assert not context.published


def test_positions_are_pinned_and_their_strikes_stay_when_the_ladder_moves_away(keep, market):
    context, keeper = keep()
    quote_spot(context, market, 24_010)
    held = position("NIFTY08DEC2622000PE", 22_000, LATER)
    context.deliver(keeper, PositionChanged(book=BookSnapshot(version=1, positions=(held,))))
    wish, rows = wanted(context, market, "positions")
    assert wish.pinned
    assert [row.symbol for row in rows] == ["NIFTY08DEC2622000PE"]
    quote_spot(context, market, 25_500)
    assert "NIFTY08DEC2622000PE" in [row.symbol for row in wanted(context, market)[1]]
    context.deliver(
        keeper,
        PositionChanged(book=BookSnapshot(version=2, positions=(replace(held, quantity=0),))),
    )
    assert wanted(context, market, "positions")[0].listing_ids == ()
    assert "NIFTY08DEC2622000PE" not in [row.symbol for row in wanted(context, market)[1]]


def test_a_desk_that_restarted_is_told_all_wishes_again(keep, market):
    context, keeper = keep()
    quote_spot(context, market, 24_010)
    before = context.told_to("subscription_desk", WantListings)
    context.clear()
    restart = NodeRestarted(name="subscription_desk", life=2, reason="", handles_orders=False)
    context.deliver(keeper, restart)
    again = context.told_to("subscription_desk", WantListings)
    assert {row.owner: row.listing_ids for row in again} == {
        row.owner: row.listing_ids for row in before
    }


CONDOR = (
    Leg(Kind.PUT, "BUY", wing_points=200.0),
    Leg(Kind.PUT, "SELL", delta_target=0.25),
    Leg(Kind.CALL, "SELL", delta_target=0.25),
    Leg(Kind.CALL, "BUY", wing_points=200.0),
)


def ask(context, keeper, **changes):
    fields = {"reply_to": "risk_agent", "request": "r1", "underlying": "NIFTY", "legs": CONDOR}
    fields |= {"dte_min": 30, "dte_max": 45} | changes
    context.deliver(keeper, ResolveLegs(**fields))
    return context.told_to("risk_agent", LegsResolved)[-1]


def test_a_condor_is_resolved_on_the_monthly_with_its_wings_and_its_credit(keep, market):
    context, keeper = keep()
    quote_spot(context, market, 24_010)
    quote_chain(context, market, 24_010)
    answer = ask(context, keeper)
    assert (answer.request, answer.refusal) == ("r1", None)
    legs = answer.structure.legs
    assert {leg.expiry for leg in legs} == {MONTH}
    assert [abs(leg.delta) for leg in legs[1:3]] == pytest.approx([0.25, 0.25], abs=0.02)
    assert legs[1].strike - legs[0].strike == legs[3].strike - legs[2].strike == 200
    assert answer.structure.width == 200
    assert 0 < answer.structure.credit < 200


def test_what_was_priced_this_second_is_not_priced_again_for_legs(keep, market):
    context, keeper = keep()
    quote_spot(context, market, 24_010)
    quote_chain(context, market, 24_010)
    context.advance(1.1)
    for moved_s, told in ((0.1, 0), (1.0, 1)):
        context.clear()
        context._now_ns += round(moved_s * 1e9)
        quote_spot(context, market, 24_010)
        quote_chain(context, market, 24_010, volatility=0.15)
        assert ask(context, keeper).refusal is None
        months = [m for m in context.heard(ChainSummarised) if m.summary.expiry == MONTH]
        assert len(months) == told


def test_legs_without_prices_or_master_are_refused_with_a_reason(keep, market):
    context, keeper = keep()
    quote_spot(context, market, 24_010)
    assert ask(context, keeper).refusal.code == "NO_LIVE_PRICE"
    assert ask(context, keeper, underlying="BANKNIFTY").refusal.code == "STALE_SPOT"
    assert ask(context, keeper, dte_min=12, dte_max=14).refusal.code == "NO_EXPIRY_IN_DTE_BAND"


def test_an_expiry_that_is_asked_for_is_kept_from_then_on(keep, market):
    context, keeper = keep()
    quote_spot(context, market, 24_010)
    quote_chain(context, market, 24_010)
    legs = (Leg(Kind.CALL, "BUY", offset="ATM", expiry=LATER),)
    assert ask(context, keeper, legs=legs).refusal.code == "NO_LIVE_CHAIN"
    assert LATER in {row.expiry for row in wanted(context, market)[1]}
    quote_chain(context, market, 24_010)
    assert ask(context, keeper, legs=legs).structure.legs[0].symbol == "NIFTY08DEC2624000CE"


def test_after_the_intraday_exit_of_expiry_day_the_front_is_the_next_expiry(keep, market):
    context, keeper = keep(at(14, 59, 59, day=FRONT))
    quote_spot(context, market, 24_010)
    assert FRONT in {row.expiry for row in wanted(context, market)[1]}
    legs = (Leg(Kind.CALL, "BUY", offset="ATM"),)
    context.advance(1)
    quote_spot(context, market, 24_010)
    quote_chain(context, market, 24_010, days=(NEXT, LATER, MONTH))
    answer = ask(context, keeper, legs=legs, dte_min=0, dte_max=0)
    assert answer.structure.legs[0].expiry == NEXT
    context.clear()
    context.advance(91)
    gone = [(topic, len(columns)) for topic, columns, _ in context.published]
    assert ("chain.NIFTY.24NOV26", 0) in gone


def test_the_days_volatility_is_kept_at_the_close(keep, market):
    context, keeper = keep()
    opened = SessionOpened(
        day=DAY, opens_ns=at(9, 15), closes_ns=at(15, 40), intraday_exit_ns=0, square_off_ns=0
    )  # fmt: skip
    context.deliver(keeper, opened)
    quote_spot(context, market, 24_010)
    quote_chain(context, market, 24_010, volatility=0.2)
    context.advance(1)
    context.deliver(keeper, SessionClosed(day=DAY, reason="after the close", next_opens_ns=0))
    engine = open_engine(market.runtime.market_url)
    (row,) = MarketStore(engine).iv_history("NIFTY", date(2026, 1, 1))
    engine.dispose()
    assert row == (DAY, pytest.approx(0.2, abs=1e-3))


def test_a_manual_list_is_followed_and_nothing_else(market):
    keys = replace(ONLY_NIFTY, feed_option_symbols=(("NFO", "NIFTY08DEC2624000CE"),))
    context = market.context("chain_keeper", at(10, 0), settings=keys)
    ChainKeeper(context, ChainSettings()).start()
    quote_spot(context, market, 24_010)
    assert [row.symbol for row in wanted(context, market)[1]] == ["NIFTY08DEC2624000CE"]


@pytest.mark.parametrize(
    "asked", [{"option_auto_strike_span": 20}, {"option_auto_strike_offsets": (-20, 0, 3)}]
)
def test_more_strikes_than_its_own_are_watched_when_the_environment_asks(market, asked):
    context = market.context("chain_keeper", OPEN, settings=replace(ONLY_NIFTY, **asked))
    settings = ChainSettings(strikes_each_side=5, strikes_each_side_max=30)
    ChainKeeper(context, settings).start()
    quote_spot(context, market, 24_010)
    front = [int(row.strike) for row in wanted(context, market)[1] if row.expiry == FRONT]
    assert (min(front), max(front)) == (24_000 - 1000, 24_000 + 1000)
    context.advance(10)
    assert context.reports[-1]["auto_option_strike_span"] == 20


@pytest.mark.parametrize("bad", [{"strikes_each_side": 0}, {"dte_bands": [[45, 30]]}])
def test_bad_settings_are_refused_with_a_sentence(bad):
    with pytest.raises(ValueError, match="must be"):
        ChainSettings(**bad)
