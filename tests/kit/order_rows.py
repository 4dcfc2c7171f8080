"""An order of ours of unknown fate, and a row of its broker's book that looks like it."""

from __future__ import annotations

from decimal import Decimal

from domain.brokers import BrokerOrder
from domain.execution.unknowns import order_tag
from domain.orders import OrderRow, OrderStatus, Purpose

SENT = 1_000_000_000_000


def row(**changes) -> OrderRow:
    fields = {
        "client_order_id": "s:entry:0:BUY", "command_id": 1, "strategy_id": "s",
        "strategy_tag": "TAG", "leg_no": 0, "purpose": Purpose.ENTRY, "broker_name": "alpha",
        "exchange": "NFO", "symbol": "X", "action": "BUY", "quantity": 100, "product": "NRML",
        "tag": order_tag("TAG", "s:entry:0:BUY"), "created_ns": SENT, "sent_ns": SENT,
        "status": OrderStatus.SENDING, "needs_reconcile": True,
    }  # fmt: skip
    return OrderRow(**(fields | changes))


def order(**changes) -> BrokerOrder:
    fields = {
        "order_id": "1", "exchange": "NFO", "symbol": "X", "action": "BUY", "quantity": 100,
        "price_type": "MARKET", "product": "NRML", "price": Decimal(0),
        "trigger_price": Decimal(0), "status": "open", "filled_quantity": 0,
        "average_price": Decimal(0), "rejection": "", "tag": "", "ordered_at_ns": SENT,
    }  # fmt: skip
    return BrokerOrder(**(fields | changes))
