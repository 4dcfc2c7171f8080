"""adapters.openalgo.stream against a small WebSocket server that plays its part by script."""

import json
import select
import socket
import threading
import time
from decimal import Decimal

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from adapters.openalgo.stream import OpenAlgoStream
from domain.instruments import InstrumentIndex, Kind, Listing

KEY = "f00d" + "a1b2" * 15
NOW_NS = 1_795_205_513_000_000_000
SBIN = Listing(7, "NSE", "SBIN", "SBIN", Kind.EQUITY, 1, Decimal("0.05"), 0)
INFY = Listing(8, "NSE", "INFY", "INFY", Kind.EQUITY, 1, Decimal("0.05"), 0)
AUTHENTICATED = {"type": "auth", "status": "success", "message": "Authentication successful"}


class Server:
    """Runs `script(connection)` for each connection and keeps what clients sent."""

    def __init__(self, script):
        self.heard = []
        self._server = serve(self._talk, "127.0.0.1", 0)
        self._script = script
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _talk(self, connection):
        try:
            self._script(self, connection)
        except ConnectionClosed:
            return

    def hear(self, connection):
        self.heard.append(json.loads(connection.recv()))
        return self.heard[-1]

    def close(self):
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def play():
    """Starts a server with a script and a stream on it; ends both."""
    ends = []

    def start(script, **options):
        server = Server(script)
        stream = OpenAlgoStream(
            server.url, KEY, InstrumentIndex([SBIN, INFY]), clock=lambda: NOW_NS, **options
        )
        ends.extend((stream.close, server.close))
        return server, stream

    yield start
    for end in ends:
        end()


def take_until(stream, done):
    """(ticks, events) collected until `done(ticks, events)`; fails after 10 s."""
    ticks, events, deadline = [], [], time.monotonic() + 10
    while not done(ticks, events):
        assert time.monotonic() < deadline, f"only {ticks} {events} came"
        select.select([stream.descriptor], [], [], 0.05)
        rows, news = stream.take()
        ticks += rows.tolist()
        events += news
    return ticks, events


def has(kind):
    return lambda _ticks, events: any(event[0] == kind for event in events)


def say(connection, *frames):
    for frame in frames:
        connection.send(json.dumps(frame))


def tick(symbol="SBIN", ltp=800.0):
    data = {"ltp": ltp, "timestamp": NOW_NS // 10**6}
    return {"type": "market_data", "symbol": symbol, "exchange": "NSE", "mode": 1, "data": data}


def wait_for_end(connection):
    for _ in connection:
        pass


def welcome(server, connection, answer=AUTHENTICATED):
    server.hear(connection)
    say(connection, answer)
    wait_for_end(connection)


def test_a_stream_opens_authenticates_with_its_key_and_says_so(play):
    server, stream = play(welcome)
    stream.open()

    _, events = take_until(stream, has("authenticated"))

    assert events == [("open", ""), ("authenticated", "")]
    assert server.heard == [{"action": "authenticate", "api_key": KEY}]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "authenticated"},
        {"status": "success", "message": "Authenticated"},
        {"status": "success", "user_id": "u"},
        {"status": "success", "supported_features": {"ltp": True}},
        {"status": "success", "broker": "x"},
    ],
)
def test_older_welcomes_are_understood(play, answer):
    _, stream = play(lambda server, connection: welcome(server, connection, answer))
    stream.open()
    take_until(stream, has("authenticated"))


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "error", "code": "AUTHENTICATION_ERROR", "message": "Invalid API key"},
        {"type": "auth", "status": "error", "message": "no"},
        {"status": "error", "code": "NOT_AUTHENTICATED", "message": "You must authenticate first"},
        {"type": "error", "message": "Forbidden"},
        {"status": "error", "message": "bad api key"},
    ],
)
def test_a_refused_key_is_told_as_refused(play, answer):
    _, stream = play(lambda server, connection: welcome(server, connection, answer))
    stream.open()
    _, events = take_until(stream, has("refused"))
    assert not has("authenticated")([], events)


def test_a_close_for_want_of_authentication_is_told_as_refused(play):
    _, stream = play(lambda server, connection: connection.close(4401, "auth timeout"))
    stream.open()
    _, events = take_until(stream, has("refused"))
    assert "4401 auth timeout" in events[-1][1]


