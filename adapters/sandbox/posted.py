"""Posted: what each listing stands at, from the ticks let out so far; for markets of the past."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adapters.sandbox.history import Minutes
from adapters.sandbox.price_source import Quote
from domain.clock import NS_PER_MINUTE

_POSTED = (
    "listing", "ts_ns", "ltp", "bid", "ask", "bid_quantity", "ask_quantity", "volume",
    "open_interest",
)  # fmt: skip


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
        columns = (ticks[name].tolist() for name in _POSTED)
        for id_, at_ns, ltp, bid, ask, bid_size, ask_size, volume, interest in zip(
            *columns, strict=True
        ):
            before = self._seen.get(id_)
            self._seen[id_] = Quote(
                open=before.open if before else ltp,
                high=max(before.high, ltp) if before else ltp,
                low=min(before.low, ltp) if before else ltp,
                ltp=ltp,
                bid=_or_none(bid),
                ask=_or_none(ask),
                bid_quantity=bid_size,
                ask_quantity=ask_size,
                prev_close=before.prev_close if before else self._close_before(id_),
                volume=max(volume, 0),
                open_interest=max(interest, 0),
                ts_ns=at_ns,
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
    return price if price == price else 0.0
