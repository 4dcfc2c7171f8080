"""Reads a warm start's windows from our own store and, where that is not enough, from a broker.

Blocks: bar_builder calls it through Context.work. A failing broker is a word in the answer, for the
others' windows must not wait for it.
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
from domain.errors import BrokerFailure
from domain.instruments import Listing
from domain.market.warm_start import Window, from_history, is_enough, join
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
    """One broker's history beside the store; `source` is auto (store, then broker), db or api."""

    def __init__(self, runtime: Runtime, broker: str, store: MarketStore) -> None:
        self._runtime, self._store = runtime, store
        self._name, self._source = broker, runtime.settings.warm_start_source
        self._broker: BrokerPort | None = None

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
        """What the broker's history says of the last `days` days, today included."""
        if self._broker is None:
            endpoint = self._runtime.broker(self._name)
            self._broker = open_broker(endpoint, self._runtime.keys.get(self._name, ""))
        today = exchange_time(now_ns).date()
        first = today - timedelta(days=days)
        rows = self._broker.history(listing, window.interval, first, today)
        return from_history(rows, listing.listing_id, window)

    def close(self) -> None:
        """Ends the connections to the broker."""
        if self._broker:
            self._broker.close()

    def _window(self, listing: Listing, window: Window, now_ns: int, warm: Warm) -> np.ndarray:
        stored = told = np.zeros(0, BAR_DTYPE)
        if self._source != "api":
            stored = self._store.read_bars(listing, window.timeframe, count_max=window.bars)
        sources = ["db"] if len(stored) else []
        if self._source != "db" and not is_enough(stored, window, now_ns):
            told = self.told(listing, window, now_ns, window.lookback_days)
            sources += ["api"] if len(told) else []
        bars = join(stored, told, window, now_ns)
        fresh = bars[~np.isin(bars["start_ns"], stored["start_ns"])]
        self._store.write_bars(window.timeframe, fresh, {listing.listing_id: listing})
        warm.sources[f"{listing.symbol}:{window.timeframe}"] = "+".join(sources) or "none"
        return bars
