"""What brokers' position books show, for an exit that no order book named: it may have arrived all
the same, so only what still stands at the broker goes again (`data_pipeline.md` 8).
"""

from __future__ import annotations

from actors.actor import Context
from domain.clock import seconds
from domain.orders import OrderRow
from messages.books import BrokerPositionsRead, ReadPositions

ASK_EVERY_S = 1.0


class StandingBoard:
    """State: the newest good read of each broker's positions, and when one was asked for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reads: dict[str, BrokerPositionsRead] = {}
        self._asked: dict[str, int] = {}

    def keep(self, message: BrokerPositionsRead) -> None:
        """A read that failed says nothing."""
        if message.ok:
            self._reads[message.broker] = message

    def reducible(self, shape: OrderRow, action: str, since_ns: int) -> int:
        """Units that an order of this side may take off, by a read begun after `since_ns`; 0
        without one (one of the future was begun before the clock was set back), and then it is
        asked for."""
        read = self._reads.get(shape.broker_name)
        held = 0
        if read and since_ns < read.started_ns <= self._context.now_ns():
            contract = (shape.exchange, shape.symbol, shape.product)
            rows = (r for r in read.positions if (r.exchange, r.symbol, r.product) == contract)
            held = sum(row.quantity for row in rows)
        units = max(-held if action == "BUY" else held, 0)
        if not units:
            self._ask(shape.broker_name)
        return units

    def _ask(self, broker_name: str) -> None:
        now_ns = self._context.monotonic_ns()
        asked_ns = self._asked.get(broker_name)
        if asked_ns is None or now_ns - asked_ns >= seconds(ASK_EVERY_S):
            self._asked[broker_name] = now_ns
            message = ReadPositions(reason="an exit was never found")
            self._context.tell(f"account_sync.{broker_name}", message)
