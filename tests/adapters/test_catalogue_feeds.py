"""The catalogue's feeds: which can trade, which can follow a replay, and what they carry."""

import pytest

from adapters.catalogue import capabilities_of, open_broker, open_stream, trading_adapters
from domain.brokers import BrokerEndpoint
from domain.errors import ConfigurationFault
from domain.instruments import InstrumentIndex


def endpoint(adapter):
    return BrokerEndpoint("b", "http://h", "ws://h", True, False, "B", adapter=adapter)


@pytest.mark.parametrize(("adapter", "symbols", "sockets"), [
    ("kite", 3000, 3), ("smartapi", 1000, 3), ("dhan", 5000, 5),
])  # fmt: skip
def test_a_native_feed_carries_what_its_broker_publishes(adapter, symbols, sockets):
    capabilities = capabilities_of(endpoint(adapter))
    assert (capabilities.symbols_per_socket, capabilities.sockets) == (symbols, sockets)


@pytest.mark.parametrize("adapter", ["kite", "smartapi", "dhan"])
def test_a_feed_alone_takes_no_orders_and_follows_no_replay(adapter):
    assert adapter not in trading_adapters()
    with pytest.raises(ConfigurationFault, match="is a feed only"):
        open_broker(endpoint(adapter), "key")
    with pytest.raises(ConfigurationFault, match="has no replay"):
        open_stream(endpoint(adapter), "a:b", InstrumentIndex(()), clock=lambda: 0, steps=True)
