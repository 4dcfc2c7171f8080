"""adapters.openalgo.mapping: lenient in spelling, never in value."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from adapters.openalgo import mapping
from domain.brokers import OrderRequest
from domain.instruments import Kind, Listing


@pytest.mark.parametrize(
    ("word", "price_type", "meaning"),
    [
        ("complete", "MARKET", "complete"),
        ("COMPLETED", "MARKET", "complete"),
        ("Filled", "MARKET", "complete"),
        ("EXECUTED", "MARKET", "complete"),
        ("open", "LIMIT", "open"),
        ("PENDING", "LIMIT", "open"),
        ("pending", "SL", "trigger pending"),
        ("pending", "SL-M", "trigger pending"),
        ("Trigger Pending", "SL", "trigger pending"),
        ("canceled", "LIMIT", "cancelled"),
        ("CANCELLED", "LIMIT", "cancelled"),
        ("rejected", "LIMIT", "rejected"),
        ("expired", "LIMIT", "expired"),
        ("put order req received", "LIMIT", "open"),
    ],
)
def test_every_spelling_of_a_status_means_one_of_ours(word, price_type, meaning):
    assert mapping.order_status(word, price_type) == meaning


@pytest.mark.parametrize(
    ("value", "exact"),
    [("1,23,456.70", "123456.70"), (10, "10"), ("-10", "-10"), (800.72, "800.72"), (" 5 ", "5")],
)
def test_numbers_are_read_exactly_also_from_texts_with_commas(value, exact):
    assert mapping.number(value) == Decimal(exact)


@pytest.mark.parametrize("value", ["", "n/a", None, "NaN", "inf", float("nan"), True, [], "1.2.3"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="not a number"):
        mapping.number(value)


# 2026-11-21 01:39:34 in India is 2026-11-20 20:09:34 UTC.
NIGHT_NS = int(datetime(2026, 11, 20, 20, 9, 34, tzinfo=UTC).timestamp()) * 10**9
# 2025-04-08 13:58:03 in India is 08:28:03 UTC.
SPRING_NS = int(datetime(2025, 4, 8, 8, 28, 3, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("value", "at_ns"),
    [
        ("2026-11-21 01:39:34", NIGHT_NS),
        ("08-Apr-2025 13:58:03", SPRING_NS),
        ("2025-04-08 13:58:03+05:30", SPRING_NS),
        (SPRING_NS // 10**9, SPRING_NS),
        (SPRING_NS // 10**6, SPRING_NS),
        (str(SPRING_NS // 10**6), SPRING_NS),
        ("", 0),
        (None, 0),
        ("yesterday", 0),
    ],
)
def test_both_spellings_of_time_and_epochs_are_read_in_the_exchanges_zone(value, at_ns):
    assert mapping.moment_ns(value) == at_ns


def order_row(**changes):
    row = {
        "orderid": "26112170164581", "symbol": "SBIN", "exchange": "NSE", "action": "BUY",
        "quantity": 10, "price": 800.72, "trigger_price": 0.0, "pricetype": "MARKET",
        "product": "CNC", "order_status": "complete", "average_price": 800.77,
        "filled_quantity": 10, "rejection_reason": "", "strategy": "t",
        "timestamp": "2026-11-21 01:39:34",
    }  # fmt: skip
    return {name: value for name, value in (row | changes).items() if value is not None}


def test_an_order_row_of_the_sandbox_is_read_whole():
    order = mapping.to_order(order_row(), {})

    assert (order.order_id, order.symbol, order.exchange) == ("26112170164581", "SBIN", "NSE")
    assert (order.action, order.quantity, order.filled_quantity) == ("BUY", 10, 10)
    assert (order.price, order.average_price) == (Decimal("800.72"), Decimal("800.77"))
    assert (order.status, order.tag, order.ordered_at_ns) == ("complete", "t", NIGHT_NS)
    assert order.is_final


def test_an_order_row_of_a_live_broker_takes_its_fill_from_the_trade_book():
    row = order_row(
        quantity="75", order_status="OPEN", filled_quantity=None, average_price=None,
        timestamp="08-Apr-2025 13:58:03", pricetype=None, price_type="LIMIT",
    )  # fmt: skip
    trades = [
        {"orderid": "26112170164581", "quantity": "25", "average_price": "100.00"},
        {"orderid": "26112170164581", "quantity": 50, "average_price": 103.0},
        {"orderid": "1", "quantity": 50, "average_price": 9.0},
    ]

    assert mapping.is_partial_row(row)
    order = mapping.to_order(row, mapping.fills_of(trades))

    assert (order.filled_quantity, order.price_type, order.status) == (75, "LIMIT", "open")
    assert order.average_price == Decimal(102)  # (25 x 100 + 50 x 103) / 75
    assert order.ordered_at_ns == SPRING_NS


def test_a_fill_at_no_price_is_looked_up_in_the_trade_book():
    assert mapping.is_partial_row(order_row(filled_quantity="10", average_price="0.00"))
    assert not mapping.is_partial_row(
        order_row(order_status="open", filled_quantity=0, average_price=0)
    )


def test_a_rejected_row_needs_no_trade_book():
    assert not mapping.is_partial_row(order_row(order_status="rejected", average_price=None))


@pytest.mark.parametrize("changes", [{"quantity": "many"}, {"orderid": None}, {"quantity": None}])
def test_an_order_row_that_cannot_be_read_spoils_the_book(changes):
    with pytest.raises(ValueError):
        mapping.to_order(order_row(**changes), {})


def test_positions_are_read_under_all_their_names_and_flat_rows_are_left_out():
    rows = [
        {"symbol": "NIFTY24NOV2625950CE", "exchange": "NFO", "product": "NRML", "quantity": "-75",
         "average_price": "1,100.50", "ltp": "90"},
        {"tradingSymbol": "SBIN", "exSeg": "NSE", "prod": "mis", "netQty": 10, "avgPrc": 800,
         "last_price": 801.5},
        {"symbol": "INFY", "exchange": "NSE", "product": "MIS", "quantity": 0},
        {"exchange": "NSE", "product": "MIS", "quantity": 5},
    ]  # fmt: skip

    short, long = mapping.to_positions(rows)

    assert (short.symbol, short.quantity, short.average_price) == (
        "NIFTY24NOV2625950CE", -75, Decimal("1100.50"),
    )  # fmt: skip
    assert (long.symbol, long.exchange, long.product, long.quantity) == ("SBIN", "NSE", "MIS", 10)
    assert (long.average_price, long.last_price) == (Decimal(800), Decimal("801.5"))


def test_funds_come_as_numbers_or_texts():
    funds = mapping.to_funds(
        {"availablecash": "9,991,740.85", "utiliseddebits": 8007.2, "m2mrealized": "-12.50"}
    )
    assert (funds.available, funds.used_margin) == (Decimal("9991740.85"), Decimal("8007.2"))
    assert (funds.realized, funds.unrealized) == (Decimal("-12.50"), Decimal(0))


def test_funds_without_cash_are_no_funds():
    with pytest.raises(ValueError, match="not a number"):
        mapping.to_funds({"utiliseddebits": 1})


def test_candles_come_in_order_once_each_from_epochs_and_texts():
    rows = [
        {"timestamp": 1743565560, "open": 2, "high": 3, "low": 1, "close": 2.5, "volume": "7"},
        {"timestamp": "2025-04-02 09:15:00+05:30", "open": "1", "high": 2, "low": 1, "close": 2},
        {"timestamp": 1743565500, "open": 1.5, "high": 2, "low": 1, "close": 2, "volume": 9},
    ]

    bars = mapping.to_bars(rows)

    # 09:15 on 2025-04-02 in India is 1743565500.
    assert [bar.start_ns for bar in bars] == [1743565500 * 10**9, 1743565560 * 10**9]
    assert (bars[0].open, bars[0].volume, bars[1].volume) == (1.5, 9, 7)


def test_listings_of_each_kind_are_named_by_their_underlying():
    option = mapping.to_listing({
        "symbol": "NIFTY24NOV2625950CE", "name": "NIFTY", "exchange": "NFO", "token": 4711,
        "expiry": "24-NOV-26", "strike": 25950.0, "lotsize": 65, "instrumenttype": "CE",
        "tick_size": 0.05, "freeze_qty": 1800,
    })  # fmt: skip
    index = mapping.to_listing({
        "symbol": "NIFTY", "name": "NIFTY 50", "exchange": "NSE_INDEX", "expiry": "", "strike": -1,
        "lotsize": 1, "instrumenttype": "INDEX", "tick_size": 0.05,
    })  # fmt: skip
    share = mapping.to_listing({
        "symbol": "SBIN", "name": "STATE BANK OF INDIA", "exchange": "NSE", "strike": -0.01,
        "lotsize": "1", "instrumenttype": "EQ", "tick_size": "0.05",
    })  # fmt: skip

    assert option == Listing(
        0, "NFO", "NIFTY24NOV2625950CE", "NIFTY", Kind.CALL, 65, Decimal("0.05"), 1800,
        date(2026, 11, 24), Decimal(25950), "4711",
    )  # fmt: skip
    assert (index.name, index.kind, index.strike, index.expiry) == (
        "NIFTY", Kind.INDEX, Decimal(0), None,
    )  # fmt: skip
    assert (share.name, share.kind, share.strike) == ("SBIN", Kind.EQUITY, Decimal(0))
    assert (
        mapping.to_listing({"symbol": "GOLDPETAL", "instrumenttype": "X", "exchange": "MCX"})
        is None
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [("256265::::1001", "256265"), ("4711", "4711"), (4711, "4711"), (None, ""), ("::::1001", "")],
)
def test_of_two_numbers_in_a_token_the_one_of_the_brokers_feed_is_read(written, read):
    row = {"symbol": "NIFTY", "exchange": "NSE_INDEX", "token": written}
    assert mapping.to_listing(row).token == read


def test_an_orders_fields_are_texts_and_prices_that_are_not_used_are_left_out():
    market = OrderRequest("k", "tag", "NFO", "X", "BUY", 65, "MARKET", "NRML")
    stop = OrderRequest(
        "k", "tag", "NFO", "X", "SELL", 65, "SL", "NRML", Decimal("90.05"), Decimal("91.00")
    )
    assert mapping.order_body(market) == {
        "symbol": "X", "exchange": "NFO", "action": "BUY", "quantity": "65", "pricetype": "MARKET",
        "product": "NRML",
    }  # fmt: skip
    assert mapping.order_body(stop)["price"] == "90.05"
    assert mapping.order_body(stop)["trigger_price"] == "91.00"
