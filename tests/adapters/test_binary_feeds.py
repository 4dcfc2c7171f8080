"""The native feed streams against the stand-in servers, which the official clients judge."""

import json
import random
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from adapters import feed_socket
from adapters.dhan.stream import DhanDialect, dhan_stream
from adapters.kite.stream import KiteDialect, kite_stream
from adapters.smartapi.stream import SmartApiDialect, smartapi_stream
from domain.instruments import InstrumentIndex, Kind, Listing
from tests.kit.feed_servers import dhan_feed, kite_feed, smartapi_feed
from tests.kit.feed_servers.dhan_feed import DhanFeed
from tests.kit.feed_servers.kite_feed import KiteFeed
from tests.kit.feed_servers.quotes import OPENED_S, random_quote
from tests.kit.feed_servers.smartapi_feed import SmartApiFeed

NOW_NS = (OPENED_S + 22_500) * 1_000_000_000  # when the last of the quotes was made
LTP, QUOTE, DEPTH = 1, 2, 3
WITHIN_S = 10


@dataclass(frozen=True)
class Case:
    server: type
    open: Callable[..., Any]
    dialect: type
    key: str
    wrong_key: str
    segments: dict[str, int]


CASES = {
    "kite": Case(
        KiteFeed, kite_stream, KiteDialect,
        f"{kite_feed.API_KEY}:{kite_feed.ACCESS_TOKEN}", f"{kite_feed.API_KEY}:yesterdays",
        {"NSE": 1, "NFO": 2, "CDS": 3},
    ),
    "smartapi": Case(
        SmartApiFeed, smartapi_stream, SmartApiDialect,
        ":".join((smartapi_feed.API_KEY, smartapi_feed.CLIENT,
                  smartapi_feed.FEED_TOKEN, smartapi_feed.JWT)),
        f"{smartapi_feed.API_KEY}:{smartapi_feed.CLIENT}:yesterdays:{smartapi_feed.JWT}",
        {"NSE": 1, "NFO": 2, "CDS": 13},
    ),
    "dhan": Case(
        DhanFeed, dhan_stream, DhanDialect,
        f"{dhan_feed.CLIENT_ID}:{dhan_feed.TOKEN}", f"{dhan_feed.CLIENT_ID}:yesterdays",
        {"NSE": 1, "NFO": 2, "CDS": 3},
    ),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def server(case):
    with case.server() as server:
        yield server


@pytest.fixture
def start(case, server):
    """Opens a stream on the server; `listings` are what its index names."""
    made = []

    def start_one(listings=(), key=None):
        stream = case.open(
            server.url, key or case.key, InstrumentIndex(listings), clock=lambda: NOW_NS
        )
        made.append(stream)
        stream.open()
        return stream

    yield start_one
    for stream in made:
        stream.close()


def make_listings(case, count, exchange="NFO"):
    """Listings 11, 12, ... whose tokens are the broker's own for 1001, 1002, ..."""
    segment = case.segments[exchange]
    return [
        Listing(
            10 + number, exchange, f"S{number}", f"S{number}", Kind.EQUITY, 1, Decimal("0.05"), 0,
            token=str((1000 + number) << 8 | segment if case.server is KiteFeed else 1000 + number),
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


def quotes_of(case, listings):
    """One each, just traded: by that a shifted clock is seen."""
    source = random.Random(7)
    return [
        replace(
            random_quote(source, case.segments[listing.exchange], int(listing.token)),
            last_trade_s=NOW_NS // 1_000_000_000 - source.randrange(50),
        )
        for listing in listings
    ]


def take_until(stream, done):
    """(batches, events) collected until `done(batches, events)`; fails after 10 s."""
    batches, events, deadline = [], [], time.monotonic() + WITHIN_S
    while not done(batches, events):
        assert time.monotonic() < deadline, f"only {batches} {events} came"
        select.select([stream.descriptor], [], [], 0.05)
        ticks, news = stream.take()
        batches += [ticks] if len(ticks) else []
        events += news
    return batches, events


def has(kind):
    return lambda _, events: kind in [name for name, _ in events]


def rows(count):
    return lambda batches, _: sum(map(len, batches)) >= count


def pump(stream, server, until):
    """The stream's actor goes on until the server has seen something."""
    deadline = time.monotonic() + WITHIN_S
    while not until():
        assert time.monotonic() < deadline, server.requests[-3:]
        select.select([stream.descriptor], [], [], 0.02)
        stream.take()


def subscribed(stream, server, listings, mode):
    """A stream that carries these listings."""
    take_until(stream, has("authenticated"))
    stream.subscribe(listings, [mode] * len(listings))
    pump(
        stream, server,
        lambda: len(server.connections[-1].subscriptions) == len(listings) and stream.settled,
    )  # fmt: skip
    return stream


def test_a_key_that_fits_opens_and_authenticates(start):
    _, events = take_until(start(), has("authenticated"))
    assert events == [("open", ""), ("authenticated", "")]


def test_a_wrong_key_is_refused_and_told_to_nobody(start, case):
    stream = start(key=case.wrong_key)
    _, events = take_until(stream, has("refused"))
    assert "yesterdays" not in str(events)
    assert events[-1][1]


def test_a_key_with_a_part_missing_is_refused_before_the_network(start, server):
    _, events = take_until(start(key="half"), has("refused"))
    assert "must be" in events[-1][1]
    assert not server.connections
    assert not server.refusals


@pytest.mark.parametrize("mode", [LTP, QUOTE, DEPTH])
@pytest.mark.parametrize("exchange", ["NSE", "NFO", "CDS"])
def test_what_was_sent_is_what_comes_in_every_mode(start, case, server, mode, exchange):
    listings = make_listings(case, 3, exchange)
    stream = subscribed(start(listings), server, listings, mode)
    quotes = quotes_of(case, listings)
    server.send(*quotes)
    batches, _ = take_until(stream, rows(3))
    ticks = np.concatenate(batches)
    assert ticks["listing"].tolist() == [11, 12, 13]
    assert ticks["ltp"].tolist() == [float(quote.last_price) for quote in quotes]
    assert set(ticks["received_ns"].tolist()) == {NOW_NS}
    assert np.isnan(ticks["iv"]).all()
    shown = {QUOTE} if case.server is DhanFeed and mode == LTP else {mode}
    assert set(ticks["mode"].tolist()) == shown
    if shown != {LTP}:
        assert ticks["volume"].tolist() == [quote.volume for quote in quotes]
    if mode == DEPTH:
        for name, of in (("bid", "bids"), ("ask", "asks")):
            best = [getattr(quote, of)[0] for quote in quotes]
            assert ticks[name].tolist() == [float(level.price) for level in best]
            assert ticks[f"{name}_quantity"].tolist() == [level.quantity for level in best]
        assert ticks["open_interest"].tolist() == [quote.oi for quote in quotes]
    else:
        assert (ticks["bid_quantity"] == -1).all()
        assert np.isnan(ticks["bid"]).all()


def test_a_time_is_the_exchanges_where_the_packet_has_one(start, case, server):
    listings = make_listings(case, 2)
    stream = subscribed(start(listings), server, listings, DEPTH)
    quotes = quotes_of(case, listings)
    server.send(*quotes)
    batches, _ = take_until(stream, rows(2))
    told = {
        KiteFeed: [quote.exchange_ms // 1000 * 1000 for quote in quotes],
        SmartApiFeed: [quote.exchange_ms for quote in quotes],
        DhanFeed: [quote.last_trade_s * 1000 for quote in quotes],
    }[case.server]
    assert np.concatenate(batches)["ts_ns"].tolist() == [at * 1_000_000 for at in told]


def test_what_is_unsubscribed_comes_no_more(start, case, server):
    listings = make_listings(case, 2)
    stream = subscribed(start(listings), server, listings, QUOTE)
    stream.unsubscribe(listings[:1], [QUOTE])
    pump(stream, server, lambda: len(server.connections[-1].subscriptions) == 1)
    server.send(*quotes_of(case, listings))
    batches, _ = take_until(stream, rows(1))
    assert np.concatenate(batches)["listing"].tolist() == [12]


def test_a_new_subscriber_is_sent_what_the_market_stands_at(start, case, server):
    listings = make_listings(case, 2)
    server.send(*quotes_of(case, listings))
    stream = start(listings)
    take_until(stream, has("authenticated"))
    stream.subscribe(listings, [DEPTH, DEPTH])
    assert not stream.settled
    batches, _ = take_until(stream, rows(2))
    assert {11, 12} <= set(np.concatenate(batches)["listing"].tolist())
    pump(stream, server, lambda: stream.settled)


def test_a_listing_without_the_brokers_number_is_not_asked_for_and_counted(start, case, server):
    listings = make_listings(case, 2)
    nameless = replace(listings[0], listing_id=99, token="1001::::256")
    stream = start([*listings, nameless])
    take_until(stream, has("authenticated"))
    stream.subscribe([nameless, *listings], [DEPTH] * 3)
    pump(stream, server, lambda: len(server.connections[0].subscriptions) == 2)
    assert stream.counters.refused == {"no_token": 1}


def test_garbage_and_tokens_of_nobody_are_counted_and_the_next_tick_comes(start, case, server):
    listings = make_listings(case, 3)
    stream = subscribed(start(listings[:2]), server, listings, DEPTH)
    server.send_bytes(b"\x00\x01\x00\x99" + bytes(40))
    server.send_bytes(b"\xff" * 7)
    server.send(*quotes_of(case, listings))
    batches, _ = take_until(stream, rows(2))
    assert np.concatenate(batches)["listing"].tolist() == [11, 12]
    assert stream.counters.refused.pop("unknown_symbol") == 1
    assert sum(stream.counters.refused.values()) >= 2
    assert stream.counters.ticks == 2


def test_bytes_that_are_no_frames_end_the_socket(start, server):
    stream = start()
    take_until(stream, has("authenticated"))
    server.send_raw(b"\xc2\x05HTTP ")
    _, events = take_until(stream, has("closed"))
    assert "BadMarketData" in events[-1][1]


@pytest.mark.parametrize("code", [None, 1001])
def test_a_lost_socket_is_told_with_its_reason_and_takes_no_more(start, server, code):
    stream = start()
    take_until(stream, has("authenticated"))
    server.drop(code=code)
    _, events = take_until(stream, has("closed"))
    assert events[-1][1]
    assert stream.settled
    assert stream.take()[1] == []


def test_a_silent_server_is_a_dead_one(start, case, server, monkeypatch):
    monkeypatch.setattr(case.dialect, "silence_s", 0.3)
    monkeypatch.setattr(feed_socket, "LOOK_EVERY_S", 0.05)
    server.muted = True
    stream = start()
    _, events = take_until(stream, has("closed"))
    assert "nothing came" in events[-1][1]


def test_a_stream_can_be_closed_at_any_time_and_twice(start, server):
    stream = start()
    stream.close()
    stream.close()
    ticks, events = stream.take()
    assert (len(ticks), events) == (0, [])
    other = start()
    take_until(other, has("authenticated"))
    other.close()
    server.wait_for(lambda: not server.open_connections)
    other.subscribe([], [])


def test_a_batch_holds_no_more_than_4096_and_the_rest_is_readable_at_once(start, case, server):
    listings = make_listings(case, 1000)
    stream = subscribed(start(listings), server, listings, QUOTE)
    quotes = quotes_of(case, listings)
    for _ in range(9):
        server.send(*quotes)
    batches, _ = take_until(stream, rows(9_000))
    assert max(map(len, batches)) <= 4096 + (1000 if case.server is KiteFeed else 0)
    assert stream.counters.refused == {}


# -- each in its own words --


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


@pytest.mark.parametrize("case", ["dhan"], indirect=True)
def test_a_quotes_open_interest_comes_from_a_packet_of_its_own_at_dhan(start, case, server):
    listings = make_listings(case, 2)
    stream = subscribed(start(listings), server, listings, QUOTE)
    quotes = quotes_of(case, listings)
    for _ in range(2):
        server.send(*quotes)
    batches, _ = take_until(stream, rows(4))
    newest = dict(zip(*(np.concatenate(batches)[name].tolist()
                        for name in ("listing", "open_interest")), strict=True))  # fmt: skip
    assert newest == {11: quotes[0].oi, 12: quotes[1].oi}
