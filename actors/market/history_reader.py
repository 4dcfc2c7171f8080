"""Reads a warm start's windows from our own store and, where that is not enough, from brokers.

Blocks: bar_builder calls it through Context.work. The canonical feed's broker is asked first, then
the others of the sequence. What none gave is a word in the answer, for the other windows must not
wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from actors.runtime import Runtime
from adapters.catalogue import open_broker
from adapters.ports import BrokerPort
from domain.clock import exchange_time
from domain.errors import BrokerFailure, BrokerRejected
from domain.instruments import Listing
from domain.market.warm_start import COOLING_NS, Window, ask_order, from_history, is_enough, join
from domain.prices import BAR_DTYPE
from persistence.market import MarketStore


@dataclass
class Warm:
    """What was read: bars by timeframe and listing; from where, and what failed."""

    bars: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    attempted: int = 0

    @property
    def loaded(self) -> int:
        """Listings with a bar in every timeframe."""
        held = [{id_ for id_, rows in by.items() if len(rows)} for by in self.bars.values()]
        return len(set.intersection(*held)) if held else 0

    def count(self, timeframe: str) -> int:
        """Bars of a timeframe over all listings."""
        return sum(len(rows) for rows in self.bars.get(timeframe, {}).values())


class HistoryReader:
    """The brokers' history beside the store; `source` is auto (store, then broker), db or api.

    `canonical` is the broker to ask first; who owns the reader keeps it true.
    """

    def __init__(self, runtime: Runtime, store: MarketStore) -> None:
        self._runtime, self._store = runtime, store
        self._source = runtime.settings.warm_start_source
        self._brokers: dict[str, BrokerPort] = {}
        self._cooling_ns: dict[str, int] = {}
        self.canonical = runtime.feed_sequence[0]

    def read(self, listings: Sequence[Listing], windows: Sequence[Window], now_ns: int) -> Warm:
        """All windows of all listings; what a broker refused stands in `errors` by symbol."""
        warm = Warm(attempted=len(listings))
        for window in windows:
            by_listing = warm.bars.setdefault(window.timeframe, {})
            for listing in listings:
                try:
                    by_listing[listing.listing_id] = self._window(listing, window, now_ns, warm)
                except BrokerFailure as failure:
                    warm.errors[listing.symbol] = str(failure)
        return warm

    def told(self, listing: Listing, window: Window, now_ns: int, days: int) -> np.ndarray:
        """What a broker's history says of the last `days` days, today included. Raises the first
        broker's failure when all failed."""
        today = exchange_time(now_ns).date()
        failures: list[BrokerFailure] = []
        sequence = self._runtime.feed_sequence
        for name in ask_order(self.canonical, sequence, self._cooling_ns, now_ns):
            try:
                rows = self._broker(name).history(
                    listing, window.interval, today - timedelta(days=days), today
                )
                return from_history(rows, listing.listing_id, window)
            except BrokerFailure as failure:
                failures.append(failure)
                if not isinstance(failure, BrokerRejected):
                    self._cooling_ns[name] = now_ns + COOLING_NS
        raise failures[0]

    def close(self) -> None:
        """Ends the connections to the brokers."""
        for broker in self._brokers.values():
            broker.close()

    def _broker(self, name: str) -> BrokerPort:
        if name not in self._brokers:
            key = self._runtime.reading_key(name)
            self._brokers[name] = open_broker(self._runtime.feed(name), key)
        return self._brokers[name]

    def _window(self, listing: Listing, window: Window, now_ns: int, warm: Warm) -> np.ndarray:
        stored = told = np.zeros(0, BAR_DTYPE)
        if self._source != "api":
            stored = self._store.read_bars(listing, window.timeframe, count_max=window.bars)
        sources = ["db"] if len(stored) else []
        if self._source != "db" and not is_enough(stored, window, now_ns):
            told = self.told(listing, window, now_ns, window.lookback_days)
            sources += ["api"] if len(told) else []
        bars = join(stored, told, window, now_ns)
        whole = stored[~stored["partial"]]
        fresh = bars[~np.isin(bars["start_ns"], whole["start_ns"])]
        self._store.write_bars(window.timeframe, fresh, {listing.listing_id: listing})
        warm.sources[f"{listing.symbol}:{window.timeframe}"] = "+".join(sources) or "none"
        return bars
