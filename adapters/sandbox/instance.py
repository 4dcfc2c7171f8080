"""Instance: one broker's face on the market: its name, its key, its exchange, its faults."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from adapters.sandbox.books import Order, Refusal, Ticket
from adapters.sandbox.config import InstanceConfig
from adapters.sandbox.exchange import Exchange
from adapters.sandbox.faults import FaultBoard
from adapters.sandbox.market import Market

USER_ID = "sandbox"
ANALYZE = {"mode": "analyze"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: a JSON body, or a text with its media type."""

    body: dict[str, Any] | str
    status: int = 200
    media_type: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Instance:
    """What the endpoints of one broker work on."""

    def __init__(self, config: InstanceConfig, exchange: Exchange, faults: FaultBoard) -> None:
        self.name = config.name
        self.exchange = exchange
        exchange.strikes = lambda fault: faults.strike(fault, config.name) is not None
        self.faults = faults
        self.brokers: tuple[str, ...] = (config.name,)
        self.calls_answered = 0
        self.twice_reported: set[str] = set()
        self._api_key = config.api_key

    @property
    def market(self) -> Market:
        """The market all instances share."""
        return self.exchange.market

    def accepts(self, api_key: object) -> bool:
        """True for the key of this instance, while it has not been made to expire."""
        if not isinstance(api_key, str) or self.faults.is_on("expire_key", self.name):
            return False
        return hmac.compare_digest(api_key.encode(), self._api_key.encode())

    def reveal_key(self) -> str:
        """The key, for the owner's logged-in session only."""
        return self._api_key

    def place(self, ticket: Ticket, endpoint: str) -> Order | Refusal:
        """Places an order unless the test bench refuses it."""
        if self.faults.strike("reject", self.name, endpoint):
            return Refusal(f"Order for {ticket.symbol} rejected by the test bench")
        return self.exchange.place(ticket)

    def reports_twice(self, order: Order) -> bool:
        """True when the test bench wants this fill to be told twice."""
        if order.filled_quantity and self.faults.strike("duplicate_fill", self.name):
            self.twice_reported.add(order.order_id)
        return order.order_id in self.twice_reported


def refused(refusal: Refusal) -> Answer:
    """A sandbox rejection as upstream words it."""
    body: dict[str, Any] = {"status": "error", "message": refusal.message, **ANALYZE}
    if refusal.order_id:
        body["orderid"] = refusal.order_id
    return Answer(body, refusal.http_status)


def done(**body: Any) -> Answer:
    """A success of the sandbox's trading side."""
    return Answer({"status": "success", **body, **ANALYZE})


def found(**body: Any) -> Answer:
    """A success that carries data."""
    return Answer({"status": "success", **body})


def error(message: Any, status: int = 400) -> Answer:
    """A failure."""
    return Answer({"status": "error", "message": message}, status)
