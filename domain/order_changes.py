"""What happens to an order that left: the answer to its sending, news from a broker's book."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.orders import Fill, OrderRow, OrderStatus


@dataclass(frozen=True, slots=True)
class SendingAnswer:
    """What became of one order that was SENDING, for `record_answers`; texts are masked already."""

    client_order_id: str
    status: OrderStatus
    broker_order_id: str = ""
    needs_reconcile: bool = False
    error_kind: str = ""
    error_message: str = ""
    request: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class BookChange:
    """What a broker's book says anew of one order; `increase` 0 when only its status moved."""

    row: OrderRow
    status: OrderStatus
    filled_quantity: int
    average_price: Decimal
    increase: int = 0
    price: Decimal = Decimal(0)
    latency_ms: int = 0
    slippage_ticks: Decimal = Decimal(0)
    broker_order_id: str = ""
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class RecordedFill:
    """A fill with what its announcement needs besides."""

    fill: Fill
    broker_name: str
    command_id: int
    latency_ms: int
    slippage_ticks: Decimal
