"""The WebSocket port: raw frames by frame, and the official client's feed (`openalgo.md` 7)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websocket
from openalgo import api

from adapters.sandbox import websocket as websocket_port
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.frames import text_frame
from adapters.sandbox.hub import QUEUE_FRAMES_MAX, Connection
from adapters.sandbox.server import SandboxServer
from tests.kit import default_system
from tests.kit.sandbox_bench import KEY, HandMarket, bench, call

DEADLINE_S = 5.0


@pytest.fixture
def market() -> HandMarket:
    return HandMarket()


@pytest.fixture
def server(market: HandMarket) -> Iterator[SandboxServer]:
    with bench(market) as running:
        yield running


@pytest.fixture
def control(server: SandboxServer) -> Iterator[SandboxControl]:
    client = SandboxControl(server.control_port)
    yield client
    client.close()


class Wire:
    """A raw client of the socket."""

    def __init__(self, server: SandboxServer, login: bool = True) -> None:
        url = server.addresses["zerodha"].websocket_url
        self.socket = websocket.create_connection(url, timeout=DEADLINE_S)
        if login:
            assert self.ask(action="authenticate", api_key=KEY)["status"] == "success"

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        return json.loads(self.socket.recv())

    def ask(self, **message: Any) -> dict[str, Any]:
        self.say(**message)
        return self.hear()

    def hear_nothing(self) -> bool:
        """True when the answer to a ping is the next thing heard."""
        return self.ask(action="ping")["type"] == "pong"


@pytest.fixture
def wire(server: SandboxServer) -> Iterator[Wire]:
    made = Wire(server)
    yield made
    made.socket.close()


def wait_for(fact: Callable[[], bool]) -> None:
    default_system.wait_for(fact, "what the test waits for", DEADLINE_S)


def test_the_official_client_reads_ticks_in_all_three_modes(
    server: SandboxServer, market: HandMarket, control: SandboxControl
) -> None:
    address = server.addresses["zerodha"]
    client = api(KEY, host=address.rest_url, ws_url=address.websocket_url)
    assert client.connect()
    seen: dict[int, list[dict[str, Any]]] = {1: [], 2: [], 3: []}
    sbin = [{"exchange": "NSE", "symbol": "SBIN"}]
    for subscribe in (client.subscribe_ltp, client.subscribe_quote, client.subscribe_depth):
        assert subscribe(sbin, on_data_received=lambda row: seen[row["mode"]].append(row))
    wait_for(lambda: all(seen.values()))
    assert [seen[mode][0]["data"]["ltp"] for mode in seen] == [800.0, 800.0, 800.0]
    market.set("NSE", "SBIN", 803.5)
    control.step(1)
    wait_for(lambda: all(len(rows) == 2 for rows in seen.values()))
    ltp, quote, depth = (seen[mode][1]["data"] for mode in (1, 2, 3))
    assert ltp["ltp"] == quote["ltp"] == depth["ltp"] == 803.5
    assert (quote["change"], quote["change_percent"], quote["close"]) == (13.5, 1.71, 790.0)
    assert (quote["volume"], quote["last_trade_quantity"]) == (1_010, 10)
    assert depth["depth"]["buy"][0] == {"price": 803.45, "quantity": 65, "orders": 1}
    assert len(depth["depth"]["sell"]) == 5
    client.unsubscribe_ltp(sbin)
    client.disconnect()


def test_authentication_names_broker_and_features(server: SandboxServer) -> None:
    wire = Wire(server, login=False)
    answer = wire.ask(type="auth", apikey=KEY)
    assert (answer["type"], answer["broker"]) == ("auth", "zerodha")
    assert answer["supported_features"] == {"ltp": True, "quote": True, "depth": True}
    wire.socket.close()


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        ('{"action":"subscribe","symbol":"SBIN","exchange":"NSE"}', "NOT_AUTHENTICATED",
         "You must authenticate first"),
        ('{"action":"authenticate"}', "AUTHENTICATION_ERROR", "API key is required"),
        ('{"action":"authenticate","api_key":"nope"}', "AUTHENTICATION_ERROR", "Invalid API key"),
        ("{nonsense", "INVALID_JSON", "Invalid JSON message"),
        ("[1]", "INVALID_JSON", "Invalid JSON message"),
        ('{"action":"dance"}', "INVALID_ACTION", "Invalid action: dance"),
        ('{"action":["x"]}', "INVALID_ACTION", "Invalid action: ['x']"),
    ],
)  # fmt: skip
def test_an_error_before_login_is_told_and_the_socket_stays_open(
    server: SandboxServer, message: str, code: str, text: str
) -> None:
    wire = Wire(server, login=False)
    wire.socket.send(message)
    assert wire.hear() == {"status": "error", "code": code, "message": text}
    assert wire.hear_nothing()
    wire.socket.close()


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        ({"action": "subscribe"}, "INVALID_PARAMETERS", "At least one symbol must be specified"),
        (
            {"action": "unsubscribe"}, "INVALID_PARAMETERS",
            "Either symbols or unsubscribe_all is required",
        ),
        (
            {"action": "subscribe", "symbol": "SBIN", "exchange": "NSE", "mode": 9}, "INVALID_MODE",
            "Invalid mode 9; expected 1 (LTP), 2 (Quote), or 3 (Depth)",
        ),
        (
            {"action": "subscribe", "symbol": "SBIN", "exchange": "NSE", "mode": ["x"]},
            "INVALID_MODE",
            "Invalid mode ['x']; expected 1 (LTP), 2 (Quote), or 3 (Depth)",
        ),
    ],
)  # fmt: skip
def test_a_bad_request_after_login_is_told(
    wire: Wire, message: dict[str, Any], code: str, text: str
) -> None:
    assert wire.ask(**message) == {"status": "error", "code": code, "message": text}


def test_many_symbols_in_one_request_may_succeed_in_part(wire: Wire) -> None:
    names = [{"symbol": "SBIN", "exchange": "NSE"}, {"symbol": "NOPE", "exchange": "NSE"}]
    answer = wire.ask(action="subscribe", symbols=names, mode="quote", depth=20, request_id="r1")
    assert (answer["type"], answer["status"], answer["request_id"]) == (
        "subscribe",
        "partial",
        "r1",
    )
    assert answer["subscriptions"][0] == {
        "symbol": "SBIN", "exchange": "NSE", "status": "success", "mode": "Quote", "depth": 5,
        "broker": "zerodha",
    }  # fmt: skip
    assert answer["subscriptions"][1]["status"] == "error"
    snapshot = wire.hear()
    assert (snapshot["type"], snapshot["mode"], snapshot["data"]["mode"]) == ("market_data", 2, 2)
    assert snapshot["data"]["open"] == 800.0


def test_ticks_go_to_subscribers_only_and_stop_after_unsubscribe(
    wire: Wire, market: HandMarket, control: SandboxControl
) -> None:
    wire.say(action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
    wire.hear()
    wire.hear()
    market.set("NSE", "INFY", 1501.0)
    market.set("NSE", "SBIN", 801.0)
    control.step(1)
    tick = wire.hear()
    assert (tick["symbol"], tick["broker"], tick["data"]["ltp"]) == ("SBIN", "zerodha", 801.0)
    assert set(tick["data"]) == {"symbol", "exchange", "mode", "ltp", "ltt", "timestamp"}
    gone = wire.ask(
        action="unsubscribe", symbols=[{"symbol": "SBIN", "exchange": "NSE", "mode": 1}]
    )
    assert [row["status"] for row in gone["successful"]] == ["success"]
    market.set("NSE", "SBIN", 802.0)
    control.step(1)
    assert wire.hear_nothing()


def test_unsubscribe_without_mode_means_quote_and_all_ends_everything(wire: Wire) -> None:
    for mode in (1, 2):
        wire.say(action="subscribe", symbol="SBIN", exchange="NSE", mode=mode)
        wire.hear()
        wire.hear()
    one = wire.ask(action="unsubscribe", symbol="SBIN", exchange="NSE")
    assert one["status"] == "success"
    again = wire.ask(action="unsubscribe", symbol="SBIN", exchange="NSE")
    assert [row["symbol"] for row in again["failed"]] == ["SBIN"]
    rest = wire.ask(action="unsubscribe_all")
    assert len(rest["successful"]) == 1


def test_the_source_is_asked_only_for_what_someone_reads_or_waits_for(
    server: SandboxServer, wire: Wire, market: HandMarket, control: SandboxControl
) -> None:
    control.step(1)
    assert market.watched == set()
    wire.say(action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
    wire.hear()
    order = {
        "apikey": KEY, "strategy": "t", "symbol": "INFY", "exchange": "NSE", "action": "BUY",
        "quantity": "1", "pricetype": "LIMIT", "price": "1",
    }  # fmt: skip
    call(server.addresses["zerodha"].rest_url, "placeorder", order)
    control.step(1)
    ids = {market.index.get("NSE", name).listing_id for name in ("SBIN", "INFY")}
    assert market.watched == ids


def test_a_request_that_breaks_is_told_and_the_socket_stays_open(
    server: SandboxServer, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.market, "find", lambda exchange, symbol: 1 / 0)
    broken = wire.ask(action="subscribe", symbol="SBIN", exchange="NSE")
    assert (broken["code"], broken["status"]) == ("PROCESSING_ERROR", "error")
    assert wire.hear_nothing()


def test_a_ping_needs_no_login_and_echoes_what_came(server: SandboxServer) -> None:
    wire = Wire(server, login=False)
    answer = wire.ask(action="ping", timestamp=5, _pingId="x")
    assert (answer["client_timestamp"], answer["_pingId"]) == (5, "x")
    assert answer["server_timestamp"] == server.market.now_ns() // 1_000_000
    wire.socket.close()


@pytest.mark.parametrize("odd", [10**30, -(10**20), "half a \ud83d", [[[[]]]], {"a": None}])
def test_a_ping_echoes_whatever_a_client_may_send(wire: Wire, odd: Any) -> None:
    assert wire.ask(action="ping", timestamp=odd)["client_timestamp"] == odd
    assert wire.hear_nothing()  # and its socket lives


def test_an_action_named_with_half_a_character_is_refused_in_words(wire: Wire) -> None:
    assert wire.ask(action="\ud83d")["code"] == "INVALID_ACTION"


def test_broker_requests_are_answered(wire: Wire) -> None:
    info = wire.ask(action="get_broker_info")
    assert (info["broker"], info["adapter_status"]) == ("zerodha", "connected")
    listed = wire.ask(action="get_supported_brokers")
    assert (listed["brokers"], listed["count"]) == (["zerodha"], 1)


def test_order_updates_go_to_those_who_asked(
    server: SandboxServer, wire: Wire, market: HandMarket, control: SandboxControl
) -> None:
    assert wire.ask(action="subscribe_orders")["message"] == "Subscribed to order updates"
    other = Wire(server)
    base = server.addresses["zerodha"].rest_url
    order = {
        "apikey": KEY, "strategy": "t", "symbol": "SBIN", "exchange": "NSE", "action": "BUY",
        "quantity": "10", "pricetype": "SL", "price": "810", "trigger_price": "803",
    }  # fmt: skip
    placed = call(base, "placeorder", order)[1]["orderid"]
    market.set("NSE", "SBIN", 811.0)
    control.step(1)
    triggered = wire.hear()
    assert (triggered["type"], triggered["order_status"]) == ("order_update", "open")
    market.set("NSE", "SBIN", 804.0)
    control.step(1)
    filled = wire.hear()
    assert (filled["orderid"], filled["order_status"], filled["average_price"]) == (
        placed, "complete", 804.0,
    )  # fmt: skip
    assert (filled["filled_quantity"], filled["pending_quantity"]) == (10, 0)
    assert other.hear_nothing()
    other.socket.close()


def test_a_step_is_marked_behind_its_ticks_for_those_who_asked(
    server: SandboxServer, wire: Wire, market: HandMarket, control: SandboxControl
) -> None:
    wire.ask(action="subscribe_steps")
    wire.say(action="subscribe", symbol="SBIN", exchange="NSE", mode=1)
    wire.hear()
    wire.hear()
    other = Wire(server)
    market.set("NSE", "SBIN", 801.0)
    report = control.step(1)
    assert wire.hear()["data"]["ltp"] == 801.0
    mark = {"type": "step", "step": report["step"], "now_ns": report["now_ns"]}
    assert wire.hear() == mark
    assert other.ask(action="subscribe_steps")["step"] == report["step"]
    assert other.hear_nothing()
    other.socket.close()


def test_a_client_that_does_not_log_in_is_closed_with_4401(
    monkeypatch: pytest.MonkeyPatch, market: HandMarket
) -> None:
    monkeypatch.setattr(websocket_port, "AUTHENTICATE_WITHIN_S", 0.05)
    with bench(market) as server:
        wire = Wire(server, login=False)
        code, data = wire.socket.recv_data()
        assert code == websocket.ABNF.OPCODE_CLOSE
        assert struct.unpack("!H", data[:2])[0] == 4401
        assert data[2:] == b"auth timeout"
        wire.socket.shutdown()


class SlowPeer:
    """A protocol whose peer does not read until it is told to."""

    def __init__(self) -> None:
        self.can_write = False
        self.written = b""
        self.transport = self
        self.when_writable: Callable[[], None] | None = None

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written += data


def test_a_slow_client_loses_the_oldest_frames_beyond_its_queue_and_they_are_counted() -> None:
    peer = SlowPeer()
    connection = Connection(peer)  # type: ignore[arg-type]
    for number in range(QUEUE_FRAMES_MAX + 3):
        connection.push(b"%d," % number)
        connection.flush()
    assert connection.dropped_frames == 3
    peer.can_write = True
    assert peer.when_writable is not None
    peer.when_writable()
    assert peer.written.startswith(b"3,4,")
    assert peer.written.count(b",") == QUEUE_FRAMES_MAX


def test_a_stepped_reader_loses_nothing() -> None:
    connection = Connection(SlowPeer())  # type: ignore[arg-type]
    connection.wants_steps = True
    for _ in range(QUEUE_FRAMES_MAX + 3):
        connection.push(b"x")
        connection.flush()
    assert connection.dropped_frames == 0


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_536, b"\x81\x7f" + bytes(5) + b"\x01\x00\x00"),
    ],
)
def test_a_text_frame_has_the_length_of_its_standard(size: int, head: bytes) -> None:
    assert text_frame(b"x" * size) == head + b"x" * size
