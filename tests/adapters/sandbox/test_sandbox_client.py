"""The official client, unmodified, over real sockets (`openalgo.md` 13)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pandas
import pytest
from openalgo import api

from adapters.sandbox.server import SandboxServer
from tests.kit.sandbox_bench import KEY, HandMarket, bench, instance

WEEKLY = "26NOV26"
# Spot 25,970; the listed strike nearest is 25,950 and its call is ATM.
ATM_CALL, ATM_PUT = f"NIFTY{WEEKLY}25950CE", f"NIFTY{WEEKLY}25950PE"


@pytest.fixture(scope="module")
def market() -> HandMarket:
    return HandMarket()


@pytest.fixture(scope="module")
def server(market: HandMarket) -> Iterator[SandboxServer]:
    with bench(market, instances=(instance("zerodha"), instance("dhan"))) as running:
        yield running


@pytest.fixture
def client(server: SandboxServer) -> api:
    server.reset()
    address = server.addresses["zerodha"]
    return api(KEY, host=address.rest_url, ws_url=address.websocket_url)


def buy(client: api, **terms: object) -> dict:
    base = {"strategy": "t", "symbol": "SBIN", "exchange": "NSE", "action": "BUY", "quantity": 10}
    return client.placeorder(**{**base, **terms})


def status_of(client: api, order: dict) -> str:
    return client.orderstatus(order_id=order["orderid"], strategy="t")["data"]["order_status"]


def test_a_market_order_answers_a_string_id_and_says_analyze(client: api) -> None:
    order = buy(client)
    assert order["status"] == "success"
    assert order["mode"] == "analyze"
    assert isinstance(order["orderid"], str)
    row = client.orderstatus(order_id=order["orderid"], strategy="t")["data"]
    assert (row["order_status"], row["average_price"], row["filled_quantity"]) == (
        "complete", 800.05, 10,
    )  # fmt: skip
    assert row["pricetype"] == row["price_type"] == "MARKET"


@pytest.mark.parametrize(
    ("terms", "status"),
    [
        ({"price_type": "LIMIT", "price": 790}, "open"),
        ({"price_type": "SL", "price": 820, "trigger_price": 815}, "trigger pending"),
        ({"price_type": "SL-M", "trigger_price": 815}, "trigger pending"),
        ({"price_type": "MARKET", "product": "CNC"}, "complete"),
    ],
)
def test_every_price_type_is_taken(client: api, terms: dict, status: str) -> None:
    assert status_of(client, buy(client, **terms)) == status


def test_a_resting_order_is_modified_and_cancelled(client: api) -> None:
    order = buy(client, price_type="LIMIT", price=790)
    modified = client.modifyorder(
        order_id=order["orderid"], strategy="t", symbol="SBIN", action="BUY", exchange="NSE",
        price_type="LIMIT", product="MIS", quantity=5, price=791,
    )  # fmt: skip
    assert modified["message"] == "Order modified successfully"
    row = client.orderstatus(order_id=order["orderid"], strategy="t")["data"]
    assert (row["quantity"], row["price"], row["pending_quantity"]) == (5, 791.0, 5)
    cancelled = client.cancelorder(order_id=order["orderid"], strategy="t")
    assert cancelled["message"] == "Order cancelled successfully"
    again = client.cancelorder(order_id=order["orderid"], strategy="t")
    assert again["code"] == 400
    assert "Cannot cancel order in cancelled status" in again["message"]


def test_cancel_all_counts_what_it_ended(client: api) -> None:
    orders = [buy(client, price_type="LIMIT", price=700) for _ in range(2)]
    answer = client.cancelallorder(strategy="t")
    assert answer["message"] == "Canceled 2 orders. Failed to cancel 0 orders."
    assert sorted(answer["canceled_orders"]) == sorted(row["orderid"] for row in orders)
    empty = client.cancelallorder(strategy="t")
    assert empty["message"] == "No open orders to cancel"


@pytest.mark.parametrize(
    ("held", "target", "quantity", "after", "message"),
    [
        (0, 0, 5, 5, None),
        (5, 5, 0, 5, "No OpenPosition Found. Not placing Exit order."),
        (5, 5, 7, 5, "Positions Already Matched. No Action needed."),
        (5, 0, 0, 0, None),
        (-5, 0, 0, 0, None),
        (5, 12, 0, 12, None),
        (5, -3, 1, -3, None),
    ],
)
def test_a_smart_order_trades_the_difference_to_its_target(
    client: api, held: int, target: int, quantity: int, after: int, message: str | None
) -> None:
    if held:
        buy(client, action="BUY" if held > 0 else "SELL", quantity=abs(held))
    answer = client.placesmartorder(
        strategy="t", symbol="SBIN", exchange="NSE", action="BUY", quantity=quantity,
        position_size=target,
    )  # fmt: skip
    assert answer["status"] == "success"
    assert answer.get("message") == message
    assert ("orderid" in answer) == (message is None)
    found = client.openposition(strategy="t", symbol="SBIN", exchange="NSE", product="MIS")
    assert found["quantity"] == after


def test_a_basket_sends_buys_first_and_one_failure_stops_nothing(client: api) -> None:
    rows = [
        {"symbol": "SBIN", "exchange": "NSE", "action": "SELL", "quantity": 1, "product": "MIS"},
        {"symbol": "NOPE", "exchange": "NSE", "action": "BUY", "quantity": 1, "product": "MIS"},
        {"symbol": "INFY", "exchange": "NSE", "action": "BUY", "quantity": 1, "product": "MIS"},
    ]
    answer = client.basketorder(strategy="t", orders=rows)
    results = answer["results"]
    assert [row["symbol"] for row in results] == ["NOPE", "INFY", "SBIN"]
    assert results[0]["message"] == "Symbol NOPE not found on NSE"
    assert [row.get("is_last_order") for row in results] == [None, False, True]
    assert results[1]["orderid"] < results[2]["orderid"]


def test_a_split_order_leaves_the_rest_to_the_last_piece(client: api) -> None:
    answer = client.splitorder(
        strategy="t", symbol="SBIN", exchange="NSE", action="BUY", quantity=25, splitsize=10
    )
    assert [row["quantity"] for row in answer["results"]] == [10, 10, 5]
    assert (answer["split_size"], answer["total_quantity"]) == (10, 25)
    too_many = client.splitorder(
        strategy="t", symbol="SBIN", exchange="NSE", action="BUY", quantity=101, splitsize=1
    )
    assert "Total number of orders would exceed maximum limit of 100" in too_many["message"]


def test_close_position_flattens_everything(client: api) -> None:
    buy(client)
    buy(client, symbol="INFY", action="SELL", quantity=3)
    answer = client.closeposition(strategy="t")
    assert (answer["closed_positions"], answer["failed_closures"]) == (2, 0)
    assert [row["quantity"] for row in client.positionbook()["data"]] == [0, 0]
    assert client.closeposition(strategy="t")["message"] == "Closed 0 positions"


def test_an_options_order_finds_its_strike_by_offset(client: api) -> None:
    terms = {
        "strategy": "t", "underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": WEEKLY,
        "action": "BUY", "quantity": 65, "product": "NRML",
    }  # fmt: skip
    order = client.optionsorder(**terms, offset="OTM2", option_type="PE")
    assert order["symbol"] == f"NIFTY{WEEKLY}25850PE"
    assert (order["exchange"], order["underlying_ltp"]) == ("NFO", 25_970.0)
    inside = client.optionsorder(**terms, offset="itm1", option_type="CE")
    assert inside["symbol"] == f"NIFTY{WEEKLY}25900CE"
    split = client.optionsorder(
        **{**terms, "quantity": 195}, offset="ATM", option_type="CE", splitsize=130
    )
    assert [row["quantity"] for row in split["results"]] == [130, 65]
    assert "orderid" not in split


def test_the_underlying_may_carry_the_expiry(client: api) -> None:
    found = client.optionsymbol(
        underlying="NIFTY29DEC26FUT", exchange="NFO", offset="ATM", option_type="CE"
    )
    assert found["symbol"] == "NIFTY29DEC2625950CE"
    assert (found["lotsize"], found["tick_size"], found["freeze_qty"]) == (65, 0.05, 1800)


@pytest.mark.parametrize(
    ("terms", "code", "text"),
    [
        ({"expiry_date": "01JAN30"}, 404, "No strikes found for NIFTY expiring 01JAN30."),
        ({"offset": "OTM60"}, 400, "Offset OTM60 is out of range for available strikes."),
        ({"expiry_date": None}, 400, "Expiry date required."),
    ],
)
def test_an_option_that_cannot_be_resolved_is_refused(
    client: api, terms: dict, code: int, text: str
) -> None:
    base = {
        "strategy": "t", "underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": WEEKLY,
        "offset": "ATM", "option_type": "CE", "action": "BUY", "quantity": 65,
    }  # fmt: skip
    refused = client.optionsorder(**{**base, **terms})
    assert refused["code"] == code
    assert text in refused["message"]


def test_a_multi_leg_order_buys_before_it_sells_and_numbers_legs_as_asked(client: api) -> None:
    legs = [
        {
            "offset": "OTM4",
            "option_type": "CE",
            "action": "SELL",
            "quantity": 65,
            "product": "NRML",
        },
        {"offset": "OTM6", "option_type": "CE", "action": "BUY", "quantity": 65, "product": "NRML"},
        {"offset": "OTM5", "option_type": "CE", "action": "BUY", "quantity": 64, "product": "NRML"},
    ]
    answer = client.optionsmultiorder(
        strategy="t", underlying="NIFTY", exchange="NSE_INDEX", expiry_date=WEEKLY, legs=legs
    )
    first, second, third = answer["results"]
    assert [row["leg"] for row in answer["results"]] == [1, 2, 3]
    assert first["symbol"] == f"NIFTY{WEEKLY}26150CE"
    assert second["orderid"] < first["orderid"]
    assert (third["status"], third["message"]) == (
        "error", "Quantity must be in multiples of lot size 65",
    )  # fmt: skip
    assert answer["mode"] == first["mode"] == "analyze"


def test_the_books_tell_what_was_done(client: api) -> None:
    first = buy(client, strategy="tag-1")
    second = buy(client, price_type="LIMIT", price=700)
    book = client.orderbook()["data"]
    assert [row["orderid"] for row in book["orders"]] == [second["orderid"], first["orderid"]]
    assert book["orders"][1]["strategy"] == "tag-1"
    assert book["statistics"]["total_buy_orders"] == 2
    assert book["statistics"]["total_completed_orders"] == 1
    assert book["statistics"]["total_open_orders"] == 1
    (trade,) = client.tradebook()["data"]
    assert (trade["price"], trade["trade_value"], trade["orderid"]) == (
        800.05, 8000.5, first["orderid"],
    )  # fmt: skip
    (position,) = client.positionbook()["data"]
    assert (position["quantity"], position["pnl"], position["lot_size"]) == (10, -0.5, 1)
    assert client.holdings()["data"]["holdings"] == []


def test_funds_show_what_is_blocked_and_margin_says_it_before(client: api) -> None:
    row = {
        "symbol": ATM_CALL, "exchange": "NFO", "action": "SELL", "quantity": 65,
        "product": "NRML", "pricetype": "MARKET",
    }  # fmt: skip
    asked = client.margin(positions=[row])["data"]
    assert asked == {
        "total_margin_required": 11_700.0, "span_margin": 0.0, "exposure_margin": 11_700.0,
    }  # fmt: skip
    terms = {"symbol": ATM_CALL, "exchange": "NFO", "quantity": 65, "product": "NRML"}
    buy(client, **terms, action="SELL")
    data = client.funds()["data"]
    assert (data["availablecash"], data["utiliseddebits"]) == (9_988_300.0, 11_700.0)
    assert client.margin(positions=[{**row, "action": "BUY"}])["data"]["total_margin_required"] == 0
    bad = client.margin(positions=[{**row, "quantity": 0}])
    assert "Position 1: Quantity must be a positive number" in bad["message"]


def test_instances_share_prices_but_not_books(client: api, server: SandboxServer) -> None:
    other = api(KEY, host=server.addresses["dhan"].rest_url)
    buy(client)
    assert other.orderbook()["data"]["orders"] == []
    assert other.quotes(symbol="SBIN", exchange="NSE") == client.quotes(
        symbol="SBIN", exchange="NSE"
    )


def test_quotes_and_depth(client: api) -> None:
    assert client.quotes(symbol="SBIN", exchange="NSE")["data"] == {
        "open": 800.0, "high": 805.0, "low": 795.0, "ltp": 800.0, "bid": 799.95, "ask": 800.05,
        "prev_close": 790.0, "volume": 1000, "oi": 500,
    }  # fmt: skip
    several = client.multiquotes(
        symbols=[{"symbol": "SBIN", "exchange": "NSE"}, {"symbol": "NOPE", "exchange": "NSE"}]
    )
    assert [row["symbol"] for row in several["results"]] == ["NOPE", "SBIN"]
    assert "error" in several["results"][0]
    book = client.depth(symbol="SBIN", exchange="NSE")["data"]
    assert (len(book["bids"]), len(book["asks"])) == (5, 5)
    assert book["bids"][0] == {"price": 799.95, "quantity": 65}
    assert book["totalbuyqty"] == 65 * 15


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # the client's own use of pandas
def test_history_comes_as_a_frame_at_the_exchanges_time(client: api) -> None:
    span = {"symbol": "SBIN", "exchange": "NSE"}
    span.update(start_date="2026-11-19", end_date="2026-11-20")
    minutes = client.history(**span, interval="1m")
    assert isinstance(minutes, pandas.DataFrame)
    assert str(minutes.index[0]) == "2026-11-19 09:15:00+05:30"
    assert len(minutes) == 12
    folded = client.history(**span, interval="3m")
    # Minutes open 100, 101, 102 with highs 2 above and lows 1 below their open, close 1 above.
    assert list(folded.iloc[0][["open", "high", "low", "close", "volume"]]) == [
        100.0, 104.0, 99.0, 103.0, 30.0,
    ]  # fmt: skip
    daily = client.history(**span, interval="D")
    assert [str(day) for day in daily.index] == ["2026-11-19 00:00:00", "2026-11-20 00:00:00"]
    weekly = client.history(**{**span, "start_date": "2026-11-09"}, interval="W")
    assert list(weekly["volume"]) == [5_000, 5_000]
    assert client.history(**span, interval="7m")["code"] == 400
    assert client.intervals()["data"]["hours"] == ["1h", "2h", "3h", "4h"]


def test_expiries_search_symbol_and_master(client: api) -> None:
    found = client.expiry(symbol="NIFTY", exchange="NFO", instrumenttype="options")
    assert found["data"] == ["26-NOV-26", "29-DEC-26"]
    assert found["message"] == "Found 2 expiry dates for NIFTY options in NFO"
    none = client.expiry(symbol="NOPE", exchange="NFO", instrumenttype="futures")
    assert (none["status"], none["data"]) == ("success", [])
    hits = client.search(query="nifty 25950 dec ce", exchange="NFO")
    assert [row["symbol"] for row in hits["data"]] == ["NIFTY29DEC2625950CE"]
    row = client.symbol(symbol=ATM_CALL, exchange="NFO")["data"]
    assert (row["expiry"], row["strike"], row["lotsize"], row["instrumenttype"]) == (
        "26-NOV-26", 25_950.0, 65, "CE",
    )  # fmt: skip
    assert client.symbol(symbol="NOPE", exchange="NSE")["code"] == 404
    one = client.instruments(exchange="NSE")
    assert list(one["symbol"]) == ["SBIN", "INFY", "NOQUOTE"]
    assert len(client.instruments()) == 90


def test_the_chain_is_labelled_from_both_sides(client: api) -> None:
    chain = client.optionchain(
        underlying="NIFTY", exchange="NSE_INDEX", expiry_date=WEEKLY, strike_count=1
    )
    assert (chain["atm_strike"], chain["underlying_ltp"]) == (25_950.0, 25_970.0)
    rows = [(row["strike"], row["ce"]["label"], row["pe"]["label"]) for row in chain["chain"]]
    assert rows == [
        (25_900.0, "ITM1", "OTM1"), (25_950.0, "ATM", "ATM"), (26_000.0, "OTM1", "ITM1"),
    ]  # fmt: skip
    # 26 November 2026, 15:30 in India is 10:00 UTC.
    assert chain["expiry_ts"] == 1_795_687_200
    assert (chain["greeks_included"], chain["forward_price"]) == (False, None)
    whole = client.optionchain(underlying="NIFTY", exchange="NSE_INDEX", expiry_date=WEEKLY)
    assert len(whole["chain"]) == 21


def test_greeks_sit_on_the_forward_that_the_chain_implies(client: api) -> None:
    chain = client.optionchain(
        underlying="NIFTY", exchange="NSE_INDEX", expiry_date=WEEKLY, strike_count=1,
        with_greeks=True,
    )  # fmt: skip
    assert chain["forward_price"] == 25_980.0  # 25,950 + 180 - 150
    call, put = chain["chain"][1]["ce"], chain["chain"][1]["pe"]
    assert call["implied_volatility"] == put["implied_volatility"]
    assert call["delta"] - put["delta"] == pytest.approx(1.0, abs=1e-5)
    greeks = client.optiongreeks(symbol=ATM_CALL, exchange="NFO")
    assert greeks["greeks"]["delta"] == pytest.approx(call["delta"], abs=1e-4)
    assert greeks["expiry_date"] == "26-Nov-2026"
    future = client.syntheticfuture(underlying="NIFTY", exchange="NSE_INDEX", expiry_date=WEEKLY)
    assert (future["synthetic_future_price"], future["atm_strike"]) == (25_980.0, 25_950.0)
    bad = client.optiongreeks(symbol="SBIN", exchange="NFO")
    assert "Invalid option symbol format: SBIN" in bad["message"]


def test_the_analyzer_cannot_be_left(client: api) -> None:
    assert client.analyzerstatus()["data"]["analyze_mode"] is True
    assert "Sandbox instance has no live mode" in client.analyzertoggle(mode=False)["message"]
    stays = client.analyzertoggle(mode=True)["data"]
    assert stays["message"] == "Analyzer mode switched to analyze"


def test_holidays_and_timings_are_the_exchanges_own(client: api) -> None:
    days = client.holidays(year=2026)
    assert {"date": "2026-12-25", "holiday_type": "TRADING_HOLIDAY"}.items() <= days["data"][
        -1
    ].items()
    hours = {row["exchange"]: row for row in client.timings(date="2026-11-20")["data"]}
    # 09:15 in India is 03:45 UTC; cash ends at 15:35 and derivatives at 15:40 since August 2026.
    assert hours["NSE"]["start_time"] == 1_795_146_300_000
    assert hours["NSE"]["end_time"] - hours["NSE"]["start_time"] == 380 * 60_000
    assert hours["NFO"]["end_time"] - hours["NSE"]["end_time"] == 5 * 60_000
    # Commodities follow the American winter from November on: 09:00 to 23:55.
    assert hours["MCX"]["end_time"] - hours["MCX"]["start_time"] == 895 * 60_000
    assert client.timings(date="2026-11-21")["data"] == []
    assert "Invalid date format. Use YYYY-MM-DD" in client.timings(date="21-11-2026")["message"]


def test_a_budget_day_on_a_sunday_is_told_as_a_special_session(client: api) -> None:
    (sunday,) = (row for row in client.holidays(year=2026)["data"] if row["date"] == "2026-02-01")
    assert sunday["holiday_type"] == "SPECIAL_SESSION"
    assert {row["exchange"] for row in sunday["open_exchanges"]} == {"NSE", "BSE", "NFO", "BFO"}
    assert set(sunday["closed_exchanges"]) == {"CDS", "BCD", "NCDEX", "MCX"}


def test_a_holiday_whose_evening_trades_commodities_is_told_as_a_holiday(client: api) -> None:
    (row,) = (row for row in client.holidays(year=2026)["data"] if row["date"] == "2026-11-24")
    assert (row["description"], row["holiday_type"]) == ("Guru Nanak Jayanti", "TRADING_HOLIDAY")
    assert [opened["exchange"] for opened in row["open_exchanges"]] == ["MCX"]
    assert {"NSE", "BSE", "NFO", "BFO"} <= set(row["closed_exchanges"])


def test_the_deprecated_strike_step_still_resolves(client: api) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = client.optionsymbol(
            underlying="NIFTY", exchange="NSE_INDEX", expiry_date=WEEKLY, strike_int=100,
            offset="OTM1", option_type="CE",
        )  # fmt: skip
    assert found["symbol"] == f"NIFTY{WEEKLY}26100CE"
