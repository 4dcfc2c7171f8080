"""Raw HTTP: shapes of failures, rate limits, older callers, session pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.sandbox.config import RateLimits
from adapters.sandbox.limits import RateLimiter
from adapters.sandbox.server import SandboxServer
from tests.kit.sandbox_bench import KEY, bench, call, instance

MISSING = ["Missing data for required field."]
ORDER = {
    "apikey": KEY, "strategy": "t", "symbol": "SBIN", "exchange": "NSE", "action": "buy",
    "quantity": "10", "pricetype": "MARKET", "product": "MIS",
}  # fmt: skip
CHAIN = {"apikey": KEY, "underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": "26NOV26"}


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with bench() as running:
        yield running


@pytest.fixture
def base(server: SandboxServer) -> str:
    server.reset()
    return server.addresses["zerodha"].rest_url


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def test_numbers_may_be_strings_or_numbers_and_the_action_lower_case(base: str) -> None:
    assert call(base, "placeorder", ORDER)[0] == 200
    assert call(base, "placeorder", {**ORDER, "quantity": 10})[0] == 200
    rows = call(base, "orderbook", {"apikey": KEY})[1]["data"]["orders"]
    assert [row["action"] for row in rows] == ["BUY", "BUY"]


def test_a_trailing_slash_means_the_same(base: str) -> None:
    assert call(base, "ping/", {"apikey": KEY})[1]["data"] == {
        "message": "pong", "broker": "zerodha",
    }  # fmt: skip


def test_an_order_endpoint_names_bad_fields_in_a_string(base: str) -> None:
    status, body, _ = call(base, "placeorder", without(ORDER, "symbol"))
    assert (status, body) == (
        400,
        {"status": "error", "message": "{'symbol': ['Missing data for required field.']}"},
    )


def test_a_data_endpoint_names_bad_fields_in_an_object(base: str) -> None:
    status, body, _ = call(base, "quotes", {"apikey": KEY, "symbol": "SBIN"})
    assert (status, body) == (400, {"status": "error", "message": {"exchange": MISSING}})


def test_an_options_endpoint_names_bad_fields_under_errors(base: str) -> None:
    status, body, _ = call(base, "optionchain", without(CHAIN, "expiry_date"))
    assert status == 400
    assert body == {
        "status": "error", "message": "Validation error", "errors": {"expiry_date": MISSING},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "changes", "text"),
    [
        ("placeorder", {"price_type": "MARKET"}, "{'price_type': ['Unknown field.']}"),
        ("placeorder", {"symbol": None}, "{'symbol': ['Field may not be null.']}"),
        ("placeorder", {"quantity": "x"}, "{'quantity': ['Not a valid number.']}"),
        ("placeorder", {"quantity": True}, "{'quantity': ['Not a valid number.']}"),
        ("placeorder", {"quantity": "nan"}, "{'quantity': ['Not a valid number.']}"),
        (
            "placeorder",
            {"quantity": 0},
            "{'quantity': ['Quantity must be a positive number.']}",
        ),
        (
            "placeorder",
            {"quantity": "1.5"},
            "{'quantity': ['Fractional quantity (1.5) is not allowed for non-crypto exchanges.']}",
        ),
        (
            "placeorder",
            {"pricetype": "BEST"},
            "{'pricetype': ['Must be one of: MARKET, LIMIT, SL, SL-M.']}",
        ),
        ("placeorder", {"price": -1}, "{'price': ['Price must be a non-negative number.']}"),
        (
            "placeorder",
            {"trigger_price": -1},
            "{'trigger_price': ['Trigger price must be a non-negative number.']}",
        ),
        (
            "placeorder",
            {"disclosed_quantity": -1},
            "{'disclosed_quantity': ['Disclosed quantity must be a non-negative integer.']}",
        ),
        (
            "placeorder",
            {"exchange": "NOWHERE"},
            "{'exchange': ['Must be one of: NSE, NFO, CDS, BSE, BFO, BCD, MCX, NCDEX, NCO, "
            "NSE_INDEX, BSE_INDEX, MCX_INDEX, GLOBAL_INDEX, CRYPTO.']}",
        ),
        (
            "splitorder",
            {"splitsize": 0},
            "{'splitsize': ['Split size must be a positive integer.']}",
        ),
        (
            "placesmartorder",
            {"quantity": -1, "position_size": 0},
            "{'quantity': ['Quantity must be a non-negative number.']}",
        ),
    ],
)
def test_a_bad_field_has_its_known_text(
    base: str, endpoint: str, changes: dict[str, Any], text: str
) -> None:
    status, body, _ = call(base, endpoint, {**ORDER, **changes})
    assert (status, body["message"]) == (400, text)


def test_a_bad_row_of_a_list_is_named_by_its_place(base: str) -> None:
    rows = [without(ORDER, "apikey", "strategy"), {"symbol": "SBIN"}]
    body = call(base, "basketorder", {"apikey": KEY, "strategy": "t", "orders": rows})[1]
    assert body["message"].startswith("{'orders': {1: {'exchange': ['Missing data")
    legs = {**without(CHAIN, "expiry_date"), "strategy": "t", "legs": []}
    refused = call(base, "optionsmultiorder", legs)[1]
    assert refused["errors"] == {"legs": ["Legs must contain 1 to 20 items."]}


def test_a_bad_key_is_told_after_bad_fields(base: str) -> None:
    bad = {"apikey": "nope"}
    assert call(base, "placeorder", {**without(ORDER, "symbol"), **bad})[0] == 400
    status, body, _ = call(base, "placeorder", {**ORDER, **bad})
    assert (status, body["message"]) == (403, "Invalid openalgo apikey")
    chain = call(base, "optionchain", {**CHAIN, **bad})
    assert (chain[0], chain[1]["message"]) == (
        403, "Failed to fetch LTP for NIFTY: Invalid openalgo apikey",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "nosuch"), ("GET", "quotes"), ("GET", "ping")]
)
def test_an_unknown_path_or_method_is_not_found(base: str, method: str, path: str) -> None:
    status, body, _ = call(base, path, {}, method=method)
    assert (status, body) == (
        404, {"status": "error", "message": "Not found", "path": f"/api/v1/{path}"},
    )  # fmt: skip


@pytest.mark.parametrize("text", [b"{bad", b"", b"[1]", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(base: str, text: bytes) -> None:
    status, body, _ = call(base, "quotes", text)
    assert (status, body["status"]) == (400, "error")
    assert body["message"].startswith("The browser (or proxy) sent a request")


def test_a_rejection_by_the_sandbox_says_analyze(base: str) -> None:
    status, body, _ = call(base, "placeorder", {**ORDER, "symbol": "NOPE"})
    assert (status, body) == (
        400, {"status": "error", "message": "Symbol NOPE not found on NSE", "mode": "analyze"},
    )  # fmt: skip
    recorded = call(base, "placeorder", {**ORDER, "action": "SELL", "product": "CNC"})
    assert (recorded[0], "orderid" in recorded[1]) == (400, True)


@pytest.mark.parametrize("endpoint", ["orderstatus", "cancelorder"])
def test_an_unknown_order_is_not_found(base: str, endpoint: str) -> None:
    status, body, _ = call(base, endpoint, {"apikey": KEY, "strategy": "t", "orderid": "999"})
    assert (status, body["message"]) == (404, "Order 999 not found")


def test_a_modify_refuses_prices_its_type_does_not_take(base: str) -> None:
    placed = call(base, "placeorder", {**ORDER, "pricetype": "LIMIT", "price": "700"})[1]["orderid"]
    terms = {**ORDER, "orderid": placed, "disclosed_quantity": 0, "trigger_price": 0, "price": 700}
    market = call(base, "modifyorder", {**terms, "pricetype": "MARKET"})
    assert (market[0], market[1]["message"]) == (400, "MARKET orders do not accept a price")
    limit = call(base, "modifyorder", {**terms, "pricetype": "LIMIT", "trigger_price": 1})
    assert limit[1]["message"] == "LIMIT orders do not accept a trigger_price"


def test_the_key_may_come_in_a_header_when_the_body_has_none(base: str) -> None:
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-KEY": KEY}):
        assert call(base, "positions", {}, headers=headers)[0] == 200
    wrong = call(base, "funds", {"apikey": "x"}, headers={"X-API-KEY": KEY})
    assert wrong[0] == 403


def test_order_id_is_an_alias_where_older_agents_use_it_and_nowhere_else(base: str) -> None:
    placed = call(base, "placeorder", {**ORDER, "pricetype": "LIMIT", "price": "700"})[1]["orderid"]
    header = {"Authorization": f"Bearer {KEY}"}
    found = call(base, "orderstatus", {"order_id": placed}, headers=header)
    assert found[1]["data"]["orderid"] == placed
    assert call(base, "orderstatus", {"apikey": KEY, "orderid": placed})[0] == 400
    cancelled = call(base, "cancelorder", {"apikey": KEY, "strategy": "t", "order_id": placed})
    assert cancelled[0] == 200
    assert call(base, "orderbook", {"apikey": KEY, "order_id": placed})[0] == 400


def test_the_eleventh_order_in_a_second_is_refused_and_reads_have_their_own_limit() -> None:
    with bench(stepped=False, limits=RateLimits()) as server:
        base = server.addresses["zerodha"].rest_url
        order = {**ORDER, "quantity": "x"}  # refused by validation, counted all the same
        answers = [call(base, "placeorder", order) for _ in range(11)]
        assert [row[0] for row in answers[:10]] == [400] * 10
        status, body, headers = answers[10]
        assert (status, body) == (429, {"status": "error", "message": "10 per 1 second"})
        assert headers["retry-after"] == "1"
        assert call(base, "funds", {"apikey": KEY})[0] == 200


def test_a_moving_window_frees_a_place_a_second_after_its_call() -> None:
    now = [100.0]
    limiter = RateLimiter(lambda: now[0])
    assert [limiter.refusal("a", "g", 2) for _ in range(3)] == ["", "", "2 per 1 second"]
    assert limiter.refusal("b", "g", 2) == ""
    now[0] = 100.999
    assert limiter.refusal("a", "g", 2)
    now[0] = 101.0
    assert limiter.refusal("a", "g", 2) == ""


def test_the_master_comes_as_csv_and_the_ticker_as_lines(base: str) -> None:
    status, text, _ = call(base, f"instruments?apikey={KEY}&exchange=NSE&format=csv", method="GET")
    lines = text.splitlines()
    assert (status, len(lines)) == (200, 4)
    assert lines[0] == (
        "symbol,brsymbol,name,exchange,brexchange,token,expiry,strike,lotsize,instrumenttype,"
        "tick_size"
    )
    path = f"ticker/NSE:SBIN?apikey={KEY}&interval=D&from=2026-11-20&to=2026-11-20&format=txt"
    assert call(base, path, method="GET")[1] == "NSE:SBIN,2026-11-20,100.0,110.0,90.0,105.0,1000"
    assert call(base, "instruments?apikey=x", method="GET")[0] == 403


def test_the_key_is_shown_only_to_a_logged_in_session(base: str) -> None:
    assert call(base, f"{base}/api/websocket/apikey", method="GET")[0] == 401
    assert KEY not in call(base, f"{base}/apikey", method="GET")[1]
    assert call(base, f"{base}/auth/login", {"password": "nope"})[0] == 401
    cookie = call(base, f"{base}/auth/login", {"password": KEY})[2]["set-cookie"]
    assert cookie.startswith("session_zerodha=")
    assert "HttpOnly" in cookie
    headers = {"Cookie": cookie.split(";")[0]}
    body = call(base, f"{base}/api/websocket/apikey", method="GET", headers=headers)[1]
    assert body == {"status": "success", "api_key": KEY}
    config = call(base, f"{base}/api/websocket/config", method="GET", headers=headers)[1]
    assert config["websocket_url"].startswith("ws://127.0.0.1:")


def test_a_broken_handler_answers_500_and_hides_why(
    server: SandboxServer, base: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(server.instances[0].exchange, "place", lambda ticket: 1 / 0)
    status, body, _ = call(base, "placeorder", ORDER)
    assert (status, body) == (
        500, {"status": "error", "message": "An unexpected error occurred in the API endpoint"},
    )  # fmt: skip
    assert "ZeroDivisionError" in caplog.text
    assert KEY not in caplog.text


def test_two_instances_have_two_keys() -> None:
    from adapters.sandbox.config import InstanceConfig

    rows = (instance("zerodha"), InstanceConfig("dhan", 0, 0, "b" * 64))
    with bench(instances=rows) as server:
        base = server.addresses["dhan"].rest_url
        assert call(base, "ping", {"apikey": KEY})[0] == 403
        assert call(base, "ping", {"apikey": "b" * 64})[1]["data"]["broker"] == "dhan"
