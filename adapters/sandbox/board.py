"""Board: the last price of every listing as columns, and the day's range, volume and ticks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adapters.sandbox.contracts import Prices
from adapters.sandbox.price_source import Quote
from domain.brokers import HistoryBar
from domain.clock import NS_PER_S
from domain.instruments import Listing
from domain.prices import MODE_DEPTH, TICK_DTYPE

SILENCE_MAX_NS = 3 * NS_PER_S  # an unchanged price is told again, so that it is not taken for stale


class Board:
    """Columns by listing id (row 0 is nobody)."""

    def __init__(self, listings: Sequence[Listing]) -> None:
        size = max(row.listing_id for row in listings) + 1
        self.ltp, self.bid, self.ask, self.open, self.high, self.low, self.prev_close = np.zeros(
            (7, size)
        )
        self.quantity, self.open_interest, self.priced_ns, self._told_ns = np.zeros(
            (4, size), dtype=np.int64
        )
        self._traded = np.zeros(size)
        self._told = np.zeros((3, size))
        self._lots = np.ones(size, dtype=np.int64)
        for row in listings:
            self._lots[row.listing_id] = row.lot_size

    def post(self, ids: np.ndarray, prices: Prices, now_ns: int) -> None:
        """Takes new prices over."""
        elapsed_s = np.where(
            self.priced_ns[ids] > 0, (now_ns - self.priced_ns[ids]) / NS_PER_S, 0.0
        )
        self._traded[ids] += prices.pace * elapsed_s
        is_first = self.open[ids] == 0
        self.open[ids] = np.where(is_first, prices.ltp, self.open[ids])
        self.high[ids] = np.maximum(self.high[ids], prices.ltp)
        self.low[ids] = np.where(is_first, prices.ltp, np.minimum(self.low[ids], prices.ltp))
        self.ltp[ids], self.bid[ids], self.ask[ids] = prices.ltp, prices.bid, prices.ask
        self.quantity[ids] = prices.quantity
        # What is held never shrinks within a day here, whatever strike is busy now.
        self.open_interest[ids] = np.maximum(self.open_interest[ids], prices.open_interest)
        self.priced_ns[ids] = now_ns

    def ticks(self, ids: np.ndarray, now_ns: int) -> np.ndarray:
        """A tick for each that moved since it was last told, or was silent for too long."""
        now = np.array([self.ltp[ids], self.bid[ids], self.ask[ids]])
        moved = (now != self._told[:, ids]).any(axis=0)
        due = ids[moved | (now_ns - self._told_ns[ids] >= SILENCE_MAX_NS)]
        self._told[:, ids] = now
        self._told_ns[due] = now_ns
        rows = np.zeros(len(due), dtype=TICK_DTYPE)
        rows["listing"], rows["mode"] = due, MODE_DEPTH
        rows["ts_ns"] = rows["received_ns"] = now_ns
        rows["ltp"], rows["iv"] = self.ltp[due], np.nan
        for side in ("bid", "ask"):
            best = getattr(self, side)[due]
            rows[side] = np.where(best > 0, best, np.nan)
            rows[f"{side}_quantity"] = np.where(best > 0, self.quantity[due], 0)
        rows["volume"] = self._volume(due)
        rows["open_interest"] = self.open_interest[due]
        return rows

    def quote(self, listing_id: int) -> Quote:
        """One listing as it stands."""
        one = listing_id
        bid, ask = float(self.bid[one]), float(self.ask[one])
        return Quote(
            open=float(self.open[one]),
            high=float(self.high[one]),
            low=float(self.low[one]),
            ltp=float(self.ltp[one]),
            bid=bid,
            ask=ask,
            bid_quantity=int(self.quantity[one]) if bid > 0 else 0,
            ask_quantity=int(self.quantity[one]) if ask > 0 else 0,
            prev_close=float(self.prev_close[one]),
            volume=int(self._volume(np.array([one]))[0]),
            open_interest=int(self.open_interest[one]),
            ts_ns=int(self.priced_ns[one]),
        )

    def close_day(self, ids: np.ndarray, closes: np.ndarray) -> None:
        """What the day before ended at."""
        self.prev_close[ids] = closes

    def widen_day(self, listing_id: int, bar: HistoryBar) -> None:
        """The day so far, when it began before the market did."""
        self.open[listing_id] = bar.open
        self.high[listing_id] = max(self.high[listing_id], bar.high)
        self.low[listing_id] = min(self.low[listing_id], bar.low)

    def new_day(self) -> None:
        """The last prices become the previous closes; ranges and volumes begin anew."""
        self.prev_close = self.ltp.copy()
        for column in (self.open, self.high, self.low, self._traded):
            column[:] = 0

    @staticmethod
    def none() -> np.ndarray:
        """No ticks."""
        return np.zeros(0, dtype=TICK_DTYPE)

    def _volume(self, ids: np.ndarray) -> np.ndarray:
        """Whole lots traded today, in units."""
        lots = (self._traded[ids] // self._lots[ids]).astype(np.int64)
        return np.asarray(lots * self._lots[ids])
