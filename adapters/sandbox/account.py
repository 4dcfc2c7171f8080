"""Account: one instance's books and money. Blocks margin, folds fills, knows what changed.

It never looks at prices or the clock; both are handed in.

Invariant: available cash + everything blocked = capital + all realised profit and loss.
"""

from __future__ import annotations

import hashlib
from decimal import ROUND_DOWN, Decimal

from adapters.sandbox.account_settings import AccountSettings
from adapters.sandbox.books import (
    COMPLETE,
    OPEN,
    ZERO,
    Changes,
    Holding,
    Ledger,
    Order,
    Position,
    Ticket,
    Trade,
)
from adapters.sandbox.margins import PAISA
from domain.clock import exchange_time

ORDER_NUMBERS_PER_INSTANCE = 10_000_000


class Account:
    """Orders, trades, positions, holdings and the ledger of one instance."""

    def __init__(self, settings: AccountSettings, number: int) -> None:
        self.settings = settings
        # The first of the eight digits of an order id tells instances apart.
        self._first_order_number = (number % 9 + 1) * ORDER_NUMBERS_PER_INSTANCE
        self.changes = Changes()
        self.ledger = Ledger(cash=settings.starting_capital)
        self.orders: dict[str, Order] = {}
        self.working: dict[str, Order] = {}
        self.trades: list[Trade] = []
        self.positions: dict[tuple[str, str, str], Position] = {}
        self.holdings: dict[tuple[str, str], Holding] = {}

    @property
    def used(self) -> Decimal:
        """Everything that is blocked: by working orders, positions and holdings."""
        blocked = sum((row.blocked for row in self.working.values()), ZERO)
        blocked += sum((row.margin for row in self.positions.values()), ZERO)
        return blocked + sum((row.margin for row in self.holdings.values()), ZERO)

    @property
    def available(self) -> Decimal:
        """What a new order may block."""
        return self.ledger.cash - self.used

    def position(self, exchange: str, symbol: str, product: str) -> Position:
        """The position, a flat one when there is none."""
        key = (exchange, symbol, product)
        return self.positions.get(key) or Position(*key)

    def adopt(self, order: Order) -> None:
        """Takes in an order as it stands."""
        self.orders[order.order_id] = order
        if order.is_working:
            self.working[order.order_id] = order

    def opening_quantity(self, ticket: Ticket | Order, besides: str = "") -> int:
        """Units beyond flat: those that working orders already close are not closed twice.

        `besides` is the id of an order that is about to be replaced.
        """
        held = self.position(ticket.exchange, ticket.symbol, ticket.product).quantity
        signed = ticket.quantity if ticket.action == "BUY" else -ticket.quantity
        if held * signed >= 0:
            return ticket.quantity
        promised = sum(
            row.quantity - row.opening_quantity
            for row in self.working.values()
            if row.order_id != besides
            and row.action == ticket.action
            and (row.exchange, row.symbol, row.product)
            == (ticket.exchange, ticket.symbol, ticket.product)
        )
        return max(0, ticket.quantity - max(0, abs(held) - promised))

    def record(self, ticket: Ticket, status: str, at_ns: int) -> Order:
        """A new order row with the next id (`YYMMDD` and eight digits)."""
        self.ledger.orders_issued += 1
        number = self._first_order_number + self.ledger.orders_issued
        order = Order(
            order_id=f"{exchange_time(at_ns):%y%m%d}{number:08d}",
            strategy=ticket.strategy,
            exchange=ticket.exchange,
            symbol=ticket.symbol,
            action=ticket.action,
            quantity=ticket.quantity,
            price_type=ticket.price_type,
            product=ticket.product,
            price=ticket.price,
            trigger_price=ticket.trigger_price,
            disclosed_quantity=ticket.disclosed_quantity,
            status=status,
            placed_ns=at_ns,
            updated_ns=at_ns,
        )
        self.adopt(order)
        self.changes.ledger = True
        self.touch(order, at_ns)
        return order

    def touch(self, order: Order, at_ns: int) -> None:
        """Marks an order as changed."""
        order.updated_ns = at_ns
        self.changes.orders[order.order_id] = order

    def end(self, order: Order, status: str, at_ns: int) -> None:
        """Takes an order out of the book without a fill; releases exactly what it blocked."""
        order.status = status
        self._leave_the_book(order, at_ns)

    def fill(self, order: Order, price: Decimal, at_ns: int, units: int = 0) -> Trade:
        """Fills what is left of an order (or some units of it): moves its block onto the position,
        closes, realises."""
        units = units or order.pending_quantity
        position = self.position(order.exchange, order.symbol, order.product)
        signed = order.signed_quantity
        closing = min(units, abs(position.quantity)) if position.quantity * signed < 0 else 0
        opening = units - closing
        if closing:
            self._close(position, closing, price)
        if opening:
            self._open(position, opening if signed > 0 else -opening, price)
            share = _share(order.blocked, opening, order.opening_quantity)
            position.margin += share
            order.blocked -= share
            order.opening_quantity = max(order.opening_quantity - opening, 0)
        position.updated_ns = at_ns
        self.positions[position.key] = position
        self.changes.positions[position.key] = position
        paid = order.average_price * order.filled_quantity + price * units
        order.filled_quantity += units
        order.average_price = paid / order.filled_quantity
        if order.filled_quantity < order.quantity:
            order.status = OPEN
            self.touch(order, at_ns)
        else:
            order.status = COMPLETE
            self._leave_the_book(order, at_ns)
        return self._add_trade(order, units, price, at_ns)

    def realize(self, amount: Decimal) -> None:
        """Books realised profit or loss into cash."""
        self.ledger.cash += amount
        self.ledger.realized_total += amount
        self.ledger.realized_today += amount
        self.changes.ledger = True

    def clear(self, at_ns: int) -> None:
        """Everything gone, the capital restored; ids go on, so that none is given twice."""
        self.ledger = Ledger(
            cash=self.settings.starting_capital,
            session_day=self.ledger.session_day,
            orders_issued=self.ledger.orders_issued,
            trades_issued=self.ledger.trades_issued,
            reset_count=self.ledger.reset_count + 1,
            last_reset_ns=at_ns,
        )
        self.orders, self.working, self.trades = {}, {}, []
        self.positions, self.holdings = {}, {}
        self.changes = Changes(ledger=True)

    def _leave_the_book(self, order: Order, at_ns: int) -> None:
        order.blocked, order.opening_quantity = ZERO, 0
        self.working.pop(order.order_id, None)
        self.touch(order, at_ns)

    def _close(self, position: Position, quantity: int, price: Decimal) -> None:
        held = abs(position.quantity)
        sign = 1 if position.quantity > 0 else -1
        gain = ((price - position.average_price) * quantity * sign).quantize(PAISA)
        position.margin -= _share(position.margin, quantity, held)
        position.quantity -= sign * quantity
        position.realized_today += gain
        if position.quantity == 0:
            position.average_price = ZERO
        self.realize(gain)

    @staticmethod
    def _open(position: Position, signed: int, price: Decimal) -> None:
        held, added = abs(position.quantity), abs(signed)
        cost = position.average_price * held + price * added
        position.average_price = cost / (held + added)
        position.quantity += signed

    def _add_trade(self, order: Order, units: int, price: Decimal, at_ns: int) -> Trade:
        self.ledger.trades_issued += 1
        self.changes.ledger = True
        text = f"{order.order_id}:{self.ledger.trades_issued}".encode()
        suffix = hashlib.blake2s(text, digest_size=4).hexdigest()
        trade = Trade(
            trade_id=f"TRADE-{exchange_time(at_ns):%Y%m%d-%H%M%S}-{suffix}",
            order_id=order.order_id,
            strategy=order.strategy,
            exchange=order.exchange,
            symbol=order.symbol,
            action=order.action,
            quantity=units,
            price=price,
            product=order.product,
            at_ns=at_ns,
        )
        self.trades.append(trade)
        self.changes.trades.append(trade)
        return trade


def _share(amount: Decimal, part: int, whole: int) -> Decimal:
    """`part` of `whole` of an amount, to the paisa; the last part takes all that is left."""
    if part >= whole:
        return amount
    return (amount * part / whole).quantize(PAISA, rounding=ROUND_DOWN)
