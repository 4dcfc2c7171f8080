"""What the stand-in feed servers refuse, and how they end a socket: as the brokers' documents say.
That their data is right is judged by the official clients."""

import json
import struct
import time

import pytest
import websocket

from tests.kit.feed_servers import dhan_feed, kite_feed, smartapi_feed
from tests.kit.feed_servers.dhan_feed import DhanFeed
from tests.kit.feed_servers.kite_feed import KiteFeed
from tests.kit.feed_servers.quotes import Quote
from tests.kit.feed_servers.smartapi_feed import SmartApiFeed

DHAN_LOGIN = f"?version=2&token={dhan_feed.TOKEN}&clientId={dhan_feed.CLIENT_ID}&authType=2"
KITE_LOGIN = f"?api_key={kite_feed.API_KEY}&access_token={kite_feed.ACCESS_TOKEN}"
SMART_HEADERS = {
    "Authorization": f"Bearer {smartapi_feed.JWT}",
    "x-api-key": smartapi_feed.API_KEY,
    "x-client-code": smartapi_feed.CLIENT,
    "x-feed-token": smartapi_feed.FEED_TOKEN,
}


@pytest.fixture
def connect():
    made = []

    def open_one(url, **headers):
        made.append(websocket.create_connection(url, timeout=10, header=headers))
        return made[-1]

    yield open_one
    for connection in made:
        connection.shutdown()


def dhan_request(code, *tokens):
    rows = [{"ExchangeSegment": "NSE_FNO", "SecurityId": str(token)} for token in tokens]
    body = {"RequestCode": code, "InstrumentCount": len(rows), "InstrumentList": rows}
    return json.dumps(body)


def test_a_fourth_kite_socket_and_a_wrong_token_are_refused_with_403(connect):
    with KiteFeed() as server:
        for _ in range(3):
            connect(server.url + KITE_LOGIN)
        for login in (KITE_LOGIN, KITE_LOGIN + "x"):
            with pytest.raises(websocket.WebSocketBadStatusException) as refused:
                connect(server.url + login)
            assert refused.value.status_code == 403
        server.drop(server.connections[0])
        server.wait_for(lambda: len(server.open_connections) == 2)
        connect(server.url + KITE_LOGIN)


def test_a_kite_mode_is_for_subscribed_tokens_only_and_a_new_one_is_quote(connect):
    with KiteFeed(beat_every_s=60) as server:
        socket = connect(server.url + KITE_LOGIN)
        server.send(Quote(1, 257, 100), Quote(1, 513, 200))
        socket.send(json.dumps({"a": "mode", "v": ["ltp", [513]]}))
        socket.send(json.dumps({"a": "subscribe", "v": [257]}))
        message = socket.recv()
        assert struct.unpack(">HHIi", message[:12]) == (1, 44, 257, 10_000)
        assert server.connections[0].subscriptions == {257: "quote"}


def test_kites_heartbeat_is_one_byte_and_stops_when_muted(connect):
    with KiteFeed(beat_every_s=0.02) as server:
        socket = connect(server.url + KITE_LOGIN)
        assert socket.recv() == b"\x00"
        server.muted = True
        server.say({"type": "message", "data": "quiet"})
        deadline = time.monotonic() + 10
        while socket.recv() == b"\x00":
            assert time.monotonic() < deadline


def test_a_wrong_smartapi_login_is_refused_with_the_reason_in_a_header(connect):
    with SmartApiFeed() as server:
        for _ in range(3):
            connect(server.url, **SMART_HEADERS)
        for headers in (SMART_HEADERS, SMART_HEADERS | {"x-feed-token": "old"}):
            with pytest.raises(websocket.WebSocketBadStatusException) as refused:
                connect(server.url, **headers)
            assert refused.value.status_code == 401
            assert refused.value.resp_headers["x-error-message"]


def test_a_thousand_pairs_of_token_and_mode_fill_a_smartapi_socket(connect):
    def ask(mode, tokens):
        params = {"mode": mode, "tokenList": [{"exchangeType": 2, "tokens": tokens}]}
        socket.send(json.dumps({"correlationID": "abc", "action": 1, "params": params}))

    with SmartApiFeed() as server:
        socket = connect(server.url, **SMART_HEADERS)
        ask(1, [str(token) for token in range(999)])
        ask(2, ["1", "2"])
        assert json.loads(socket.recv())["errorCode"] == "E1002"
        ask(2, ["1", "1"])
        ask(9, ["1"])
        assert json.loads(socket.recv())["errorCode"] == "E1001"
        assert len(server.connections[0].subscriptions) == 1000


def test_smartapi_answers_ping_with_pong(connect):
    with SmartApiFeed() as server:
        socket = connect(server.url, **SMART_HEADERS)
        socket.send("ping")
        assert socket.recv() == "pong"


def test_a_sixth_dhan_socket_ends_the_first_with_805(connect):
    with DhanFeed() as server:
        sockets = [connect(server.url + DHAN_LOGIN) for _ in range(6)]
        told = sockets[0].recv()
        assert (told[0], len(told), struct.unpack("<h", told[8:])) == (50, 10, (805,))
        assert sockets[0].recv_data(control_frame=True)[0] == websocket.ABNF.OPCODE_CLOSE
        server.wait_for(lambda: len(server.open_connections) == 5)


@pytest.mark.parametrize(("login", "reason"), [
    (DHAN_LOGIN.replace(dhan_feed.TOKEN, "old"), 808),
    (DHAN_LOGIN.replace(dhan_feed.CLIENT_ID, "1"), 810),
])  # fmt: skip
def test_dhan_tells_a_wrong_login_after_the_handshake(connect, login, reason):
    with DhanFeed() as server:
        told = connect(server.url + login).recv()
        assert struct.unpack("<h", told[8:]) == (reason,)


@pytest.mark.parametrize("batches", [
    [range(1, 102)],
    [range(first, first + 100) for first in range(0, 5100, 100)],
])  # fmt: skip
def test_dhan_refuses_more_than_a_hundred_a_message_and_five_thousand_a_socket(connect, batches):
    with DhanFeed() as server:
        socket = connect(server.url + DHAN_LOGIN)
        for tokens in batches:
            socket.send(dhan_request(21, *tokens))
        assert struct.unpack("<h", socket.recv()[8:]) == (804,)


def test_ready_messages_go_round_until_all_have_left(connect):
    with DhanFeed() as server:
        socket = connect(server.url + DHAN_LOGIN)
        sent = server.play(
            server.connections[0], [b"a" * 8, b"b" * 200], rate_s=float("inf"), messages=1001
        )
        got = [socket.recv() for _ in range(1001)]
        assert got == ([b"a" * 8, b"b" * 200] * 501)[:1001]
        sent.result(10)
