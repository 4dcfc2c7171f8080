"""The catalogue's feeds: which can trade, which can follow a replay, and what they carry."""

import pytest

from adapters.catalogue import feed_capabilities, open_broker, open_stream, trading_adapters
from domain.brokers import BrokerEndpoint
from domain.errors import ConfigurationFault
from domain.instruments import InstrumentIndex


def endpoint(adapter, feed_adapter=""):
    return BrokerEndpoint(
        "b", "http://h", "ws://h", True, False, "B", adapter=adapter, feed_adapter=feed_adapter
    )


@pytest.mark.parametrize(("adapter", "symbols", "sockets"), [
    ("kite", 3000, 3), ("smartapi", 1000, 3), ("dhan", 5000, 5),
])  # fmt: skip
def test_a_native_feed_carries_what_its_broker_publishes(adapter, symbols, sockets):
    capabilities = feed_capabilities(endpoint("openalgo", adapter))
    assert (capabilities.symbols_per_socket, capabilities.sockets) == (symbols, sockets)


@pytest.mark.parametrize("adapter", ["kite", "smartapi", "dhan"])
def test_a_feed_alone_takes_no_orders_and_follows_no_replay(adapter):
    assert adapter not in trading_adapters()
    with pytest.raises(ConfigurationFault, match="is a feed only"):
        open_broker(endpoint(adapter), "key")
    with pytest.raises(ConfigurationFault, match="has no replay"):
        open_stream(endpoint(adapter), "a:b", InstrumentIndex(()), clock=lambda: 0, steps=True)


def test_orders_and_prices_may_come_from_two_protocols():
    row = endpoint("openalgo", "dhan")
    broker, stream = open_broker(row, "key"), None
    try:
        stream = open_stream(row, "a:b", InstrumentIndex(()), clock=lambda: 0)
        assert type(broker).__module__ == "adapters.openalgo.rest"
        assert type(stream).__module__ == "adapters.feed_socket"
    finally:
        broker.close()
        stream.close()


@pytest.mark.parametrize("row", [endpoint("nobody"), endpoint("openalgo", "nobody")])
def test_an_adapter_that_does_not_exist_is_named_with_those_that_do(row):
    with pytest.raises(ConfigurationFault, match="'nobody'; there is dhan, kite, openalgo, smart"):
        open_broker(row, "key")
