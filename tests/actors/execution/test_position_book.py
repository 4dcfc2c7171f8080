"""The book: folded from rows, priced from the bus, told on change and at most once a second."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from domain.brokers import BrokerPosition
from domain.charges import order_charges, rates_on
from domain.clock import exchange_time
from domain.prices import CHAIN_DTYPE, TICK_DTYPE
from messages.books import ReconciliationDone
from messages.market import FeedSwitched
from messages.trading import CloseStructure, PositionChanged
from tests.kit.trading_desk import LOT, SPREAD, Desk, make_intent

BOOK = "position_book"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    desk = Desk(tmp_path, monkeypatch)
    desk.propose(make_intent())
    desk.run(3)
    return desk


def last_book(desk):
    return desk.announced(PositionChanged)[-1].book


def ticks(*rows) -> np.ndarray:
    columns = np.zeros(len(rows), dtype=TICK_DTYPE)
    for at, (listing, price) in enumerate(rows):
        columns["listing"][at], columns["ltp"][at] = listing, price
    return columns


def test_prices_come_from_the_canonical_feed_only(desk) -> None:
    short, long = (leg.listing_id for leg in SPREAD)
    context = desk.contexts[BOOK]
    context.feed("ticks.beta", ticks((short, 999.0)))
    context.feed("ticks.alpha", ticks((short, 40.0), (long, 45.0), (7, 1.0)))
    desk.run(1)

    prices = {row.symbol: row.last_price for row in last_book(desk).open_positions}
    assert prices == {SPREAD[0].symbol: Decimal(40), SPREAD[1].symbol: Decimal(45)}
    # sold at 49.90, now 40: +9.90 a unit; bought at 50.10, now 45: -5.10 a unit
    assert last_book(desk).unrealized == Decimal("4.80") * LOT

    context.deliver(
        desk.actors[BOOK],
        FeedSwitched(from_broker="alpha", to_broker="beta", reason="x", using_fallback=True),
    )
    context.feed("ticks.beta", ticks((short, 41.0)))
    desk.run(1)
    prices = {row.symbol: row.last_price for row in last_book(desk).open_positions}
    assert prices[SPREAD[0].symbol] == Decimal(41)


def test_many_prices_are_told_once_a_second_under_the_same_version(desk) -> None:
    short = SPREAD[0].listing_id
    desk.heard.clear()
    version = desk.actors[BOOK]._version
    for number in range(20):
        desk.contexts[BOOK].feed("ticks.alpha", ticks((short, 40.0 + number)))
    desk.run(1)

    told = desk.announced(PositionChanged)
    assert len(told) == 1
    assert told[0].book.version == version
    assert told[0].book.open_positions[1].last_price == Decimal(59)


def feed_greeks(desk, **greeks: float) -> None:
    columns = np.zeros(1, dtype=CHAIN_DTYPE)
    columns["listing"], columns["ltp"] = SPREAD[0].listing_id, 40.0
    for name, value in greeks.items():
        columns[name] = value
    desk.contexts[BOOK].feed("chain.NIFTY.24NOV26", columns)
    desk.run(1)


def test_a_chain_brings_the_greeks_and_nan_leaves_the_last_known(desk) -> None:
    feed_greeks(desk, delta=-0.31, gamma=0.002, theta=-9.5, vega=12.0)
    feed_greeks(desk, delta=np.nan, gamma=0.003, theta=np.nan, vega=np.nan)

    row = next(r for r in last_book(desk).open_positions if r.symbol == SPREAD[0].symbol)
    assert (row.delta, row.gamma, row.theta, row.vega) == (-0.31, 0.003, -9.5, 12.0)


def test_the_book_tells_its_net_greeks_with_their_signs_and_its_notional(desk) -> None:
    feed_greeks(desk, delta=-0.31, gamma=0.002, theta=-9.5, vega=12.0)  # of the short put
    report = desk.contexts[BOOK].reports[-1]
    assert report["net_delta"] == pytest.approx(0.31 * LOT)
    assert report["net_theta"] == pytest.approx(9.5 * LOT)
    assert report["net_vega"] == pytest.approx(-12 * LOT)
    # The short at its strike, the long at what it cost.
    assert report["gross_notional"] == pytest.approx(LOT * (25_500 + 50.1))


def test_a_closed_structure_leaves_its_result_of_the_day(desk) -> None:
    strategy_id = make_intent().strategy_id
    desk.deliver(
        "execution_agent", CloseStructure(strategy_id=strategy_id, reason="x", key="c", by="x")
    )
    desk.run(5)

    book = last_book(desk)
    assert book.open_positions == ()
    # no live quote: closed at MARKET, filled at 50: 0.10 lost on each leg
    assert book.realized_today == Decimal("-0.20") * LOT
    rates = rates_on(exchange_time(desk.now_ns).date())
    orders = (("BUY", "50.10"), ("SELL", "49.90"), ("BUY", "50"), ("SELL", "50"))
    cost = sum(order_charges(side, LOT, Decimal(price), rates).total for side, price in orders)
    assert book.charges_today == cost


def test_yesterdays_result_is_not_todays(desk) -> None:
    strategy_id = make_intent().strategy_id
    desk.deliver(
        "execution_agent", CloseStructure(strategy_id=strategy_id, reason="x", key="c", by="x")
    )
    desk.run(5)
    desk.kill(BOOK)
    desk.now_ns += 86_400_000_000_000
    desk.begin(BOOK)
    desk.settle()

    book = last_book(desk)
    assert (book.realized_today, book.charges_today, book.positions) == (0, 0, ())


def test_what_the_reconciler_found_stands_in_the_book(desk) -> None:
    row = BrokerPosition(
        "NFO", "NIFTY24NOV2626000CE", "NRML", -LOT, Decimal(10), Decimal(12), Decimal(0)
    )
    desk.deliver(
        BOOK,
        ReconciliationDone(
            broker="alpha",
            clean=False,
            reason="x",
            unexplained=("NFO:X",),
            started_ns=0,
            unmanaged=(row,),
        ),
    )
    book = last_book(desk)
    assert book.unexplained == ("NFO:X",)
    assert [(r.underlying, r.signed_quantity) for r in book.unmanaged] == [("NIFTY", -LOT)]
    assert book.unrealized == Decimal(-2) * LOT
