"""The stand-in feed servers judged by the brokers' own clients, unmodified: they connect, subscribe
in every mode, and read from the sockets what was sent."""

import importlib.util
import queue
import random
import threading
from datetime import UTC, datetime
from pathlib import Path

import logzero
import pytest
from dhanhq import DhanContext, MarketFeed
from kiteconnect import KiteTicker

from tests.kit.feed_servers import dhan_feed, kite_feed, smartapi_feed
from tests.kit.feed_servers.dhan_feed import DhanFeed
from tests.kit.feed_servers.kite_feed import KiteFeed
from tests.kit.feed_servers.quotes import random_quote
from tests.kit.feed_servers.smartapi_feed import SmartApiFeed

WITHIN_S = 10
SHARE, INDEX, CURRENCY = (2885 << 8) | 1, (1001 << 8) | 9, (1042 << 8) | 3


def chance():
    return random.Random(20261120)


def take(inbox, count):
    return [inbox.get(timeout=WITHIN_S) for _ in range(count)]


# -- Kite --


@pytest.fixture
def kite():
    """A server and a ticker on it; what the ticker says stands in `ticker.inbox`."""
    with KiteFeed(beat_every_s=0.05) as server:
        ticker = KiteTicker(kite_feed.API_KEY, kite_feed.ACCESS_TOKEN, root=server.url)
        ticker.inbox, ticker.errors = queue.Queue(), queue.Queue()
        ticker.on_ticks = lambda _, ticks: [ticker.inbox.put(tick) for tick in ticks]
        ticker.on_error = lambda _, code, reason: ticker.errors.put((code, reason))
        connected = threading.Event()
        ticker.on_connect = lambda *_: connected.set()
        ticker.connect(threaded=True)
        assert connected.wait(WITHIN_S)
        yield server, ticker
        ticker.factory.reactor.callFromThread(ticker.close)
        server.wait_for(lambda: not server.open_connections)


def on_reactor(ticker, call, *arguments):
    ticker.factory.reactor.callFromThread(call, *arguments)


def subscribe_kite(server, ticker, mode, *tokens):
    on_reactor(ticker, ticker.subscribe, list(tokens))
    on_reactor(ticker, ticker.set_mode, mode, list(tokens))
    server.wait_for(
        lambda: (
            server.connections
            and server.connections[0].subscriptions == dict.fromkeys(tokens, mode)
        )
    )


def rupees(*prices):
    return [float(price) for price in prices]


@pytest.mark.parametrize("mode", kite_feed.MODES)
def test_the_official_kite_client_reads_what_was_sent(kite, mode):
    server, ticker = kite
    tokens = (SHARE, CURRENCY, INDEX)
    subscribe_kite(server, ticker, mode, *tokens)
    sent = [random_quote(chance(), token & 0xFF, token) for token in tokens]
    server.send(*sent)
    for quote, tick in zip(sent, take(ticker.inbox, 3), strict=True):
        assert (tick["instrument_token"], tick["mode"]) == (quote.token, mode)
        assert tick["tradable"] == (quote.token != INDEX)
        assert tick["last_price"] == float(quote.last_price)
        if mode == "ltp":
            continue
        ohlc = [tick["ohlc"][name] for name in ("open", "high", "low", "close")]
        assert ohlc == rupees(quote.open, quote.high, quote.low, quote.close)
        if quote.token != INDEX:
            counts = ("last_traded_quantity", "volume_traded",
                      "total_buy_quantity", "total_sell_quantity")  # fmt: skip
            assert [tick[name] for name in counts] == [
                quote.last_qty, quote.volume, quote.buy_qty, quote.sell_qty,
            ]  # fmt: skip
            assert tick["average_traded_price"] == float(quote.avg_price)
        if mode == "full":
            assert tick["exchange_timestamp"].timestamp() == quote.exchange_ms // 1000
        if mode == "full" and quote.token != INDEX:
            assert tick["last_trade_time"].timestamp() == quote.last_trade_s
            interest = [tick[name] for name in ("oi", "oi_day_high", "oi_day_low")]
            assert interest == [quote.oi, quote.oi_high, quote.oi_low]
            for side, rows in (("buy", quote.bids), ("sell", quote.asks)):
                assert tick["depth"][side] == [
                    {"quantity": row.quantity, "price": float(row.price), "orders": row.orders}
                    for row in rows
                ]