def test_a_close_by_the_server_is_told_with_its_reason(play):
    _, stream = play(lambda server, connection: connection.close(1012, "restart"))
    stream.open()
    _, events = take_until(stream, has("closed"))
    assert events[-1] == ("closed", "closed by the server: 1012 restart")


def test_a_connection_that_cannot_be_made_is_told_as_closed(play):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stream = OpenAlgoStream(f"ws://127.0.0.1:{port}", KEY, InstrumentIndex([]), clock=lambda: 0)
    stream.open()
    _, events = take_until(stream, has("closed"))
    stream.close()
    assert [kind for kind, _ in events] == ["closed"]


def test_a_reset_connection_is_told_as_closed(play):
    def reset(_server, connection):
        connection.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        connection.socket.close()

    _, stream = play(reset)
    stream.open()
    take_until(stream, has("closed"))


def test_ticks_of_many_frames_come_as_one_array_with_the_moment_they_came(play):
    def script(server, connection):
        server.hear(connection)
        say(connection, AUTHENTICATED, tick("SBIN", 800.5), tick("INFY", 1500.0), tick("NOPE"))
        connection.send("not json")
        say(connection, {"type": "pong", "status": "success"})
        say(connection, tick("SBIN", 801.0))
        wait_for_end(connection)

    _, stream = play(script)
    stream.open()

    ticks, _ = take_until(stream, lambda ticks, _: len(ticks) == 3)

    assert [(row[0], row[4]) for row in ticks] == [(7, 800.5), (8, 1500.0), (7, 801.0)]
    assert {row[3] for row in ticks} == {NOW_NS}
    assert stream.counters.refused == {"unknown_symbol": 1, "not_json": 1}
    assert stream.counters.ticks == 3


def test_subscriptions_go_out_by_mode_in_requests_of_a_hundred(play):
    def script(server, connection):
        server.hear(connection)
        say(connection, AUTHENTICATED)
        for _ in range(4):
            request = server.hear(connection)
            rows = [row | {"status": "success"} for row in request["symbols"]]
            say(connection, {"type": request["action"], "status": "success", "subscriptions": rows})
        wait_for_end(connection)

    server, stream = play(script)
    stream.open()
    take_until(stream, has("authenticated"))
    stream.subscribe([SBIN] * 150 + [INFY], [2] * 150 + [3])
    take_until(stream, lambda _, events: len(events) == 3)
    stream.unsubscribe([SBIN], [2])

    deadline = time.monotonic() + 10
    while len(server.heard) < 5:
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)
    first, second, third, fourth = server.heard[1:]
    assert [len(row["symbols"]) for row in (first, second, third)] == [100, 50, 1]
    assert [row["mode"] for row in (first, second, third)] == ["QUOTE", "QUOTE", "DEPTH"]
    assert third["symbols"] == [{"symbol": "INFY", "exchange": "NSE"}]
    assert fourth["action"] == "unsubscribe"
    assert fourth["symbols"] == [{"symbol": "SBIN", "exchange": "NSE", "mode": "QUOTE"}]


def test_a_listing_the_server_does_not_take_is_named(play):
    def script(server, connection):
        server.hear(connection)
        say(connection, AUTHENTICATED)
        server.hear(connection)
        rows = [{"symbol": "SBIN", "status": "success"}, {"symbol": "INFY", "status": "error"}]
        say(connection, {"type": "subscribe", "status": "partial", "subscriptions": rows})
        wait_for_end(connection)

    _, stream = play(script)
    stream.open()
    take_until(stream, has("authenticated"))
    stream.subscribe([SBIN, INFY], [1, 1])
    _, events = take_until(stream, has("subscribed"))
    assert events == [("subscribed", "not subscribed: INFY")]


