"""A shard on the real protocol: a stepped exchange, real sockets, the actor's clock by hand."""

import select
import time
from dataclasses import replace

import pytest

from actors.feeds.shard import Shard
from actors.runtime import ReplayPlan
from adapters.sandbox.config import InstanceConfig, SandboxConfig
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.server import SandboxServer
from domain.brokers import BrokerEndpoint
from messages.market import ShardStateChanged, SubscribeListings
from persistence.database import open_engine
from persistence.instruments import InstrumentStore
from tests.kit.feed_makers import DAY, make_feed_runtime
from tests.kit.recording_context import RecordingContext

KEY = "c0de" * 16


@pytest.fixture
def exchange():
    config = SandboxConfig(
        instances=(InstanceConfig("alpha", 0, 0, KEY),), always_open=True, stepped=True
    )
    with SandboxServer(config) as server:
        yield server


@pytest.fixture
def control(exchange):
    control = SandboxControl(exchange.control_port)
    yield control
    control.close()


@pytest.fixture
def world(exchange, control, tmp_path):
    """(context, shard) of a shard on the stepped exchange, with the exchange's own master."""
    address = exchange.addresses["alpha"]
    endpoint = BrokerEndpoint("alpha", address.rest_url, address.websocket_url, True, True, "")
    runtime = make_feed_runtime(
        tmp_path,
        listings=0,
        broker=lambda _: endpoint,
        keys={"alpha": KEY},
        replay=ReplayPlan(tmp_path / "day.csv", None, 0.0, None, 60_000_000_000),
    )
    master = [replace(row, listing_id=0) for row in exchange.market.source.index.by_id.values()]
    engine = open_engine(runtime.database_url)
    InstrumentStore(engine).load(master, "alpha", DAY)
    engine.dispose()
    context = RecordingContext(
        "shard.alpha.1", runtime, instance="alpha", now_ns=exchange.market.now_ns()
    )
    shard = Shard(context, None)
    shard.start()
    yield context, shard
    shard.stop()
    deadline = time.monotonic() + 60
    while control.status()["instances"][0]["sockets"]:  # the server must not end in mid-handshake
        assert time.monotonic() < deadline


def run_round(context, shard, step):
    """Plays the host: hands over what comes until the shard has all data of the step."""
    deadline = time.monotonic() + 60
    while not shard.has_market_step(step):
        assert time.monotonic() < deadline
        for descriptor in select.select(list(context._watched), [], [], 0.1)[0]:
            context.readable(descriptor)
    context.advance(0)


def nifty_of(shard):
    return shard._index.underlying("NIFTY").listing_id


def test_each_step_of_the_market_is_published_whole_within_its_round(world, control, exchange):
    context, shard = world
    run_round(context, shard, 0)
    assert context.heard(ShardStateChanged)[-1].state == "live"
    nifty = nifty_of(shard)
    context.deliver(shard, SubscribeListings(listing_ids=(nifty,), modes=(2,)))
    run_round(context, shard, 0)

    prices = []
    for number in (1, 2, 3):
        report = control.step(60)
        assert report["step"] == number
        context.clear()
        run_round(context, shard, number)
        ((topic, columns, _),) = context.published
        assert topic == "ticks.alpha"
        assert set(columns["listing"]) == {nifty}
        assert columns["ts_ns"].max() <= report["now_ns"]
        prices.append(float(columns["ltp"][-1]))
        quote = exchange.market.quote(shard._index.by_id[nifty])
        assert prices[-1] == pytest.approx(quote.ltp)
    assert len(set(prices)) > 1


def test_a_dropped_socket_is_made_again_and_carries_what_it_carried(world, control):
    context, shard = world
    run_round(context, shard, 0)
    nifty = nifty_of(shard)
    context.deliver(shard, SubscribeListings(listing_ids=(nifty,), modes=(2,)))
    run_round(context, shard, 0)

    control.fault_on("drop_socket")
    deadline = time.monotonic() + 60
    while context.heard(ShardStateChanged)[-1].state != "down":
        assert time.monotonic() < deadline
        for descriptor in select.select(list(context._watched), [], [], 0.1)[0]:
            context.readable(descriptor)
    control.fault_off("drop_socket")
    context.advance(1)
    run_round(context, shard, 0)
    last = context.heard(ShardStateChanged)[-1]
    assert (last.state, last.reconnects) == ("live", 1)

    control.step(60)
    context.clear()
    run_round(context, shard, 1)
    assert set(context.published[0][1]["listing"]) == {nifty}
