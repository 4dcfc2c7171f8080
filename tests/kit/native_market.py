"""A broker's own market data server that tells the prices of a sandbox exchange.

What a tree subscribes at such servers is asked of the exchange; each of its ticks is packed as the
broker packs it. So a tree may hear a native feed and trade where those prices are true.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from adapters.dhan import mapping as dhan
from adapters.openalgo.rest import OpenAlgoBroker
from adapters.openalgo.stream import OpenAlgoStream
from adapters.smartapi import mapping as smartapi
from domain.brokers import BrokerEndpoint, Capabilities
from domain.instruments import InstrumentIndex, Listing
from domain.prices import MODE_DEPTH
from tests.kit.feed_servers.quotes import LEVELS, Level, Quote
from tests.kit.feed_servers.server import FeedServer
from tests.kit.native_feeds import CASES
from tests.kit.other_server import OtherServer

NOBODY = Level(0, Decimal(0), 0)
LOOK_EVERY_S = 0.1
CENT = Decimal("0.01")


@dataclass
class NativeFeed:
    """One broker's server, and how it names a listing."""

    adapter: str
    server: FeedServer
    paused: bool = False  # then it says nothing of the market, but its sockets stand

    @property
    def key(self) -> str:
        """What opens it."""
        return CASES[self.adapter].key

    def segment(self, listing: Listing) -> int | None:
        """The broker's number of the listing's segment; None where it carries none of it."""
        if self.adapter == "kite":
            return int(listing.token) & 0xFF
        names = dhan.SEGMENTS if self.adapter == "dhan" else smartapi.EXCHANGE_TYPES
        return names.get(listing.exchange)

    def wanted(self) -> set[Any]:
        """Keys that any of its clients carries now."""
        found: set[Any] = set()
        for connection in self.server.open_connections:
            found.update(key[:2] if self.adapter == "smartapi" else key
                         for key in tuple(connection.subscriptions))  # fmt: skip
        return found


class NativeMarket:
    """Native feeds that follow one exchange, from `with` to its end."""

    def __init__(self, exchange: OtherServer, adapters: Sequence[str]) -> None:
        self.feeds = {name: NativeFeed(name, CASES[name].server()) for name in adapters}
        endpoint = BrokerEndpoint(
            "exchange", f"http://127.0.0.1:{exchange.rest}", f"ws://127.0.0.1:{exchange.websocket}",
            True, True, "",
        )  # fmt: skip
        broker = OpenAlgoBroker(endpoint, exchange.key, Capabilities())
        rows = broker.listings()
        broker.close()
        listings = [_numbered(number, row) for number, row in enumerate(rows, start=1)]
        self.index = InstrumentIndex(listings)
        self._stream = OpenAlgoStream(
            endpoint.websocket_url, exchange.key, self.index, clock=time.time_ns
        )
        self._keys = {
            name: {
                feed.server.key_of(Quote(segment, int(row.token), Decimal(0))): row
                for row in listings
                if (segment := feed.segment(row)) is not None
            }
            for name, feed in self.feeds.items()
        }
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="native-market", daemon=True)

    def __enter__(self) -> NativeMarket:
        for feed in self.feeds.values():
            feed.server.__enter__()
        self._stream.open()
        self._thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._ends.set()
        self._thread.join()
        self._stream.close()
        for feed in self.feeds.values():
            feed.server.__exit__()

    def _run(self) -> None:
        carried: set[int] = set()
        looked_s = 0.0
        while not self._ends.is_set():
            if time.monotonic() - looked_s > LOOK_EVERY_S:
                looked_s = time.monotonic()
                carried |= self._subscribe(carried)
            if select.select([self._stream.descriptor], [], [], LOOK_EVERY_S)[0]:
                ticks, _ = self._stream.take()
                if len(ticks):
                    self._send(ticks)

    def _subscribe(self, carried: set[int]) -> set[int]:
        new = {
            row.listing_id: row
            for name, feed in self.feeds.items()
            for key in feed.wanted()
            if (row := self._keys[name].get(key)) and row.listing_id not in carried
        }
        if new:
            self._stream.subscribe(list(new.values()), [MODE_DEPTH] * len(new))
        return set(new)

    def _send(self, ticks: np.ndarray) -> None:
        for feed in self.feeds.values():
            quotes = [
                _quote(tick, segment, int(row.token))
                for tick in ticks
                if (segment := feed.segment(row := self.index.by_id[int(tick["listing"])]))
                is not None
            ]
            if not feed.paused:
                feed.server.send(*quotes)


def _numbered(number: int, row: Listing) -> Listing:
    return Listing(
        number, row.exchange, row.symbol, row.name, row.kind, row.lot_size, row.tick_size,
        row.freeze_quantity, row.expiry, row.strike, row.token,
    )  # fmt: skip


def _quote(tick: np.void, segment: int, token: int) -> Quote:
    price, now_ns = _price(tick["ltp"]), int(tick["received_ns"])

    def side(name: str) -> tuple[Level, ...]:
        quantity, best = int(tick[f"{name}_quantity"]), float(tick[name])
        if not best > 0 or quantity <= 0:
            return (NOBODY,) * LEVELS
        return (Level(quantity, _price(best), 1), *(NOBODY,) * (LEVELS - 1))

    return Quote(
        segment, token, price, avg_price=price, volume=max(0, int(tick["volume"])),
        open=price, high=price, low=price, close=price, last_trade_s=now_ns // 10**9,
        exchange_ms=now_ns // 10**6, oi=max(0, int(tick["open_interest"])), bids=side("bid"),
        asks=side("ask"),
    )  # fmt: skip


def _price(value: float) -> Decimal:
    return Decimal(str(float(value))).quantize(CENT)


def native_row(name: str, label: str, feed: NativeFeed, rest: int, *, trades: bool) -> str:
    """A broker's row of topology.yaml: prices from its own server, all else from the exchange.
    Loopback by name, for a test's system moves every port of 127.0.0.1."""
    url = feed.server.url.replace("127.0.0.1", "localhost")
    return (
        f'{name}: {{rest: "http://localhost:{rest}", ws: "{url}", feed: true, '
        f"exec: {str(trades).lower()}, label: {label}, feed_adapter: {feed.adapter}}}"
    )
