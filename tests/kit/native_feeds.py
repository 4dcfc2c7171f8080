"""The native feed streams on their stand-in servers: one case a broker, and how a test plays the
actor."""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from adapters.dhan.stream import DhanDialect, dhan_stream
from adapters.kite.stream import KiteDialect, kite_stream
from adapters.smartapi.stream import SmartApiDialect, smartapi_stream
from domain.instruments import Kind, Listing
from tests.kit.feed_servers import dhan_feed, kite_feed, smartapi_feed
from tests.kit.feed_servers.dhan_feed import DhanFeed
from tests.kit.feed_servers.kite_feed import KiteFeed
from tests.kit.feed_servers.quotes import OPENED_S, random_quote
from tests.kit.feed_servers.smartapi_feed import SmartApiFeed

NOW_NS = (OPENED_S + 22_500) * 1_000_000_000  # when the last of the quotes was made
LTP, QUOTE, DEPTH = 1, 2, 3
WITHIN_S = 60


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
        if not select.select([stream.descriptor], [], [], 0.05)[0]:
            continue
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
        if select.select([stream.descriptor], [], [], 0.02)[0]:
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
