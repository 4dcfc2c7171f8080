"""Each native feed in its own words: requests, heartbeats, refusals."""

import json
import time

import pytest

from adapters import feed_socket
from adapters.dhan.stream import DhanDialect
from adapters.kite.stream import KiteDialect
from adapters.smartapi.stream import SmartApiDialect
from domain.instruments import InstrumentIndex
from tests.kit.native_feeds import (
    CASES,
    DEPTH,
    LTP,
    NOW_NS,
    QUOTE,
    has,
    make_listings,
    pump,
    take_until,
)


def requests_of(dialect, case, count, mode, *, subscribes):
    wanted = [(listing, mode) for listing in make_listings(case, count)]
    return [json.loads(text) for text in dialect("").requests(wanted, subscribes=subscribes)]


def test_dhan_is_asked_for_a_hundred_at_a_time_in_full_or_as_a_quote():
    texts = requests_of(DhanDialect, CASES["dhan"], 201, DEPTH, subscribes=True)
    assert [row["InstrumentCount"] for row in texts] == [100, 100, 1]
    assert {row["RequestCode"] for row in texts} == {21}
    assert texts[2]["InstrumentList"] == [{"ExchangeSegment": "NSE_FNO", "SecurityId": "1201"}]
    (text,) = requests_of(DhanDialect, CASES["dhan"], 1, LTP, subscribes=False)
    assert text["RequestCode"] == 18


def test_kites_mode_is_set_after_each_subscription():
    texts = requests_of(KiteDialect, CASES["kite"], 501, DEPTH, subscribes=True)
    assert [text["a"] for text in texts] == ["subscribe", "mode", "subscribe", "mode"]
    assert texts[3]["v"] == ["full", [1501 << 8 | 2]]


def test_smartapi_is_asked_by_mode_with_each_exchanges_tokens_together():
    case = CASES["smartapi"]
    wanted = [(row, LTP) for row in (*make_listings(case, 2), *make_listings(case, 1, "NSE"))]
    (text,) = SmartApiDialect("").requests(wanted, subscribes=True)
    params = json.loads(text)["params"]
    assert params == {
        "mode": 1,
        "tokenList": [{"exchangeType": 2, "tokens": ["1001", "1002"]},
                      {"exchangeType": 1, "tokens": ["1001"]}],
    }  # fmt: skip


@pytest.fixture
def alone():
    """A server and a stream of one broker, by its name."""
    made = []

    def start_one(name, **server_options):
        case = CASES[name]
        server = case.server(**server_options).__enter__()
        stream = case.open(server.url, case.key, InstrumentIndex(()), clock=lambda: NOW_NS)
        stream.open()
        made.append((server, stream))
        take_until(stream, has("authenticated"))
        return case, server, stream

    yield start_one
    for server, stream in made:
        stream.close()
        server.__exit__()


@pytest.mark.parametrize(("reason", "kind"), [
    (800, "closed"), (804, "refused"), (805, "refused"), (806, "refused"), (807, "refused"),
    (811, "refused"), (999, "closed"),
])  # fmt: skip
def test_dhans_reason_says_whether_to_come_back_soon(alone, reason, kind):
    _, server, stream = alone("dhan")
    server.expel(reason)
    _, events = take_until(stream, has(kind))
    assert (kind, events[0][1].split()[0]) == (events[0][0], str(reason))


def test_a_sixth_dhan_socket_costs_the_first_and_its_stream_says_why(alone):
    case, server, stream = alone("dhan")
    others = [case.open(server.url, case.key, stream.index, clock=lambda: NOW_NS) for _ in range(5)]
    for other in others:
        other.open()
    _, events = take_until(stream, has("refused"))
    assert events[0] == ("refused", "805 too many connections or requests")
    for other in others:
        other.close()


def test_dhans_requests_keep_its_pace_of_ten_a_second(alone):
    case, server, stream = alone("dhan")
    listings = make_listings(case, 300)
    started = time.monotonic()
    stream.subscribe(listings, [QUOTE] * 300)
    pump(stream, server, lambda: len(server.connections[0].subscriptions) == 300)
    assert len(server.requests) == 3
    assert time.monotonic() - started > 0.19


def test_dhans_pings_are_answered(alone):
    _, server, stream = alone("dhan", beat_every_s=0.02)
    opened = server.connections[0].beat_at
    pump(stream, server, lambda: server.connections[0].heard_at > opened + 0.05)


def test_smartapi_is_told_ping_and_its_pong_is_no_event(alone, monkeypatch):
    monkeypatch.setattr(SmartApiDialect, "heartbeat_s", 0.05)
    monkeypatch.setattr(feed_socket, "LOOK_EVERY_S", 0.02)
    _, server, stream = alone("smartapi")
    stream.subscribe([], [])
    pump(stream, server, lambda: server.requests.count(b"ping") >= 2)
    server.say("pong")
    server.say({"correlationID": "tomic", "errorCode": "E1002", "errorMessage": "Too many"})
    _, events = take_until(stream, has("failed"))
    assert events == [("failed", "E1002 Too many")]


def test_kites_errors_and_messages_are_told_and_orders_are_not(alone):
    _, server, stream = alone("kite")
    server.say({"type": "order", "data": {"status": "COMPLETE"}})
    server.say("no json")
    server.say({"type": "message", "data": "maintenance at 18:00"})
    server.say({"type": "error", "data": "too many tokens"})
    _, events = take_until(stream, has("failed"))
    assert events == [("message", "maintenance at 18:00"), ("failed", "too many tokens")]
