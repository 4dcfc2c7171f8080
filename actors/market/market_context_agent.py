"""The market context agent: one snapshot of VIX band, trend, put-call bias, levels and walls.

Hears ChainSummarised, FreshnessMarked, the session, bars of a minute and a day, InstrumentsLoaded
and restarts; wants the windows of before its life from the bar builder and tells ContextChanged.
Twin: context.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from actors.actor import Actor, Context
from actors.market.following import read_index
from adapters.tick_bus import Batch
from domain.clock import NS_PER_MINUTE, exchange_time, seconds
from domain.freshness import VIX_AGE_MAX_S
from domain.market.context import (
    Days,
    context_body,
    front_of,
    keep_days,
    read_days,
    read_underlying,
    vix_regime_of,
    words_of,
)
from domain.prices import BAR_DTYPE
from domain.readings import ChainSummary, MarketContext
from messages.lifecycle import NodeRestarted
from messages.market import (
    ChainSummarised,
    ContextChanged,
    FreshnessMarked,
    InstrumentsLoaded,
    SessionClosed,
    SessionOpened,
    WantWindows,
)

BAR_BUILDER = "bar_builder"
MINUTES, DAYS = "bars.1m", "bars.1D"
ASK_EVERY_S = 2.0
EARLY_BATCHES_MAX = 64


@dataclass(frozen=True)
class ContextSettings:
    """Seconds: between two looks, between two that are told although no word changed, and for which
    a reading of open interest stands (`tomic.md` 12.1).
    """

    look_every_s: float = 5.0
    tell_every_s: float = 60.0
    interest_every_s: float = 300.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"{name} must be greater than 0, not {value}")


class MarketContextAgent(Actor):
    """Keeps prices, daily bars and front chains; a restart hears all of them again."""

    SETTINGS = ContextSettings
    settings: ContextSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        keys = context.runtime.settings
        self._underlyings = [name for _, name in keys.underlyings]
        self._vix_name = keys.feed_vix_symbol
        self._names: dict[int, str] = {}
        self._vix_id = -1
        self._vix, self._vix_ns, self._stands_ns = 0.0, 0, 0
        self._in_session = False
        self._prices: dict[str, tuple[float, int]] = {}  # price and when it was true
        self._bars: dict[str, np.ndarray] = {}
        self._chains: dict[str, dict[date, ChainSummary]] = {}
        self._fronts: dict[str, ChainSummary] = {}
        self._told: MarketContext | None = None
        self._early: deque[Batch] = deque(maxlen=EARLY_BATCHES_MAX)

    def start(self) -> None:
        self._read_index()
        self.context.subscribe("bars.1", self._on_bars)
        self._asking = self.context.every(ASK_EVERY_S, self._ask)
        self._ask()
        self.context.every(self.settings.look_every_s, self._look)

    def on_instruments_loaded(self, _message: InstrumentsLoaded) -> None:
        self._read_index()

    def on_session_opened(self, _message: SessionOpened) -> None:
        self._in_session = True

    def on_session_closed(self, _message: SessionClosed) -> None:
        self._in_session = False

    def on_freshness_marked(self, message: FreshnessMarked) -> None:
        self._vix_ns = max(self._vix_ns, message.mark.vix_ns)
        self._stands_ns = message.mark.stands_ns

    def on_chain_summarised(self, message: ChainSummarised) -> None:
        row = message.summary
        self._chains.setdefault(row.underlying, {})[row.expiry] = row
        self._see_price(row.underlying, row.spot, row.as_of_ns)

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if self._told:
            self.context.remind(message.name, ContextChanged(context=self._told, is_news=False))

    # -- bars --

    def _ask(self) -> None:
        self.context.tell(BAR_BUILDER, WantWindows(owner=self.context.name))

    def _on_bars(self, batch: Batch) -> None:
        if batch.meta.get("warm"):
            self._asking.cancel()
        if not self._names:
            self._early.append(batch)
            return
        for listing_id, name in self._names.items():
            rows = batch.columns[batch.columns["listing"] == listing_id]
            if not len(rows):
                continue
            if batch.topic == DAYS:
                window = self._bars.get(name, np.empty(0, BAR_DTYPE))
                self._bars[name] = keep_days(window, rows)
            elif batch.topic == MINUTES:
                last = rows[-1]
                ended_ns = int(last["start_ns"]) + NS_PER_MINUTE
                self._see_price(name, float(last["close"]), ended_ns)

    def _see_price(self, name: str, price: float, at_ns: int) -> None:
        if price > 0 and at_ns >= self._prices.get(name, (0.0, 0))[1]:
            self._prices[name] = (price, at_ns)

    # -- the snapshot --

    def _look(self) -> None:
        now_ns, before = self.context.now_ns(), self._told
        if before and not self._in_session:
            return  # nothing moves while the market is shut
        if before and now_ns - before.as_of_ns < seconds(self.settings.tell_every_s):
            return
        seen = self._read(now_ns)
        if before:
            self._tell(seen, is_news=words_of(seen) != words_of(before))
        elif seen.vix > 0 or any(row.price > 0 for row in seen.underlyings):
            self._tell(seen, is_news=True)

    def _tell(self, seen: MarketContext, *, is_news: bool) -> None:
        self._told = seen
        self.context.announce(ContextChanged(context=seen, is_news=is_news))
        self.context.report(context_body(seen))

    def _read(self, now_ns: int) -> MarketContext:
        today = exchange_time(now_ns).date()
        vix, bar_ns = self._prices.get(self._vix_name[1], (0.0, 0))
        age_ns = now_ns - max(bar_ns, self._vix_ns)
        is_old = self._in_session and age_ns > seconds(VIX_AGE_MAX_S) + self._stands_ns
        for name in self._underlyings:
            self._adopt(name, now_ns, today)
        rows = []
        for name in self._underlyings:
            window = self._bars.get(name)
            days = Days() if window is None else read_days(window, today)
            price = self._prices.get(name, (0.0, 0))[0]
            rows.append(read_underlying(name, price, days, self._fronts.get(name)))
        return MarketContext(vix, vix_regime_of(vix, is_known=not is_old), tuple(rows), now_ns)

    def _adopt(self, name: str, now_ns: int, today: date) -> None:
        """Open interest is read anew every five minutes, so that no bias flutters at its limit."""
        front, held = front_of(self._chains.get(name, {}).values(), today), self._fronts.get(name)
        if front is None:
            return
        is_old = held is None or held.expiry != front.expiry or not held.put_call_ratio > 0
        if is_old or now_ns - held.as_of_ns >= seconds(self.settings.interest_every_s):
            self._fronts[name] = front

    # -- who is who --

    def _read_index(self) -> None:
        self.context.work(lambda: read_index(self.context.runtime), self._indexed)

    def _indexed(self, index: Any) -> None:
        if isinstance(index, Exception):
            raise index
        keys = self.context.runtime.settings
        for exchange, name in (*keys.underlyings, self._vix_name):
            row = index.find(exchange, name)
            if row:
                self._names[row.listing_id] = name
        while self._names and self._early:
            self._on_bars(self._early.popleft())
