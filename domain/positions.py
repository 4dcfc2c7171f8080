"""Positions: one row a leg, folded from fills; net greeks; shorts that nothing covers (`tomic.md` 9.2, 8.8).

P&L: BUY (ltp - average) x quantity, SELL (average - ltp) x quantity. A row's key is
`symbol|strategy_id|leg_no`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from domain.instruments import Kind


@dataclass(frozen=True, slots=True)
class Position:
    """One leg we hold. `quantity` is units, never negative; `direction` says the side."""

    symbol: str
    exchange: str
    product: str
    direction: str
    quantity: int
    average_price: Decimal
    strategy_id: str
    strategy_tag: str
    strategy: str
    leg_no: int
    underlying: str
    kind: Kind
    strike: Decimal
    expiry: date | None
    entry_ns: int
    broker: str
    last_price: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    delta: float = 0.0
    naked_approved: bool = False

    @property
    def key(self) -> str:
        """Unique in the book."""
        return f"{self.symbol}|{self.strategy_id}|{self.leg_no}"

    @property
    def signed_quantity(self) -> int:
        """Positive for a long, negative for a short."""
        return self.quantity if self.direction == "BUY" else -self.quantity

    @property
    def unrealized(self) -> Decimal:
        """Rupees, on the last price; 0 while no price is known."""
        if self.last_price == 0:
            return Decimal(0)
        return (self.last_price - self.average_price) * self.signed_quantity


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """The whole book at one version; what everyone outside the position book knows of it.

    `unexplained` lists exchange:symbol rows whose reconciliation is open: no entries there.
    """

    version: int = 0
    positions: tuple[Position, ...] = ()
    realized_today: Decimal = Decimal(0)
    charges_today: Decimal = Decimal(0)
    unmanaged: tuple[Position, ...] = ()
    unexplained: tuple[str, ...] = ()
    as_of_ns: int = 0

    @property
    def open_positions(self) -> tuple[Position, ...]:
        """Rows with quantity."""
        return tuple(row for row in self.positions if row.quantity)

    @property
    def unrealized(self) -> Decimal:
        """Rupees over all open rows, ours and unmanaged."""
        return sum((row.unrealized for row in self.positions + self.unmanaged), Decimal(0))
