"""A real shard on a real socket: the broker's own protocol, from subscription to batch."""

import dataclasses
import select
import time
from decimal import Decimal

import pytest

from actors.feeds.shard import Shard
from domain.brokers import BrokerEndpoint
from domain.instruments import Kind, Listing
from messages.market import ShardStateChanged, SubscribeListings
from persistence.database import open_engine
from persistence.instruments import InstrumentStore
from tests.kit.feed_makers import DAY, make_feed_runtime
from tests.kit.feed_servers import dhan_feed, kite_feed
from tests.kit.feed_servers.dhan_feed import DhanFeed
from tests.kit.feed_servers.kite_feed import KiteFeed
from tests.kit.feed_servers.quotes import Quote
from tests.kit.recording_context import START_NS, RecordingContext

NOW_S = START_NS // 1_000_000_000
FEEDS = {
    "kite": (KiteFeed, f"{kite_feed.API_KEY}:{kite_feed.ACCESS_TOKEN}"),
    "dhan": (DhanFeed, f"{dhan_feed.CLIENT_ID}:{dhan_feed.TOKEN}"),
}


@dataclasses.dataclass
class Stage:
    """A shard, its world and the server it is on; `turn` plays its event loop."""

    server: object
    context: RecordingContext
    shard: Shard

    def turn(self, until):
        deadline = time.monotonic() + 60
        while not until():
            assert time.monotonic() < deadline, self.states
            watched = list(self.context._watched)
            for descriptor in select.select(watched, [], [], 0.02)[0]:
                self.context.readable(descriptor)

    @property
    def states(self):
        return [row.state for row in self.context.heard(ShardStateChanged)]


@pytest.fixture(params=FEEDS)
def stage(request, tmp_path):
    made, key = FEEDS[request.param]
    with made() as server:
        runtime = make_feed_runtime(
            tmp_path, listings=0, keys={"alpha": key},
            broker=lambda name: BrokerEndpoint(
                name, "http://h", server.url, True, False, "Alpha", adapter=request.param
            ),
        )  # fmt: skip
        engine = open_engine(runtime.database_url)
        rows = [
            Listing(0, "NSE", f"S{number}", f"S{number}", Kind.EQUITY, 1, Decimal("0.05"), 0,
                    token=str(number << 8 | 1))
            for number in (1, 2, 3)
        ]  # fmt: skip
        InstrumentStore(engine).load(rows, "alpha", DAY)
        engine.dispose()
        context = RecordingContext("shard.alpha.1", runtime, instance="alpha")
        shard = Shard(context, None)
        shard.start()
        yield Stage(server, context, shard)
        shard.stop()


def quote(number, price):
    return Quote(1, number << 8 | 1, Decimal(price), last_trade_s=NOW_S, exchange_ms=NOW_S * 1000)


def want(stage, *ids):
    message = SubscribeListings(listing_ids=ids, modes=(3,) * len(ids))
    stage.context.deliver(stage.shard, message)


def test_a_quote_of_the_broker_becomes_one_batch_on_the_bus(stage):
    want(stage, 1, 3)
    stage.turn(lambda: stage.server.connections and stage.shard.has_market_step(0)
               and len(stage.server.connections[0].subscriptions) == 2)  # fmt: skip
    stage.server.send(quote(1, "101.35"), quote(2, "202.5"), quote(3, "303.05"))
    stage.turn(lambda: stage.context.published)
    ticks = {}
    stage.turn(lambda: len(ticks) == 2 or ticks.update(
        {row: price for topic, columns, _ in stage.context.published
         for row, price in zip(columns["listing"].tolist(), columns["ltp"].tolist(), strict=True)
         if topic == "ticks.alpha"}))  # fmt: skip
    assert ticks == {1: 101.35, 3: 303.05}
    assert stage.states == ["connecting", "authenticating", "live"]


def test_a_dropped_socket_is_made_again_with_all_it_carried(stage):
    want(stage, 1, 2, 3)
    stage.turn(lambda: stage.server.connections
               and len(stage.server.connections[0].subscriptions) == 3)  # fmt: skip
    stage.server.drop()
    stage.turn(lambda: stage.states[-1] == "down")
    stage.context.advance(1.5)
    stage.turn(lambda: len(stage.server.connections) == 2
               and len(stage.server.connections[1].subscriptions) == 3)  # fmt: skip
    assert stage.states[-1] == "live"
    assert stage.context.heard(ShardStateChanged)[-1].reconnects == 1
