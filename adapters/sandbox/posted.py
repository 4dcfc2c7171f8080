"""Posted: what each listing stands at, from the ticks let out so far; for markets of the past."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adapters.sandbox.history import Minutes
from adapters.sandbox.price_source import Quote
from domain.clock import NS_PER_MINUTE


class Posted:
    """Quotes by listing; the day's range is that of the ticks so far. `close_before` tells the last
    close of a listing before the day, 0 where none is known."""

    def __init__(self, close_before: Callable[[int], float]) -> None:
        self._close_before = close_before
        self._seen: dict[int, Quote] = {}

    def quote(self, listing_id: int) -> Quote | None:
        """The last tick; None before the first."""
        return self._seen.get(listing_id)

    def post(self, ticks: np.ndarray) -> None:
        """TICK_DTYPE rows, in their order."""
        for tick in ticks:
            listing_id, ltp = int(tick["listing"]), float(tick["ltp"])
            before = self._seen.get(listing_id)
            self._seen[listing_id] = Quote(
                open=before.open if before else ltp,
                high=max(before.high, ltp) if before else ltp,
                low=min(before.low, ltp) if before else ltp,
                ltp=ltp,
                bid=_or_none(tick["bid"]),
                ask=_or_none(tick["ask"]),
                bid_quantity=int(tick["bid_quantity"]),
                ask_quantity=int(tick["ask_quantity"]),
                prev_close=before.prev_close if before else self._close_before(listing_id),
                volume=max(int(tick["volume"]), 0),
                open_interest=max(int(tick["open_interest"]), 0),
                ts_ns=int(tick["ts_ns"]),
            )


def minutes_of(ticks: np.ndarray) -> Minutes:
    """One price a tick, as minutes; volume is what was traded since the tick before. The ticks are
    of one listing."""
    price = ticks["ltp"]
    cumulative = np.maximum(ticks["volume"], 0)
    traded = np.maximum(np.diff(cumulative, prepend=cumulative[:1]), 0)
    starts = ticks["ts_ns"] // NS_PER_MINUTE * NS_PER_MINUTE
    return Minutes(starts, price, price, price, price, traded)


def _or_none(price: float) -> float:
    """A missing side is 0 in a quote and NaN in a tick."""
    return 0.0 if np.isnan(price) else float(price)
