"""Live bid, ask and last of options, kept from the chains for who must price an order."""

from __future__ import annotations

from actors.actor import Context
from adapters.tick_bus import Batch
from domain.clock import seconds
from domain.execution.pricing import Quote

FRESH_S = 10.0  # older prices would price yesterday's market (`tomic.md` 9.4)


class QuoteBoard:
    """The newest batch of every chain; a quote is looked up only when an order is priced."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._batches: dict[str, Batch] = {}
        context.subscribe("chain.", self._keep)

    def quote(self, listing_id: int) -> Quote | None:
        """The newest quote of a listing; None when no chain has a fresh one."""
        oldest_ns = self._context.now_ns() - seconds(FRESH_S)
        for batch in self._batches.values():
            rows = batch.columns[batch.columns["listing"] == listing_id]
            if len(rows) and rows["ts_ns"][0] >= oldest_ns:
                bid, ask, last = (_known(rows[name][0]) for name in ("bid", "ask", "ltp"))
                return Quote(bid, ask, last)
        return None

    def _keep(self, batch: Batch) -> None:
        self._batches[batch.topic] = batch


def _known(value: float) -> float:
    return float(value) if value == value and value > 0 else 0.0
