"""Every fault of the test bench, thrown over the control port and felt on a real socket."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from adapters.sandbox.control import SandboxControl
from adapters.sandbox.faults import FAULTS, FaultBoard, Switch
from adapters.sandbox.server import SandboxServer
from domain.errors import BrokerRejected, NotSent
from launch.build import free_port
from tests.kit.sandbox_bench import KEY, HandMarket, bench, call, instance

DEADLINE_S = 5.0
ORDER = {
    "apikey": KEY, "strategy": "t", "symbol": "SBIN", "exchange": "NSE", "action": "BUY",
    "quantity": "10", "pricetype": "MARKET", "product": "MIS",
}  # fmt: skip
BOOK = {"apikey": KEY}


@pytest.fixture
def market() -> HandMarket:
    return HandMarket()


@pytest.fixture
def server(market: HandMarket) -> Iterator[SandboxServer]:
    with bench(market, instances=(instance("zerodha"), instance("dhan"))) as running:
        yield running


@pytest.fixture
def control(server: SandboxServer) -> Iterator[SandboxControl]:
    client = SandboxControl(server.control_port)
    yield client
    client.close()


@pytest.fixture
def base(server: SandboxServer) -> str:
    return server.addresses["zerodha"].rest_url


def orders(base: str) -> list[dict[str, Any]]:
    return call(base, "orderbook", BOOK)[1]["data"]["orders"]


def post(server: SandboxServer, endpoint: str, body: dict[str, Any], timeout_s: float = 5.0) -> Any:
    """One call whose connection errors come out as they are."""
    port = server.addresses["zerodha"].rest_port
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        wire.request("POST", f"/api/v1/{endpoint}", json.dumps(body))
        return wire.getresponse().status
    finally:
        wire.close()


def open_socket(server: SandboxServer) -> websocket.WebSocket:
    url = server.addresses["zerodha"].websocket_url
    wire = websocket.create_connection(url, timeout=DEADLINE_S)
    wire.send(json.dumps({"action": "authenticate", "api_key": KEY}))
    assert json.loads(wire.recv())["status"] == "success"
    return wire


def hear(wire: websocket.WebSocket, **message: Any) -> dict[str, Any]:
    if message:
        wire.send(json.dumps(message))
    return json.loads(wire.recv())


def test_a_call_that_is_never_accepted_leaves_no_order(
    server: SandboxServer, control: SandboxControl, base: str
) -> None:
    control.fault_on("timeout_before_accept", times=1)
    with pytest.raises(TimeoutError):
        post(server, "placeorder", ORDER, timeout_s=0.2)
    assert orders(base) == []
    assert post(server, "placeorder", ORDER) == 200


def test_a_call_that_is_accepted_and_not_answered_leaves_an_order(
    server: SandboxServer, control: SandboxControl, base: str
) -> None:
    control.fault_on("timeout_after_accept", times=1)
    with pytest.raises(TimeoutError):
        post(server, "placeorder", {**ORDER, "strategy": "find me"}, timeout_s=0.2)
    assert [row["strategy"] for row in orders(base)] == ["find me"]


def test_a_hanging_call_ends_in_a_reset_after_its_time(
    server: SandboxServer, control: SandboxControl
) -> None:
    control.fault_on("timeout_before_accept", for_s=0.05)
    with pytest.raises(ConnectionError):
        post(server, "placeorder", ORDER)


def test_a_connection_is_really_reset_before_the_call_is_carried_out(
    server: SandboxServer, control: SandboxControl, base: str
) -> None:
    control.fault_on("connection_reset", times=1)
    with pytest.raises(ConnectionResetError):
        post(server, "placeorder", ORDER)
    assert orders(base) == []


@pytest.mark.parametrize(("fault", "status"), [("http_429", 429), ("http_500", 500)])
def test_an_error_status_is_answered_without_doing_anything(
    control: SandboxControl, base: str, fault: str, status: int
) -> None:
    control.fault_on(fault, nth=2)
    answers = [call(base, "placeorder", ORDER)[0] for _ in range(3)]
    assert answers == [200, status, 200]
    assert len(orders(base)) == 2


def test_answers_come_late(server: SandboxServer, control: SandboxControl) -> None:
    control.fault_on("delay", for_s=0.3, endpoint="funds")
    with pytest.raises(TimeoutError):
        post(server, "funds", BOOK, timeout_s=0.1)
    assert post(server, "funds", BOOK) == 200


def test_the_nth_order_is_rejected_in_words(control: SandboxControl, base: str) -> None:
    control.fault_on("reject", nth=2)
    rows = [
        {"symbol": name, "exchange": "NSE", "action": "BUY", "quantity": 1, "product": "MIS"}
        for name in ("SBIN", "INFY")
    ]
    answer = call(base, "basketorder", {"apikey": KEY, "strategy": "t", "orders": rows})[1]
    assert [row["status"] for row in answer["results"]] == ["success", "error"]
    assert answer["results"][1]["message"] == "Order for INFY rejected by the test bench"


def test_an_order_is_taken_and_its_id_is_dropped(control: SandboxControl, base: str) -> None:
    control.fault_on("drop_ids", times=1)
    status, body, _ = call(base, "placeorder", ORDER)
    assert (status, body) == (200, {"status": "success", "mode": "analyze"})
    assert len(orders(base)) == 1


def test_a_leg_of_a_multi_leg_order_is_lost(control: SandboxControl, base: str) -> None:
    control.fault_on("lose_leg", nth=1)
    terms = {"option_type": "CE", "quantity": 65, "product": "NRML"}
    legs = [
        {"offset": "OTM4", "action": "SELL", **terms},
        {"offset": "OTM6", "action": "BUY", **terms},
    ]
    body = {
        "apikey": KEY, "strategy": "t", "underlying": "NIFTY", "exchange": "NSE_INDEX",
        "expiry_date": "26NOV26", "legs": legs,
    }  # fmt: skip
    answer = call(base, "optionsmultiorder", body)[1]
    assert [row["leg"] for row in answer["results"]] == [2]
    assert [row["action"] for row in orders(base)] == ["BUY"]


def test_a_fill_is_reported_twice_but_booked_once(
    server: SandboxServer, control: SandboxControl, base: str
) -> None:
    wire = open_socket(server)
    hear(wire, action="subscribe_orders")
    control.fault_on("duplicate_fill", times=1)
    call(base, "placeorder", ORDER)
    first, second = hear(wire), hear(wire)
    assert first == second
    assert first["order_status"] == "complete"
    trades = call(base, "tradebook", BOOK)[1]["data"]
    assert len(trades) == 2
    assert trades[0] == trades[1]
    assert call(base, "positionbook", BOOK)[1]["data"][0]["quantity"] == 10
    wire.close()


@pytest.mark.parametrize(("fault", "status"), [("http_502", 502), ("empty_answer", 200)])
def test_an_answer_that_says_nothing_comes_for_a_call_that_was_carried_out(
    server: SandboxServer, control: SandboxControl, base: str, fault: str, status: int
) -> None:
    control.fault_on(fault, times=1)
    assert post(server, "placeorder", ORDER) == status
    assert len(orders(base)) == 1


def test_a_late_book_shows_what_stood_five_seconds_ago(control: SandboxControl, base: str) -> None:
    call(base, "placeorder", {**ORDER, "pricetype": "LIMIT", "price": "1"})
    control.step(10)
    call(
        base, "cancelorder", {"apikey": KEY, "strategy": "t", "orderid": orders(base)[0]["orderid"]}
    )
    call(base, "placeorder", ORDER)
    control.fault_on("late_book", instance="zerodha")
    assert [row["order_status"] for row in orders(base)] == ["open"]
    control.step(5)
    assert [row["order_status"] for row in orders(base)] == ["complete", "cancelled"]


def test_a_late_fill_comes_with_the_next_look_at_the_order(
    control: SandboxControl, base: str
) -> None:
    control.fault_on("late_fill", times=1)
    call(base, "placeorder", ORDER)
    assert [row["order_status"] for row in orders(base)] == ["open"]
    control.step(5)
    assert [row["order_status"] for row in orders(base)] == ["complete"]


def test_a_partial_fill_is_whole_with_the_next_look_at_the_order(
    control: SandboxControl, base: str
) -> None:
    control.fault_on("partial_fill", times=1)
    call(base, "placeorder", ORDER)
    row = orders(base)[0]
    assert (row["order_status"], row["filled_quantity"], row["pending_quantity"]) == ("open", 5, 5)
    assert call(base, "positionbook", BOOK)[1]["data"][0]["quantity"] == 5
    control.step(5)
    row = orders(base)[0]
    assert (row["order_status"], row["filled_quantity"]) == ("complete", 10)
    assert [row["quantity"] for row in call(base, "tradebook", BOOK)[1]["data"]] == [5, 5]
    assert call(base, "positionbook", BOOK)[1]["data"][0]["quantity"] == 10


def test_what_a_partly_filled_order_blocked_is_released_when_it_is_cancelled(
    control: SandboxControl, base: str
) -> None:
    def blocked() -> float:
        return call(base, "funds", BOOK)[1]["data"]["utiliseddebits"]

    control.fault_on("partial_fill", times=1)
    call(base, "placeorder", ORDER)
    whole = blocked()
    order_id = orders(base)[0]["orderid"]
    call(base, "cancelorder", {"apikey": KEY, "strategy": "t", "orderid": order_id})
    assert orders(base)[0]["order_status"] == "cancelled"
    assert blocked() == pytest.approx(whole / 2, rel=0.01)


def test_a_mute_feed_keeps_its_socket_and_sends_no_ticks(
    server: SandboxServer, control: SandboxControl, market: HandMarket
) -> None:
    wire = open_socket(server)
    control.fault_on("mute_feed")
    answer = hear(wire, action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
    assert answer["status"] == "success"
    market.set("NSE", "SBIN", 801.0)
    control.step(1)
    assert hear(wire, action="ping")["type"] == "pong"
    control.fault_off("mute_feed")
    market.set("NSE", "SBIN", 802.0)
    control.step(1)
    assert hear(wire)["data"]["ltp"] == 802.0
    wire.close()


def test_dropped_sockets_are_reset_and_refused_until_the_switch_is_off(
    server: SandboxServer, control: SandboxControl
) -> None:
    wire = open_socket(server)
    control.fault_on("drop_socket")
    with pytest.raises((ConnectionError, websocket.WebSocketException)):
        wire.recv()
    wire.shutdown()
    with pytest.raises((ConnectionError, websocket.WebSocketException)):
        open_socket(server)
    control.fault_off("drop_socket")
    open_socket(server).close()


def test_an_expired_key_is_refused_on_both_ports(
    server: SandboxServer, control: SandboxControl, base: str
) -> None:
    control.fault_on("expire_key", instance="zerodha")
    assert call(base, "funds", BOOK)[0] == 403
    assert call(server.addresses["dhan"].rest_url, "funds", BOOK)[0] == 200
    url = server.addresses["zerodha"].websocket_url
    wire = websocket.create_connection(url, timeout=DEADLINE_S)
    refused = hear(wire, action="authenticate", api_key=KEY)
    assert refused["code"] == "AUTHENTICATION_ERROR"
    control.fault_off("expire_key")
    assert hear(wire, action="authenticate", api_key=KEY)["status"] == "success"
    wire.close()


def test_every_fault_is_listed_with_its_meaning_and_state(control: SandboxControl) -> None:
    control.fault_on("http_500", nth=3, endpoint="quotes")
    rows = {row["fault"]: row for row in control.faults()}
    assert set(rows) == set(FAULTS)
    assert all(row["meaning"] for row in rows.values())
    assert (rows["http_500"]["on"], rows["http_500"]["nth"]) == (True, 3)
    assert rows["delay"]["on"] is False


@pytest.mark.parametrize(
    "terms",
    [{"fault": "nosuch"}, {"fault": "delay", "nth": 0}, {"fault": "delay", "instance": "nobody"}],
)
def test_a_switch_that_means_nothing_is_refused(
    control: SandboxControl, terms: dict[str, Any]
) -> None:
    with pytest.raises(BrokerRejected):
        control.fault_on(**terms)


def test_a_fault_with_a_time_ends_by_itself() -> None:
    now = [10.0]
    board = FaultBoard(lambda: now[0])
    board.throw(Switch("mute_feed", for_s=2.0))
    assert board.is_on("mute_feed", "zerodha")
    now[0] = 12.0
    assert not board.is_on("mute_feed", "zerodha")


def test_reset_clears_the_books_of_one_instance(
    server: SandboxServer, control: SandboxControl, base: str
) -> None:
    other = server.addresses["dhan"].rest_url
    call(base, "placeorder", ORDER)
    call(other, "placeorder", ORDER)
    control.reset("zerodha")
    assert (len(orders(base)), len(orders(other))) == (0, 1)
    funds = call(base, "funds", BOOK)[1]["data"]
    assert (funds["availablecash"], funds["reset_count"]) == (10_000_000.0, 1)


def test_the_clock_moves_only_forward_and_by_what_it_is_told(control: SandboxControl) -> None:
    start = control.status()["now_ns"]
    assert control.step(2.5)["now_ns"] == start + 2_500_000_000
    report = control.advance(start + 5_000_000_000)
    assert (report["now_ns"], report["step"], report["ended"]) == (start + 5_000_000_000, 2, False)
    assert control.advance(start)["now_ns"] == start + 5_000_000_000


def test_a_move_between_two_rows_is_no_step_to_wait_for(control: SandboxControl) -> None:
    next_ns = control.status()["next_ns"]
    assert control.advance(next_ns - 1)["step"] == 0
    assert control.advance(next_ns)["step"] == 1


def test_a_clock_that_runs_by_itself_cannot_be_moved() -> None:
    with bench(stepped=False) as server:
        control = SandboxControl(server.control_port)
        with pytest.raises(BrokerRejected, match="runs by itself"):
            control.step(1)
        control.close()


def test_the_control_port_wants_json_by_name_and_knows_its_paths(server: SandboxServer) -> None:
    control = f"http://127.0.0.1:{server.control_port}"
    plain = {"Content-Type": "text/plain"}
    assert call("", f"{control}/reset", {}, headers=plain)[0] == 415
    assert call("", f"{control}/reset", {}, headers={"Host": "evil.example:80"})[0] == 403
    assert call("", f"{control}/reset", b"{bad")[0] == 400
    assert call("", f"{control}/clock", {})[0] == 400
    assert call("", f"{control}/nosuch", {})[0] == 404


def test_a_control_port_that_is_not_there_is_told_as_not_sent() -> None:
    with pytest.raises(NotSent):
        SandboxControl(free_port()).status()
