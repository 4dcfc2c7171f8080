"""The default tree on a broker's own feed: prices come from that broker's server in its protocol,
orders go to the exchange where those prices are true.

Each case has another broker's feed as the primary, and another as what stands in for it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.instruments import parse_symbol
from tests.kit.native_market import NativeFeed, NativeMarket, native_row
from tests.kit.other_server import OTHER, OtherServer, other_server
from tests.kit.trading_system import (
    BROKER,
    ROOM_FOR_DRILLS,
    Row,
    TradingSystem,
    trading_system,
    wait_for,
)

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("native_feed"),
    pytest.mark.filterwarnings("ignore:The inplace keyword"),  # the client's own use of pandas
]

PAIRS = {"kite": "dhan", "smartapi": "kite", "dhan": "smartapi"}
IN_THE_TREE = {
    BROKER: (
        'zerodha: {rest: "http://127.0.0.1:5502", ws: "ws://127.0.0.1:8867", feed: true, '
        "exec: true, label: Zerodha, sandbox: true}"
    ),
    OTHER: (
        'dhan:    {rest: "http://127.0.0.1:5501", ws: "ws://127.0.0.1:8866", feed: true, '
        "exec: true, label: Dhan, sandbox: true}"
    ),
}


@dataclass
class Stage:
    """A running tree, where it trades and the servers that it hears."""

    system: TradingSystem
    exchange: OtherServer
    primary: NativeFeed
    other: NativeFeed

    def shards(self, broker: str = BROKER) -> list[Row]:
        """What the shards of a broker say of themselves."""
        return [self.system.part(f"shard.{broker}.{number}") for number in (1, 2)]

    def ticks(self) -> int:
        """How many the bar builder took."""
        return int(self.system.part("bar_builder").get("ticks_total", 0))

    def canonical(self) -> str:
        """Whose ticks are believed."""
        return str(self.system.part("feed_selector").get("canonical"))


@contextlib.contextmanager
def stage(folder: Path, adapter: str) -> Iterator[Stage]:
    with (
        other_server(folder) as exchange,
        NativeMarket(exchange, (adapter, PAIRS[adapter])) as market,
    ):
        primary, other = market.feeds[adapter], market.feeds[PAIRS[adapter]]
        changes = ROOM_FOR_DRILLS | {
            IN_THE_TREE[BROKER]: native_row(BROKER, "Zerodha", primary, exchange.rest, trades=True),
            IN_THE_TREE[OTHER]: native_row(OTHER, "Dhan", other, exchange.other_rest, trades=False),
        }
        environment = {
            "TOMIC_SIGNAL_LOOP_ENABLED": "false",
            "TOMIC_EXECUTION_API_KEY": exchange.key,
            f"MULTI_BROKER_{OTHER.upper()}_OPENALGO_API_KEY": exchange.key,
            "TOMIC_FEED_PRIMARY_API_KEY": primary.key,
            "TOMIC_FEED_FALLBACK_API_KEY": other.key,
        }
        with trading_system(environment, changes) as system:
            yield Stage(system, exchange, primary, other)


def test_the_tree_trades_on_a_brokers_own_feed(tmp_path: Path) -> None:
    with stage(tmp_path, "kite") as on:
        assert_every_listing_that_is_wanted_is_carried(on)
        assert_trades_at_prices_of_the_feed(on)
        assert_status_and_metrics_show_the_feed(on)
        assert_a_socket_that_drops_comes_back(on)
        assert_a_mute_feed_is_told_and_left(on)
        assert_bars_of_its_ticks_were_built(on)


@pytest.mark.parametrize("adapter", ["smartapi", "dhan"])
def test_the_tree_hears_a_brokers_own_feed(tmp_path: Path, adapter: str) -> None:
    with stage(tmp_path, adapter) as on:
        assert_every_listing_that_is_wanted_is_carried(on)
        assert_status_and_metrics_show_the_feed(on)
        assert_a_socket_that_drops_comes_back(on)


def assert_every_listing_that_is_wanted_is_carried(on: Stage) -> None:
    def carried() -> bool:
        feed = on.system.part(f"feed.{BROKER}")
        return feed.get("state") == "live" and feed["uncarried"] == feed["unplaced"] == 0

    wait_for(carried, "the primary carries all that is wanted")
    assert on.canonical() == BROKER
    asked = on.primary.wanted()
    assert len(asked) == sum(row["listings"] for row in on.shards())
    assert len(asked) > 100
    assert {tuple(row["refused"].items()) for row in on.shards()} == {()}
    chains = on.system.part("chain_keeper")
    symbols = {parse_symbol(name).name for name in chains["option_symbols"]}
    assert symbols == {"NIFTY", "BANKNIFTY"}


def assert_trades_at_prices_of_the_feed(on: Stage) -> None:
    correlation_id = on.system.inject_until_taken("NIFTY")
    wait_for(on.exchange.orders, "an order is at the exchange")
    strategy_id = on.system.trace(correlation_id)["command"]["strategy_id"]
    # A short may rest at its limit for minutes; the close ends that, too.
    on.system.post(f"/tomic/positions/{strategy_id}/close", {"reason": "drill"})
    on.system.wait_ended(correlation_id)
    wait_for(lambda: not on.system.get("/tomic/positions")[1]["positions"], "it is flat")
    sent = {row["broker_order_id"] for row in on.system.orders(strategy_id)} - {None, ""}
    assert sent
    assert sent == {row["orderid"] for row in on.exchange.orders()}


def assert_status_and_metrics_show_the_feed(on: Stage) -> None:
    shown = on.system.get("/tomic/status")[1]["data"]["ws_data"]
    assert (shown["state"], shown["canonical"]) == ("live", BROKER), shown
    assert shown["subscribed_symbols"] == len(on.primary.wanted())
    told = on.system.get("/tomic/metrics")[1]["data"]
    assert told["feeds"][f"feed.{BROKER}"]["connected"] == 2
    assert all(row["ticks"] > 0 for row in on.shards())
    bus = told["bus"]["bar_builder"]
    assert {f"shard.{BROKER}.1", f"shard.{BROKER}.2"} <= set(bus)
    assert {row["gaps"] for row in bus.values()} == {0}


def reconnects(on: Stage) -> int:
    return sum(row["reconnects"] for row in on.shards())


def assert_a_socket_that_drops_comes_back(on: Stage) -> None:
    before, connections = reconnects(on), len(on.primary.server.connections)
    on.primary.server.drop()
    on.primary.server.wait_for(lambda: len(on.primary.server.connections) > connections, 180)

    def back() -> bool:
        feed = on.system.part(f"feed.{BROKER}")
        return feed.get("state") == "live" and feed["connected"] == 2 and feed["uncarried"] == 0

    # A feed may say "live" before it has heard of the loss: the shards' own count comes first.
    wait_for(lambda: reconnects(on) > before, lambda: f"the reconnection is told: {on.shards()}")
    wait_for(back, lambda: f"the dropped socket is back: {on.system.part(f'feed.{BROKER}')}")
    ticks = on.ticks()
    wait_for(lambda: on.ticks() > ticks, "ticks arrive again")


def assert_a_mute_feed_is_told_and_left(on: Stage) -> None:
    on.primary.paused = True
    wait_for(
        lambda: {row["reason"] for row in on.shards()} & {"no tick for 5 s"},
        "the silence of the primary is told",
    )
    wait_for(lambda: on.canonical() == OTHER, "the other feed stands in")
    ticks = on.ticks()
    wait_for(lambda: on.ticks() > ticks, "ticks of the other feed arrive")
    on.primary.paused = False
    wait_for(
        lambda: on.system.part(f"feed.{BROKER}").get("state") == "live",
        "the primary is heard again",
    )
    assert on.canonical() == OTHER  # it is believed again after five healthy minutes


def assert_bars_of_its_ticks_were_built(on: Stage) -> None:
    path = on.system.folder / "var" / "market.db"

    def minutes() -> set[str]:
        query = "SELECT symbol FROM bars WHERE timeframe = '1m' AND source = 'live'"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return {row[0] for row in database.execute(query)}

    wait_for(lambda: minutes() >= {"NIFTY", "BANKNIFTY"}, "a minute of ticks", 240)
