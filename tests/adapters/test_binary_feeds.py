"""The native feed streams against the stand-in servers, which the official clients judge: what is
the same for every broker."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters import feed_socket
from adapters.kite.stream import kite_stream
from domain.instruments import InstrumentIndex
from tests.kit.feed_servers.dhan_feed import DhanFeed
from tests.kit.feed_servers.kite_feed import KiteFeed
from tests.kit.feed_servers.smartapi_feed import SmartApiFeed
from tests.kit.native_feeds import (
    CASES,
    DEPTH,
    LTP,
    NOW_NS,
    QUOTE,
    has,
    make_listings,
    pump,
    quotes_of,
    rows,
    subscribed,
    take_until,
)

DAY = timedelta(days=1)


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


@pytest.mark.parametrize(
    ("token", "reason", "words"),
    [
        ("", "no_token", "no number of the broker's"),
        ("NIFTY", "no_token", "no number of the broker's"),
        ("9" * 19, "no_token", "no number of the broker's"),
        ("9" * 18, "bad_token", "out of range"),
    ],
)
def test_a_listing_without_a_number_of_the_brokers_is_not_asked_for_counted_and_told(
    start, case, server, token, reason, words
):
    listings = make_listings(case, 2)
    nameless = replace(listings[0], listing_id=99, token=token)
    stream = start([*listings, nameless])
    take_until(stream, has("authenticated"))
    stream.subscribe([nameless, *listings], [DEPTH] * 3)
    _, events = take_until(stream, has("not carried"))
    pump(stream, server, lambda: len(server.connections[0].subscriptions) == 2)
    assert stream.counters.refused == {reason: 1}
    assert [words in text for _, text in events] == [True]


def test_a_number_of_two_listings_gives_neither_a_price_and_costs_no_other_its_own(
    start, case, server
):
    listings = make_listings(case, 3)
    other = replace(listings[0], listing_id=99, symbol="OTHER")
    stream = start([*listings, other])
    take_until(stream, has("authenticated"))
    stream.subscribe([*listings, other], [DEPTH] * 4)
    _, events = take_until(stream, has("not carried"))
    pump(stream, server, lambda: len(server.connections[0].subscriptions) == 2)
    assert [(kind, text.split(":")[0]) for kind, text in events] == [
        ("not carried", "NFO S1"), ("not carried", "NFO OTHER"),
    ]  # fmt: skip
    assert "another instrument has the same number" in events[0][1]
    assert stream.counters.refused == {"token_twice": 2}
    server.send(*quotes_of(case, listings))
    batches, _ = take_until(stream, rows(2))
    assert np.concatenate(batches)["listing"].tolist() == [12, 13]


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


def test_what_a_batch_had_no_room_for_is_readable_though_the_socket_is_empty(
    start, case, server, monkeypatch
):
    monkeypatch.setattr(feed_socket, "LOOK_EVERY_S", 60)  # nothing else wakes it
    monkeypatch.setattr(feed_socket, "BATCH_TICKS_MAX", 10)
    listings = make_listings(case, 50)
    stream = subscribed(start(listings), server, listings, QUOTE)
    for _ in range(4):  # a message with many packets is not divided
        server.send(*quotes_of(case, listings))
    batches, _ = take_until(stream, rows(200))
    assert len(batches) >= 4


def test_a_batch_holds_no_more_than_4096(start, case, server):
    listings = make_listings(case, 1000)
    stream = subscribed(start(listings), server, listings, QUOTE)
    quotes = quotes_of(case, listings)
    for _ in range(9):
        server.send(*quotes)
    batches, _ = take_until(stream, rows(9_000))
    assert max(map(len, batches)) <= 4096 + (1000 if case.server is KiteFeed else 0)
    assert stream.counters.refused == {}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(server's context, file that a client trusts) for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - DAY, now + DAY)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


@pytest.fixture
def secure(case, certificate, monkeypatch):
    """A server that speaks TLS, and a stream on it that trusts it."""
    context, file = certificate
    monkeypatch.setenv("WEBSOCKET_CLIENT_CA_BUNDLE", str(file))
    listings = make_listings(case, 1000)
    with case.server(tls=context) as server:
        stream = case.open(server.url, case.key, InstrumentIndex(listings), clock=lambda: NOW_NS)
        stream.open()
        yield server, stream, listings
        stream.close()


def test_under_tls_nothing_stays_behind_in_a_buffer_that_no_poll_shows(case, secure):
    server, stream, listings = secure
    subscribed(stream, server, listings, DEPTH)
    quotes = quotes_of(case, listings)
    for _ in range(9):
        server.send(*quotes)
    batches, _ = take_until(stream, rows(9_000))
    assert sum(map(len, batches)) == 9_000
    server.drop()
    take_until(stream, has("closed"))


def test_a_server_whose_certificate_nobody_signed_is_not_spoken_to(secure, monkeypatch):
    server, stream, _ = secure
    take_until(stream, has("authenticated"))
    monkeypatch.delenv("WEBSOCKET_CLIENT_CA_BUNDLE")
    other = kite_stream(server.url, CASES["kite"].key, stream.index, clock=lambda: NOW_NS)
    other.open()
    _, events = take_until(other, has("closed"))
    other.close()
    assert "CERTIFICATE_VERIFY_FAILED" in events[-1][1]


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