def test_the_official_kite_client_unsubscribes_and_hears_errors(kite):
    server, ticker = kite
    subscribe_kite(server, ticker, "full", SHARE)
    on_reactor(ticker, ticker.unsubscribe, [SHARE])
    server.wait_for(lambda: not server.connections[0].subscriptions)
    on_reactor(ticker, ticker.subscribe, list(range(1, 3002)))
    assert ticker.errors.get(timeout=WITHIN_S) == (0, "1 tokens over the limit of 3000")
    server.wait_for(lambda: len(server.connections[0].subscriptions) == 3000)


# -- SmartAPI --


@pytest.fixture(scope="module")
def smart_client():
    """Their one module; the package itself calls a web service when it is imported."""
    (folder,) = importlib.util.find_spec("SmartApi").submodule_search_locations
    spec = importlib.util.spec_from_file_location("smart", Path(folder) / "smartWebSocketV2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SmartWebSocketV2


@pytest.fixture
def smartapi(smart_client, tmp_path, monkeypatch):
    """A server and a client on it; what the client parsed stands in `client.inbox`."""
    monkeypatch.chdir(tmp_path)  # the client writes a folder of logs wherever it is made
    with SmartApiFeed() as server:
        monkeypatch.setattr(smart_client, "ROOT_URI", server.url)
        monkeypatch.setattr(smart_client, "input_request_dict", {})
        client = smart_client(*smartapi_feed.SmartApiFeed.credentials, max_retry_attempt=0)
        client.inbox, opened = queue.Queue(), threading.Event()
        client.on_data = lambda _, tick: client.inbox.put(tick)
        client.on_open = lambda _: opened.set()
        client.on_error = client.on_close = lambda *_: None
        client._on_close = lambda *_: None  # theirs takes fewer arguments than their library gives
        thread = threading.Thread(target=client.connect)
        thread.start()
        assert opened.wait(WITHIN_S)
        yield server, client
        client.close_connection()
        thread.join()
    for handler in list(logzero.logger.handlers):
        handler.close()
        logzero.logger.removeHandler(handler)


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_the_official_smartapi_client_reads_what_was_sent(smartapi, mode):
    server, client = smartapi
    client.subscribe("abcde12345", mode, [{"exchangeType": 2, "tokens": ["49081"]}])
    server.wait_for(lambda: server.connections[0].subscriptions)
    quote = random_quote(chance(), 2, 49_081)
    server.send(quote)
    (tick,) = take(client.inbox, 1)
    assert (tick["subscription_mode"], tick["exchange_type"], tick["token"]) == (mode, 2, "49081")
    assert tick["sequence_number"] == quote.sequence
    assert tick["exchange_timestamp"] == quote.exchange_ms
    assert tick["last_traded_price"] == quote.last_price * 100
    if mode > 1:
        assert tick["last_traded_quantity"] == quote.last_qty
        assert tick["average_traded_price"] == quote.avg_price * 100
        assert tick["volume_trade_for_the_day"] == quote.volume
        assert tick["total_buy_quantity"] == quote.buy_qty
        assert tick["total_sell_quantity"] == quote.sell_qty
        names = ("open", "high", "low")
        assert [tick[f"{name}_price_of_the_day"] for name in names] == [
            quote.open * 100, quote.high * 100, quote.low * 100,
        ]  # fmt: skip
        assert tick["closed_price"] == quote.close * 100
    if mode == 3:
        assert tick["last_traded_timestamp"] == quote.last_trade_s
        assert tick["open_interest"] == quote.oi
        assert tick["upper_circuit_limit"] == quote.upper_circuit * 100
        assert tick["lower_circuit_limit"] == quote.lower_circuit * 100
        assert tick["52_week_high_price"] == quote.high_52w * 100
        assert tick["52_week_low_price"] == quote.low_52w * 100
        for name, flag, rows in (("buy", 1, quote.bids), ("sell", 0, quote.asks)):
            assert tick[f"best_5_{name}_data"] == [
                {"flag": flag, "quantity": row.quantity, "price": row.price * 100,
                 "no of orders": row.orders}
                for row in rows
            ]  # fmt: skip


def test_the_official_smartapi_client_reads_twenty_levels(smartapi):
    server, client = smartapi
    client.subscribe("abcde12345", 4, [{"exchangeType": 1, "tokens": ["10626"]}])
    server.wait_for(lambda: server.connections[0].subscriptions)
    quote = random_quote(chance(), 1, 10_626)
    server.send(quote)
    (tick,) = take(client.inbox, 1)
    for name, rows in (("buy", quote.bids), ("sell", quote.asks)):
        assert tick[f"depth_20_{name}_data"] == [
            {"quantity": row.quantity, "price": row.price * 100, "num_of_orders": row.orders}
            for row in rows * 4
        ]


def test_the_official_smartapi_client_unsubscribes(smartapi):
    server, client = smartapi
    tokens = [{"exchangeType": 1, "tokens": ["10626", "5290"]}]
    client.subscribe("abcde12345", 2, tokens)
    server.wait_for(lambda: len(server.connections[0].subscriptions) == 2)
    client.unsubscribe("abcde12345", 2, [{"exchangeType": 1, "tokens": ["5290"]}])
    server.wait_for(lambda: list(server.connections[0].subscriptions) == [(1, "10626", 2)])


# -- Dhan --


@pytest.fixture
def dhan(monkeypatch):
    """A server, and a maker of clients on it; `client.inbox` has what they parsed."""
    made = []
    with DhanFeed(beat_every_s=0.05) as server:
        monkeypatch.setattr(MarketFeed, "market_feed_wss", server.url)

        def connect(*instruments):
            inbox = queue.Queue()
            context = DhanContext(dhan_feed.CLIENT_ID, dhan_feed.TOKEN)
            client = MarketFeed(
                context, list(instruments), on_message=lambda _, row: inbox.put(row)
            )
            client.inbox = inbox
            client.on_error = lambda _, failure: inbox.put(failure)
            made.append((client, client.start()))
            server.wait_for(
                lambda: (
                    server.connections
                    and len(server.connections[-1].subscriptions) == len(instruments)
                )
            )
            return client

        yield server, connect
        for client, thread in made:
            client.close_connection()
            thread.join()
            client.loop.close()


def two(price):
    return f"{price:.2f}"


def at(epoch_s):
    return datetime.fromtimestamp(epoch_s + dhan_feed.IST_S, UTC).strftime("%H:%M:%S")


def test_the_official_dhan_client_reads_what_was_sent_in_every_mode(dhan):
    server, connect = dhan
    rows = [
        (MarketFeed.NSE, "1333", MarketFeed.Ticker),
        (MarketFeed.NSE, "11536", MarketFeed.Quote),
        (MarketFeed.NSE_FNO, "49081", MarketFeed.Full),
    ]
    client = connect(*rows)
    source = chance()
    sent = [random_quote(source, segment, int(token)) for segment, token, _ in rows]
    server.send(*sent)
    ticker, quote, interest, full = take(client.inbox, 4)
    assert [row["type"] for row in (ticker, quote, interest, full)] == [
        "Ticker Data", "Quote Data", "OI Data", "Full Data",
    ]  # fmt: skip
    for got, of in ((ticker, sent[0]), (quote, sent[1]), (full, sent[2])):
        assert (got["exchange_segment"], got["security_id"]) == (of.segment, of.token)
        assert (got["LTP"], got["LTT"]) == (two(of.last_price), at(of.last_trade_s))
    for got, of in ((quote, sent[1]), (full, sent[2])):
        assert (got["LTQ"], got["avg_price"]) == (of.last_qty, two(of.avg_price))
        assert (got["volume"], got["total_sell_quantity"], got["total_buy_quantity"]) == (
            of.volume, of.sell_qty, of.buy_qty,
        )  # fmt: skip
        assert [got[name] for name in ("open", "close", "high", "low")] == [
            two(price) for price in (of.open, of.close, of.high, of.low)
        ]
    assert interest["OI"] == sent[1].oi
    of = sent[2]
    assert (full["OI"], full["oi_day_high"], full["oi_day_low"]) == (of.oi, of.oi_high, of.oi_low)
    assert full["depth"] == [
        {"bid_quantity": bid.quantity, "ask_quantity": ask.quantity,
         "bid_orders": bid.orders, "ask_orders": ask.orders,
         "bid_price": two(bid.price), "ask_price": two(ask.price)}
        for bid, ask in zip(of.bids, of.asks, strict=True)
    ]  # fmt: skip


def test_the_official_dhan_client_is_told_the_previous_close_first(dhan):
    server, connect = dhan
    quote = random_quote(chance(), 1, 1333)
    server.send(quote)
    client = connect((MarketFeed.NSE, "1333", MarketFeed.Ticker))
    close, ticker = take(client.inbox, 2)
    assert (close["prev_close"], close["prev_OI"]) == (two(quote.close), quote.prev_oi)
    assert ticker["LTP"] == two(quote.last_price)


def test_five_hundred_instruments_come_in_messages_of_a_hundred(dhan):
    server, connect = dhan
    connect(*((MarketFeed.NSE_FNO, str(token), MarketFeed.Full) for token in range(1, 502)))
    assert [row["InstrumentCount"] for row in server.requests] == [100] * 5 + [1]
