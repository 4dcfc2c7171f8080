"""adapters.openalgo.mapping: lenient in spelling, never in value."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.openalgo import mapping
from adapters.ports import StreamCounters
from domain.brokers import OrderRequest
from domain.instruments import InstrumentIndex, Kind, Listing
from domain.prices import TICK_DTYPE

RECEIVED_NS = 1_795_205_512_500_000_000
SBIN = Listing(7, "NSE", "SBIN", "SBIN", Kind.EQUITY, 1, Decimal("0.05"), 0)
INDEX = InstrumentIndex([SBIN])


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


def decode(*frames):
    counters = StreamCounters()
    ticks = mapping.to_ticks([(RECEIVED_NS, frame) for frame in frames], INDEX, counters)
    assert ticks.dtype == TICK_DTYPE
    assert counters.ticks == len(ticks)
    return ticks, counters.refused


def frame(mode=1, **data):
    data = {"ltp": 800.76, "timestamp": 1795205512023} | data
    return {
        "type": "market_data", "symbol": "SBIN", "exchange": "NSE", "mode": mode,
        "data": {name: value for name, value in data.items() if value is not None},
    }  # fmt: skip


def test_an_ltp_frame_becomes_a_tick_whose_absent_numbers_are_absent():
    (tick,), refused = decode(frame())

    assert (tick["listing"], tick["mode"], tick["ltp"]) == (7, 1, 800.76)
    assert (tick["ts_ns"], tick["received_ns"]) == (1_795_205_512_023_000_000, RECEIVED_NS)
    assert all(math.isnan(tick[name]) for name in ("bid", "ask", "iv"))
    for name in ("bid_quantity", "ask_quantity", "volume", "open_interest"):
        assert tick[name] == -1
    assert refused == {}


def test_a_depth_frame_brings_its_best_levels_volume_and_interest():
    depth = {
        "buy": [{"price": 800.7, "quantity": 50, "orders": 2}, {"price": 800.65, "quantity": 9}],
        "sell": [{"price": 800.8, "quantity": 70, "orders": 1}],
    }
    (tick,), _ = decode(frame("DEPTH", depth=depth, volume="1,200", oi=30))

    assert (tick["mode"], tick["bid"], tick["ask"]) == (3, 800.7, 800.8)
    assert (tick["bid_quantity"], tick["ask_quantity"]) == (50, 70)
    assert (tick["volume"], tick["open_interest"]) == (1200, 30)


def test_an_empty_side_of_the_book_is_no_price():
    depth = {"buy": [{"price": 0, "quantity": 0}], "sell": []}
    (tick,), _ = decode(frame(3, depth=depth))
    assert math.isnan(tick["bid"])
    assert math.isnan(tick["ask"])
    assert tick["bid_quantity"] == -1


@pytest.mark.parametrize(
    "shape",
    [
        {"symbol": "SBIN", "exchange": "NSE", "ltp": 800.76, "timestamp": 1795205512},
        {"type": "ltp", "symbol": "SBIN", "exchange": "NSE", "last_price": "800.76"},
        {"topic": "SBIN.NSE", "data": {"lp": 800.76, "timestamp": 1795205512023}},
        {"type": "market_data", "data": {"symbol": "SBIN", "exchange": "NSE", "price": 800.76}},
    ],
)
def test_older_shapes_of_a_tick_are_understood(shape):
    assert mapping.is_tick(shape)
    (tick,), _ = decode(shape)
    assert (tick["listing"], tick["ltp"]) == (7, 800.76)


def test_a_tick_without_a_time_is_of_the_moment_it_came():
    (tick,), _ = decode(frame(timestamp=None))
    assert tick["ts_ns"] == RECEIVED_NS


@pytest.mark.parametrize(("told", "iv"), [(18.0, 0.18), (0.18, 0.18), (3.0, 3.0), (3.1, 0.031)])
def test_a_volatility_above_three_is_in_percent(told, iv):
    (tick,), _ = decode(frame(iv=told))
    assert tick["iv"] == pytest.approx(iv, abs=1e-12)


@pytest.mark.parametrize("told", [0, -1, "x", None])
def test_a_volatility_that_is_none_is_absent(told):
    (tick,), _ = decode(frame(iv=told))
    assert math.isnan(tick["iv"])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (frame() | {"symbol": "NOPE"}, "unknown_symbol"),
        (frame() | {"symbol": None}, "unknown_symbol"),
        (frame(ltp=None), "bad_price"),
        (frame(ltp=0), "bad_price"),
        (frame(ltp=-5.0), "bad_price"),
        (frame(ltp=math.nan), "bad_price"),
        (frame(ltp=math.inf), "bad_price"),
        (frame(ltp="abc"), "bad_price"),
        (frame(ltp=True), "bad_price"),
        (frame(ltp=10**400), "bad_price"),
        (frame(ltp=10_000_001.0), "bad_price"),
        (frame(timestamp="noon"), "bad_time"),
        (frame(timestamp=-5), "bad_time"),
        (frame(timestamp={}), "bad_time"),
        (frame(timestamp=RECEIVED_NS // 10**6 + 5_001), "future"),
    ],
)
def test_a_tick_that_cannot_be_used_is_refused_and_counted_and_the_next_one_lives(broken, reason):
    ticks, refused = decode(broken, frame())
    assert refused == {reason: 1}
    assert len(ticks) == 1


def test_a_tick_just_five_seconds_ahead_is_not_from_the_future():
    ticks, refused = decode(frame(timestamp=RECEIVED_NS // 10**6 + 5_000))
    assert len(ticks) == 1
    assert refused == {}


def test_the_previous_close_of_a_quote_is_never_taken_for_a_price():
    ticks, refused = decode(frame(2, ltp=0, open=0, close=795.0))
    assert len(ticks) == 0
    assert refused == {"bad_price": 1}


ODD = [
    None, True, 0, -1, 1.5, math.nan, math.inf, 10**400, -(10**400), "", "x", "NaN", "1" * 400,
    [], [1],
    {}, {"buy": 5}, {"buy": [None]}, {"buy": [{"price": "x"}], "sell": [{"quantity": 10**400}]},
]  # fmt: skip
JSON_VALUES = st.sampled_from(ODD) | st.floats() | st.integers() | st.text(max_size=8)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["type", "symbol", "exchange", "mode", "topic", "data", "ltp"]), JSON_VALUES
    ),
    st.dictionaries(
        st.sampled_from(["ltp", "timestamp", "volume", "oi", "depth", "iv", "close", "bid"]),
        JSON_VALUES,
    ),
)
def test_no_frame_however_odd_ends_the_decoder(outer, inner):
    frame = {"symbol": "SBIN", "exchange": "NSE"} | outer
    mapping.is_tick(frame)
    decode(frame, {**frame, "symbol": "SBIN", "exchange": "NSE", "data": inner})
