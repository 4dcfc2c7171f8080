"""The running session of each instrument: its range, its last price, and the swings of its minutes.

Part of sniper_agent. Fed with bars of a minute and of a quarter, live ones and those of before this
life; a new day begins anew.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

import numpy as np

from actors.actor import Context
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, epoch_ns, exchange_time, iso_utc
from domain.signals.sniper import Today
from domain.signals.swings import SwingTracker

LENGTH_NS = {"1m": NS_PER_MINUTE, "15m": 15 * NS_PER_MINUTE}


class SessionView:
    """State: today's range and swings by instrument."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._day_ns = 0
        self._today: dict[str, Today] = {}
        self._swings: dict[str, SwingTracker] = {}

    def today(self, name: str) -> Today | None:
        """The session so far; None before its first bar."""
        self._begin_day()
        return self._today.get(name)

    def take(self, name: str, timeframe: str, rows: np.ndarray, *, warm: bool) -> None:
        """Bars of one instrument (BAR_DTYPE, ascending); those of earlier days are passed over."""
        self._begin_day()
        rows = rows[rows["start_ns"] >= self._day_ns]
        if not len(rows):
            return
        high, low = float(rows["high"].max()), float(rows["low"].min())
        last = float(rows["close"][-1])
        last_ns = int(rows["start_ns"][-1]) + LENGTH_NS[timeframe]
        known = self._today.get(name) or Today(self._day_ns, high, low, last, last_ns)
        self._today[name] = known.with_bars(high, low, last, last_ns)
        if timeframe == "1m":
            self._swing(name, rows, warm)

    def swings(self) -> dict[str, dict[str, Any]]:
        """The newest swing of each instrument, JSON-ready."""
        return {
            name: {
                "type": swing.kind,
                "price": swing.price,
                "at": iso_utc(swing.start_ns),
                "broken": swing.broken,
                "count": len(tracker.swings),
                "bars_refused": tracker.refused,
            }
            for name, tracker in self._swings.items()
            if (swing := tracker.last)
        }

    def _begin_day(self) -> None:
        day = exchange_time(self._context.now_ns()).date()
        day_ns = epoch_ns(datetime.combine(day, time.min, EXCHANGE_ZONE))
        if day_ns != self._day_ns:
            self._day_ns = day_ns
            self._today.clear()
            self._swings.clear()

    def _swing(self, name: str, rows: np.ndarray, warm: bool) -> None:
        tracker = self._swings.setdefault(name, SwingTracker())
        if warm:  # minutes told again are no disorder
            rows = rows[rows["start_ns"] > tracker.last_start_ns]
        for row in rows:
            refused = tracker.refused
            broke = tracker.add(row)
            if tracker.refused > refused:
                self._context.log.warning("[SWING] {} | a bar out of order was refused", name)
            if broke and not warm:
                self._context.log.info(
                    "[SWING] {} | low {:g} broken, top since it {:g}",
                    name,
                    broke.swing.price,
                    broke.highest_high,
                )
