"""How long a short stood naked, by the broker's own books alone: nothing of ours is asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from domain.instruments import parse_symbol

Row = dict[str, Any]


def naked_s(orders: Sequence[Row], trades: Iterable[Row]) -> float:
    """The longest time for which a net short of calls or of puts had neither a long beside it nor
    a buying order in the broker's book; seconds between the broker's stamps of whole seconds.

    `orders` and `trades` are the broker's rows of one structure. A short that is left naked to the
    end counts up to the last stamp in either book.
    """
    bids = defaultdict(list)
    for row in orders:
        if row["action"] == "BUY" and row["order_status"] != "rejected":
            bids[_side(row)].append(_at(row))
    held: Counter[Any] = Counter()
    since: dict[Any, datetime] = {}
    worst = 0.0
    told = sorted(trades, key=_at)
    end = max(map(_at, [*orders, *told]), default=None)
    for row in told:
        side, at = _side(row), _at(row)
        held[side] += int(row["quantity"]) * (1 if row["action"] == "BUY" else -1)
        if held[side] < 0:
            since.setdefault(side, at)
        elif side in since:
            worst = max(worst, _stood_s(since.pop(side), at, bids[side]))
    for side, began in since.items():
        assert end is not None
        worst = max(worst, _stood_s(began, end, bids[side]))
    return worst


def _stood_s(began: datetime, covered: datetime, bids: Iterable[datetime]) -> float:
    """Until it was covered, or until an order that buys it back stood, whichever came first."""
    first = min((at for at in bids if at >= began), default=covered)
    return max((min(first, covered) - began).total_seconds(), 0.0)


def _side(row: Row) -> tuple[str, Any, Any]:
    contract = parse_symbol(row["symbol"])
    assert contract, row["symbol"]
    return contract.name, contract.expiry, contract.kind


def _at(row: Row) -> datetime:
    return datetime.fromisoformat(row["timestamp"])
