"""Rows of an account's books. Money is Decimal rupees, quantities units, times nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)
OPEN, TRIGGER_PENDING = "open", "trigger pending"
COMPLETE, CANCELLED, REJECTED = "complete", "cancelled", "rejected"
WORKING = (OPEN, TRIGGER_PENDING)


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order as it was asked for; price 0 means none."""

    strategy: str
    exchange: str
    symbol: str
    action: str
    quantity: int
    price_type: str = "MARKET"
    product: str = "MIS"
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    disclosed_quantity: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not done: HTTP status and sentence; an id when it was recorded."""

    message: str
    http_status: int = 400
    order_id: str = ""


@dataclass(slots=True)
class Order:
    """One order. `blocked` is the margin it holds for `opening_quantity` units beyond flat."""

    order_id: str
    strategy: str
    exchange: str
    symbol: str
    action: str
    quantity: int
    price_type: str
    product: str
    price: Decimal
    trigger_price: Decimal
    disclosed_quantity: int
    status: str
    placed_ns: int
    updated_ns: int
    triggered: bool = False
    filled_quantity: int = 0
    average_price: Decimal = ZERO
    rejection: str = ""
    blocked: Decimal = ZERO
    opening_quantity: int = 0

    @property
    def is_working(self) -> bool:
        """True while it rests in the book."""
        return self.status in WORKING

    @property
    def pending_quantity(self) -> int:
        """What may still fill."""
        return self.quantity - self.filled_quantity if self.is_working else 0

    @property
    def signed_quantity(self) -> int:
        """Positive for a buy."""
        return self.quantity if self.action == "BUY" else -self.quantity


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill."""

    trade_id: str
    order_id: str
    strategy: str
    exchange: str
    symbol: str
    action: str
    quantity: int
    price: Decimal
    product: str
    at_ns: int


@dataclass(slots=True)
class Position:
    """Net of one (exchange, symbol, product). `margin` is what it blocks."""

    exchange: str
    symbol: str
    product: str
    quantity: int = 0
    average_price: Decimal = ZERO
    margin: Decimal = ZERO
    realized_today: Decimal = ZERO
    updated_ns: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """Unique in an account."""
        return (self.exchange, self.symbol, self.product)


@dataclass(slots=True)
class Holding:
    """Delivered shares. `margin` is the money that was paid for them."""

    exchange: str
    symbol: str
    quantity: int
    average_price: Decimal
    margin: Decimal

    @property
    def key(self) -> tuple[str, str]:
        """Unique in an account."""
        return (self.exchange, self.symbol)


@dataclass(slots=True)
class Ledger:
    """The account's own numbers. `cash` is the capital plus all realised profit and loss."""

    cash: Decimal
    realized_total: Decimal = ZERO
    realized_today: Decimal = ZERO
    session_day: str = ""
    orders_issued: int = 0
    trades_issued: int = 0
    reset_count: int = 0
    last_reset_ns: int = 0


@dataclass(slots=True)
class Changes:
    """What must be written down before an answer goes out."""

    orders: dict[str, Order] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    positions: dict[tuple[str, str, str], Position] = field(default_factory=dict)
    holdings: dict[tuple[str, str], Holding] = field(default_factory=dict)
    ledger: bool = False

    def __bool__(self) -> bool:
        return bool(self.orders or self.trades or self.positions or self.holdings or self.ledger)
