"""The underlyings' warm windows: read at start, told to who reads bars, kept up with live ones.

Part of bar_builder. A broker that fails is asked again until every window was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from actors.actor import Context
from actors.market.history_reader import HistoryReader, Warm
from domain.clock import NS_PER_MINUTE, NS_PER_S
from domain.instruments import Listing
from domain.market.warm_start import MINUTES, QUARTERS, SETTLE_S, Window
from messages.market import WarmStartReported

RETRY_S = 10.0


class WarmWindows:
    """State: the windows by timeframe and listing, and how their reading went."""

    def __init__(
        self,
        context: Context,
        reader: HistoryReader,
        windows: Sequence[Window],
        on_minutes: Callable[[np.ndarray], Any],
    ) -> None:
        self._context, self._reader = context, reader
        self._windows, self._on_minutes = windows, on_minutes
        self._listings: list[Listing] = []
        self._more: dict[int, Listing] = {}
        self._bars: dict[str, dict[int, np.ndarray]] = {}
        self.status: dict[str, Any] = {}
        self._tell("idle", "waits for the instrument master", Warm())

    def begin(self, listings: Sequence[Listing]) -> None:
        """Reads the windows of these listings, once."""
        if self._listings:
            return
        self._listings = list(listings)
        if not self._context.runtime.settings.warm_start_enabled:
            self._tell("disabled", "TOMIC_WARM_START_ENABLED is false", Warm())
            return
        self._tell("running", "", Warm(attempted=len(listings)))
        # Before second 12 a broker's history may lack the minute just ended.
        into_s = self._context.now_ns() % NS_PER_MINUTE / NS_PER_S
        self._context.after(max(SETTLE_S - into_s, 0.0), self._read)

    def follow(self, listings: Sequence[Listing]) -> None:
        """Reads the windows of these besides, and forgets those of others that were followed. The
        warm start's own word does not wait for them."""
        before, self._more = self._more, {row.listing_id: row for row in listings}
        for by_listing in self._bars.values():
            for listing_id in before.keys() - self._more.keys():
                by_listing.pop(listing_id, None)
        fresh = [row for row in listings if row.listing_id not in before]
        if self._context.runtime.settings.warm_start_enabled:
            self._read_more(fresh)

    def tell_again(self) -> None:
        """Says how the warm start stands to who has not heard it."""
        self._context.announce(self._told)

    def keep(self, timeframe: str, bars: np.ndarray) -> None:
        """Live bars follow those of the window."""
        lengths = {row.timeframe: row.bars for row in self._windows}
        for listing_id, held in self._bars.get(timeframe, {}).items():
            fresh = bars[bars["listing"] == listing_id]
            joined = np.concatenate([held[~np.isin(held["start_ns"], fresh["start_ns"])], fresh])
            joined = joined[np.argsort(joined["start_ns"], kind="stable")]
            self._bars[timeframe][listing_id] = joined[-lengths[timeframe] :]

    def publish(self) -> None:
        """All windows; nothing while there are none."""
        self._publish(self._bars)

    def _publish(self, read: Mapping[str, Mapping[int, np.ndarray]]) -> None:
        for window in self._windows:
            held = [rows for rows in read.get(window.timeframe, {}).values() if len(rows)]
            if held:
                bars = np.concatenate(held)
                self._context.publish(f"bars.{window.timeframe}", bars, {"warm": True})

    def _read(self) -> None:
        now_ns = self._context.now_ns()
        call = lambda: self._reader.read(self._listings, self._windows, now_ns)  # noqa: E731
        self._context.work(call, self._take)

    def _take(self, warm: Any) -> None:
        if isinstance(warm, Exception):
            raise warm
        if warm.errors:
            self._context.after(RETRY_S, self._read)
        self._hold(warm)
        seeded = any(warm.count(window.timeframe) for window in self._windows)
        status = "error" if warm.errors else "ok" if seeded else "empty"
        self._tell(status, "; ".join(f"{k}: {why}" for k, why in warm.errors.items()), warm)
        self.publish()

    def _read_more(self, listings: Sequence[Listing]) -> None:
        wanted = [row for row in listings if row.listing_id in self._more]
        if not wanted:
            return
        now_ns = self._context.now_ns()
        call = lambda: self._reader.read(wanted, self._windows, now_ns)  # noqa: E731
        self._context.work(call, partial(self._take_more, wanted))

    def _take_more(self, wanted: Sequence[Listing], warm: Any) -> None:
        if isinstance(warm, Exception):
            raise warm
        for by_listing in warm.bars.values():
            for listing_id in by_listing.keys() - self._more.keys():
                del by_listing[listing_id]
        self._hold(warm)
        self._publish(warm.bars)
        failed = [row for row in wanted if row.symbol in warm.errors]
        if failed:
            self._context.log.warning("[WARM] {}", warm.errors)
            self._context.after(RETRY_S, lambda: self._read_more(failed))

    def _hold(self, warm: Warm) -> None:
        for timeframe, by_listing in warm.bars.items():
            self._bars.setdefault(timeframe, {}).update(by_listing)
        for rows in warm.bars.get(MINUTES, {}).values():
            self._on_minutes(rows)

    def _tell(self, status: str, message: str, warm: Warm) -> None:
        settings = self._context.runtime.settings
        if status == self.status.get("status") and message == self.status.get("message"):
            return
        self.status = {
            "enabled": settings.warm_start_enabled,
            "status": status,
            "message": message,
            "loaded_symbols": warm.loaded,
            "attempted_symbols": warm.attempted,
            "regime_bars_seeded": warm.count(QUARTERS),
            "sniper_bars_seeded": warm.count(MINUTES),
            "vol_price_bars_seeded": warm.count("1D"),
            "sources": warm.sources,
            "errors": warm.errors,
            "lookback_days": settings.warm_start_lookback_days,
            "interval": settings.warm_start_interval,
            "max_bars": settings.warm_start_max_bars,
        }
        bars = sum(warm.count(window.timeframe) for window in self._windows)
        self._told = WarmStartReported(consumer="bars", status=status, message=message, bars=bars)
        self._context.announce(self._told)
