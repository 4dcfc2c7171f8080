"""Price source: what a sandbox exchange needs of a market, generated or recorded.

A source moves only when `advance` is called: it has no clock of its own. What it makes up because
its input does not say it (spreads, depth, a volatility index) is named in `derived`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np

from domain.brokers import HistoryBar
from domain.instruments import InstrumentIndex, Listing

Level = tuple[float, int, int]  # price, quantity, orders

DEPTH_LEVELS = 5
SPREAD_SHARE = 0.002  # of the price, where trade is busiest
SPREAD_PER_DEVIATION = 0.5  # a strike one standard deviation away quotes half as wide again
BOOK_LOTS = 40  # at the best price of the busiest strike


@dataclass(frozen=True, slots=True)
class Quote:
    """What is known of one listing now; rupees, units, the exchange's time. 0 means none."""

    open: float
    high: float
    low: float
    ltp: float
    bid: float
    ask: float
    bid_quantity: int
    ask_quantity: int
    prev_close: float
    volume: int
    open_interest: int
    ts_ns: int


class PriceSource(Protocol):
    """One market, moved forward by whoever owns the clock.

    `counts` and `warnings` tell what of the files it was made from could not be used.
    """

    index: InstrumentIndex
    derived: tuple[str, ...]
    counts: Mapping[str, int]
    warnings: list[str]

    @property
    def ended(self) -> bool:
        """True when no tick will ever follow."""

    def advance(self, to_ns: int) -> np.ndarray:
        """Moves to that time; TICK_DTYPE rows of everything that became due, in time order."""

    def next_ns(self) -> int | None:
        """When the next tick is due; None when there is none."""

    def watch(self, listing_ids: Iterable[int]) -> None:
        """From now on `advance` need only give ticks of these; `quote` knows all the same."""

    def quote(self, listing_id: int) -> Quote | None:
        """The listing at the time last advanced to; None before its first price."""

    def depth(self, listing_id: int) -> tuple[list[Level], list[Level]]:
        """Five bids and five asks, best first; both empty where there is no book."""

    def history(self, listing: Listing, interval: str, first: date, last: date) -> list[HistoryBar]:
        """Bars of 1m, 15m or D, ascending, both dates inclusive, up to the time advanced to.

        A daily bar starts at midnight UTC of its date, a minute bar at its minute. Another
        interval raises ValueError.
        """

    def close(self) -> None:
        """Writes down what a next life goes on from; nothing is asked afterwards."""


def spread(mid: np.ndarray, deviations: np.ndarray, tick_size: np.ndarray) -> np.ndarray:
    """Width of the book in rupees, whole ticks: by price, wider away from the money.

    `deviations` is the distance of strike and forward in standard deviations. Our own rule: a
    recorded session and a generated one must cost the same to trade.
    """
    share = SPREAD_SHARE * (1.0 + SPREAD_PER_DEVIATION * np.abs(deviations))
    return np.asarray(np.maximum(np.ceil(mid * share / tick_size), 1.0) * tick_size)


def book(
    mid: np.ndarray, deviations: np.ndarray, tick_size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bid and ask around a fair price, on the tick grid; a bid below one tick is no bid, 0."""
    width = spread(mid, deviations, tick_size)
    bid_ticks = np.floor((mid - width / 2) / tick_size + 1e-9)
    bid = np.where(bid_ticks >= 1, bid_ticks * tick_size, 0.0)
    ask = (np.maximum(bid_ticks, 0.0) + np.round(width / tick_size)) * tick_size
    return np.round(bid, 4), np.round(ask, 4)


def ladder(quote: Quote, listing: Listing) -> tuple[list[Level], list[Level]]:
    """Five levels from the best prices on, one tick apart, each a little larger."""
    tick, lot = float(listing.tick_size), listing.lot_size

    def side(best: float, quantity: int, step: float) -> list[Level]:
        if not (best > 0 and quantity > 0):
            return []
        rows = []
        for level in range(DEPTH_LEVELS):
            price = round(best + level * step, 4)
            if price > 0:
                size = quantity * (level + 2) // 2 // lot * lot
                rows.append((price, size or lot, level + 1))
        return rows

    bids = side(quote.bid, quote.bid_quantity, -tick)
    return bids, side(quote.ask, quote.ask_quantity, tick)
