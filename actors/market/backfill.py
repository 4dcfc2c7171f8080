"""Minutes that were not heard whole are asked of history, once they have ended.

Part of bar_builder. One listing after the other, so that bars still get to disk between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from actors.actor import Context
from actors.market.history_reader import HistoryReader
from domain.clock import NS_PER_MINUTE, NS_PER_S
from domain.errors import BrokerFailure, BrokerRejected, NotAuthenticated
from domain.instruments import Listing
from domain.market.warm_start import SETTLE_S, Window


class Backfill:
    """State: who is asked for after this minute, and who is being asked for now."""

    def __init__(
        self,
        context: Context,
        reader: HistoryReader,
        window: Window,
        on_minutes: Callable[[np.ndarray], None],
    ) -> None:
        self._context, self._reader = context, reader
        self._window, self._on_minutes = window, on_minutes
        self._next: dict[int, Listing] = {}
        self._queue: dict[int, Listing] = {}
        self._is_planned = False

    def __len__(self) -> int:
        return len(self._next.keys() | self._queue.keys())

    def plan(self, listings: Iterable[Listing]) -> None:
        """Asks for these listings, in this order, when history has the minute that runs now."""
        self._next |= {row.listing_id: row for row in listings}
        if self._is_planned or not self._next:
            return
        self._is_planned = True
        left_ns = NS_PER_MINUTE - self._context.now_ns() % NS_PER_MINUTE
        self._context.after(left_ns / NS_PER_S + SETTLE_S, self._begin)

    def _begin(self) -> None:
        self._is_planned = False
        is_asking = bool(self._queue)
        self._queue |= self._next
        self._next.clear()
        if not is_asking:
            self._ask()

    def _ask(self) -> None:
        listing = next(iter(self._queue.values()), None)
        if listing:
            now_ns = self._context.now_ns()
            call = partial(self._reader.told, listing, self._window, now_ns, 0)
            self._context.work(call, partial(self._take, listing))

    def _take(self, listing: Listing, bars: Any) -> None:
        log = self._context.log
        if isinstance(bars, BrokerRejected) and not isinstance(bars, NotAuthenticated):
            log.warning("minutes of {} stay as they are: {}", listing.symbol, bars)
        elif isinstance(bars, BrokerFailure):
            log.warning("backfill of {} listings waits a minute: {}", len(self._queue), bars)
            waiting, self._queue = self._queue, {}
            self.plan(waiting.values())
        elif isinstance(bars, Exception):
            raise bars
        else:
            self._on_minutes(bars)
        self._queue.pop(listing.listing_id, None)
        self._ask()