def test_in_a_replay_ticks_wait_for_the_marker_of_their_step_and_carry_its_time(play):
    marked = threading.Event()
    sent = threading.Event()
    step_ns = NOW_NS + 60 * 10**9

    def script(server, connection):
        server.hear(connection)
        say(connection, AUTHENTICATED)
        server.hear(connection)
        say(connection, {"type": "subscribe_steps", "status": "success"})
        say(connection, tick("SBIN", 800.5), tick("INFY", 1500.0))
        sent.set()
        marked.wait(10)
        say(connection, {"type": "step", "step": 4, "now_ns": step_ns}, tick("SBIN", 9.0))
        wait_for_end(connection)

    server, stream = play(script, steps=True)
    stream.open()
    assert not stream.settled
    before, _ = take_until(stream, lambda *_: stream.settled)
    assert before == []
    assert server.heard[1] == {"action": "subscribe_steps"}
    assert sent.wait(10)
    early, _ = stream.take()
    marked.set()

    ticks, events = take_until(stream, has("step"))

    assert len(early) == 0
    assert events == [("step", "4")]
    assert [row[4] for row in ticks] == [800.5, 1500.0]
    assert {row[3] for row in ticks} == {step_ns}


def test_a_marker_without_a_time_takes_that_of_its_newest_tick(play):
    def script(server, connection):
        server.hear(connection)
        say(connection, AUTHENTICATED)
        server.hear(connection)
        late = tick("INFY", 1500.0)
        late["data"]["timestamp"] += 60_000
        say(connection, tick("SBIN", 800.5), late, {"type": "step", "step": 1})
        wait_for_end(connection)

    _, stream = play(script, steps=True)
    stream.open()

    ticks, _ = take_until(stream, has("step"))

    assert {row[3] for row in ticks} == {NOW_NS + 60 * 10**9}


def test_a_socket_that_has_ended_is_settled_though_it_never_answered(play):
    _, stream = play(lambda server, connection: connection.close(1012, "x"))
    stream.open()
    assert not stream.settled
    take_until(stream, has("closed"))
    assert stream.settled


def test_a_socket_that_joins_a_replay_late_learns_the_step_before_it(play):
    def script(server, connection):
        server.hear(connection)
        say(connection, AUTHENTICATED)
        server.hear(connection)
        say(connection, {"type": "subscribe_steps", "status": "success", "step": 57})
        wait_for_end(connection)

    _, stream = play(script, steps=True)
    stream.open()
    _, events = take_until(stream, has("step"))
    assert events[-1] == ("step", "57")
    assert stream.settled


def test_frames_nobody_takes_are_bounded_and_counted(play, monkeypatch):
    monkeypatch.setattr("adapters.openalgo.stream.FRAMES_QUEUED_MAX", 3)

    def script(server, connection):
        server.hear(connection)
        say(connection, *[tick("SBIN", price) for price in (1.0, 2.0, 3.0, 4.0, 5.0)])
        connection.close(1000, "done")

    _, stream = play(script)
    stream.open()
    deadline = time.monotonic() + 10
    while not stream._events or stream._events[-1][0] != "closed":
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)

    ticks, _ = take_until(stream, has("closed"))

    assert [row[4] for row in ticks] == [3.0, 4.0, 5.0]
    assert stream.counters.refused == {"overflow": 2}


def test_a_stream_may_be_closed_twice_and_before_it_was_opened():
    stream = OpenAlgoStream("ws://127.0.0.1:1", KEY, InstrumentIndex([]), clock=lambda: 0)
    stream.close()
    stream.close()


def test_ten_thousand_frames_at_once_come_whole_and_in_order(play):
    def script(server, connection):
        server.hear(connection)
        say(connection, AUTHENTICATED, *[tick("SBIN", float(n)) for n in range(1, 10_001)])
        wait_for_end(connection)

    _, stream = play(script)
    stream.open()
    ticks, _ = take_until(stream, lambda ticks, _: len(ticks) >= 10_000)
    assert [row[4] for row in ticks] == [float(n) for n in range(1, 10_001)]
    assert stream.counters.refused == {}


def test_a_ping_of_the_server_is_answered(play):
    answered = threading.Event()

    def script(server, connection):
        server.hear(connection)
        if connection.ping().wait(10):
            answered.set()
        say(connection, tick("SBIN", 800.5))
        wait_for_end(connection)

    _, stream = play(script)
    stream.open()
    take_until(stream, lambda ticks, _: len(ticks) == 1)
    assert answered.is_set()


def test_bytes_that_are_no_frames_end_the_connection_with_a_reason(play):
    def script(server, connection):
        server.hear(connection)
        connection.socket.sendall(b"\xf3\x05hello")
        wait_for_end(connection)

    _, stream = play(script)
    stream.open()
    _, events = take_until(stream, has("closed"))
    assert events[-1] == ("closed", "BadMarketData: a frame that begins with 0xf3")
