"""What trades earned and cost, from their fills: rupees realised, and the charges of every order.

A structure that still stands has paid for its entry, and an entry that was taken back has lost
something too: both are in the fills, whoever told of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.charges import order_charges, rates_on
from domain.clock import exchange_time
from domain.orders import Fill, Purpose
from domain.positions import Position, fold, untraded
from domain.prices import money


@dataclass
class _Traded:
    """All fills of one order."""

    first: Fill
    quantity: int = 0
    paid: Decimal = Decimal(0)


class Ledger:
    """Takes fills in order."""

    def __init__(self) -> None:
        self._legs: dict[str, Position] = {}
        self._orders: dict[str, _Traded] = {}

    def add(self, fill: Fill, purpose: Purpose) -> None:
        """One fill. What was booked and not traded changes the result, and costs nothing."""
        leg = untraded(fill)
        self._legs[leg.key] = fold(self._legs.get(leg.key, leg), fill)
        if purpose is not Purpose.CORRECTION:
            order = self._orders.setdefault(fill.client_order_id, _Traded(fill))
            order.quantity += fill.quantity
            order.paid += fill.price * fill.quantity

    @property
    def gross(self) -> Decimal:
        """Realised so far, before charges."""
        return money(sum((leg.realized for leg in self._legs.values()), Decimal(0)))

    @property
    def charges(self) -> Decimal:
        """Of all orders that filled, brokerage once an order."""
        return sum((_charges(order) for order in self._orders.values()), Decimal(0))


def _charges(order: _Traded) -> Decimal:
    rates = rates_on(exchange_time(order.first.at_ns).date())
    average = order.paid / order.quantity
    return order_charges(order.first.action, order.quantity, average, rates).total
