"""A stream that a test plays by hand, and the runtime of feed actors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from adapters.ports import StreamCounters
from domain.brokers import BrokerEndpoint
from domain.instruments import InstrumentIndex, Kind, Listing
from domain.prices import TICK_DTYPE
from domain.supervision.topology import Node
from persistence.database import MainBase, open_engine
from persistence.instruments import InstrumentStore
from tests.kit.recording_context import make_runtime

DAY = date(2026, 11, 20)


class PlayedStream:
    """A FeedStream whose other side is the test: `play` puts ticks and events, then wakes the
    actor.
    """

    made: ClassVar[list[PlayedStream]] = []
    _descriptors = 1_000

    def __init__(self, index: InstrumentIndex, *, steps: bool) -> None:
        PlayedStream._descriptors += 1
        self.descriptor = PlayedStream._descriptors
        self.index, self.steps = index, steps
        self.counters = StreamCounters()
        self.requests: list[tuple[str, list[str], list[int]]] = []
        self.opened = self.closed = False
        self.settled = True
        self._ticks: list[np.ndarray] = []
        self._events: list[tuple[str, str]] = []
        self.made.append(self)

    def open(self) -> None:
        self.opened = True

    def subscribe(self, listings: Sequence[Listing], modes: Sequence[int]) -> None:
        self.requests.append(("subscribe", [row.symbol for row in listings], list(modes)))

    def unsubscribe(self, listings: Sequence[Listing], modes: Sequence[int]) -> None:
        self.requests.append(("unsubscribe", [row.symbol for row in listings], list(modes)))

    def take(self) -> tuple[np.ndarray, list[tuple[str, str]]]:
        ticks = np.concatenate([np.zeros(0, TICK_DTYPE), *self._ticks])
        events = self._events
        self._ticks, self._events = [], []
        return ticks, events

    def close(self) -> None:
        self.closed = True

    def put(self, *events: Any, ticks: Sequence[tuple[int, float]] = (), at_ns: int = 0) -> None:
        """Events by kind or (kind, text); ticks as (listing_id, price)."""
        self._events += [(event, "") if isinstance(event, str) else event for event in events]
        rows = np.zeros(len(ticks), TICK_DTYPE)
        rows["listing"] = [row for row, _ in ticks]
        rows["ltp"] = [price for _, price in ticks]
        rows["received_ns"] = rows["ts_ns"] = at_ns
        self._ticks.append(rows)


def make_listings(count: int) -> list[Listing]:
    """Shares S1, S2, ... which the store numbers 1, 2, ..."""
    return [
        Listing(0, "NSE", f"S{number}", f"S{number}", Kind.EQUITY, 1, Decimal("0.05"), 0)
        for number in range(1, count + 1)
    ]


def make_feed_runtime(folder: Path, listings: int = 10, **overrides: Any) -> Any:
    """Brokers alpha and beta with two shards each, and a database that holds the listings."""
    names = ("alpha", "beta")
    branches = [
        Node(
            name=f"shards.{name}",
            strategy="one_for_one",
            children=tuple(
                Node(name=f"shard.{name}.{number}", actor="a.Shard", instance=name)
                for number in (1, 2)
            ),
        )
        for name in names
    ]
    keeper = Node(name="chain_keeper", actor="actors.market.chain_keeper.ChainKeeper")
    agent = Node(name="execution_agent", actor="x.ExecutionAgent", settings={"broker": "alpha"})
    fields = {
        "tree": Node(name="root", strategy="one_for_one", children=(*branches, keeper, agent)),
        "feed_sequence": names,
        "keys": {name: f"{name}-key-0123456789" for name in names},
        "broker": lambda name: BrokerEndpoint(
            name, f"http://{name}", f"ws://{name}", True, True, name.title()
        ),
    }
    runtime = make_runtime(folder, **(fields | overrides))
    engine = open_engine(runtime.database_url)
    MainBase.metadata.create_all(engine)
    if listings:
        InstrumentStore(engine).load(make_listings(listings), "alpha", DAY)
    engine.dispose()
    return runtime
