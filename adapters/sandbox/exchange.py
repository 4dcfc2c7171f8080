"""Exchange: one instance's order book over its account.

It takes, changes and cancels orders, and matches them against every tick it hears from the server.
It tells order updates to its listeners.

Every public call leaves the books written down (`Store`) before it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import numpy as np

from adapters.sandbox import rules
from adapters.sandbox.account import Account
from adapters.sandbox.books import (
    CANCELLED,
    COMPLETE,
    OPEN,
    REJECTED,
    TRIGGER_PENDING,
    ZERO,
    Order,
    Refusal,
    Ticket,
)
from adapters.sandbox.margins import blocks_margin, leverage, required_margin
from adapters.sandbox.market import Market
from adapters.sandbox.matching import MarketPrice, as_decimal, match
from adapters.sandbox.store import Store
from domain.clock import NS_PER_S
from domain.instruments import Listing

OrderListener = Callable[[Order], None]


class Exchange:
    """The trading side of one instance."""

    def __init__(self, account: Account, market: Market, store: Store) -> None:
        self.account = account
        self.market = market
        self.listeners: list[OrderListener] = []
        # Of the test bench: True when that fault strikes now.
        self.strikes: Callable[[str], bool] = lambda fault: False
        self._store = store
        self._resting: dict[int, dict[str, Order]] = {}
        self._checked_ns = self._marked_ns = 0
        self._marks: dict[tuple[str, str], Decimal] = {}
        store.load(account)
        for order in account.working.values():
            self._rest(order)

    # -- what a trader may ask

    def place(self, ticket: Ticket) -> Order | Refusal:
        """Takes an order, and fills it at once when the price allows; a Refusal says why not."""
        ticket = rules.without_idle_prices(ticket)
        listing = self.market.find(ticket.exchange, ticket.symbol)
        refused = rules.refuse_listing(ticket, listing)
        if refused or listing is None:
            return refused or Refusal(f"Symbol {ticket.symbol} not found on {ticket.exchange}")
        refused = (
            rules.refuse_terms(ticket, listing)
            or rules.refuse_expired(ticket, listing, self.market)
            or rules.refuse_after_square_off(ticket, self.account, self.market)
            or rules.refuse_without_price(ticket, listing, self.market)
        )
        if refused:
            return refused
        refused = rules.refuse_delivery(ticket, self.account)
        if refused:
            return self._record_refused(ticket, refused)
        opening, required = rules.margin_of(ticket, listing, self.account, self.market)
        refused = rules.refuse_funds(required, self.account.available) if required else None
        if refused:
            return refused
        order = self._take(ticket, listing, opening, required)
        self.save()
        return order

    def modify(self, order_id: str, ticket: Ticket) -> Order | Refusal:
        """Changes quantity, price and trigger; blocks anew and matches at once."""
        order = self._find(order_id, "modify")
        if isinstance(order, Refusal):
            return order
        listing = self.market.source.index.get(order.exchange, order.symbol)
        wanted = self._ticket_of(order, ticket)
        refused = rules.refuse_terms(wanted, listing)
        if refused:
            return refused
        opening, required = rules.margin_of(
            wanted, listing, self.account, self.market, besides=order_id
        )
        free = self.account.available + order.blocked
        refused = rules.refuse_funds(required, free) if required > order.blocked else None
        if refused:
            return refused
        order.quantity, order.price = wanted.quantity, wanted.price
        order.trigger_price = wanted.trigger_price
        order.opening_quantity, order.blocked = opening, required
        self.account.touch(order, self.market.now_ns())
        self._match_at_market(order, listing)
        self.save()
        return order

    def cancel(self, order_id: str) -> Order | Refusal:
        """Takes a working order out of the book."""
        order = self._find(order_id, "cancel")
        if isinstance(order, Refusal):
            return order
        self._end(order, CANCELLED)
        self.save()
        return order

    def close_position(self, strategy: str, key: tuple[str, str, str]) -> Order | Refusal:
        """A market order against the whole position."""
        exchange, symbol, product = key
        held = self.account.position(*key).quantity
        action = "SELL" if held > 0 else "BUY"
        return self.place(Ticket(strategy, exchange, symbol, action, abs(held), product=product))

    # -- what the market does

    @property
    def resting_listings(self) -> set[int]:
        """Listings whose ticks may fill an order."""
        return set(self._resting)

    def on_ticks(self, ticks: np.ndarray) -> None:
        """Matches resting orders against ticks (TICK_DTYPE, in time order)."""
        if not self._resting:
            return
        wanted = np.fromiter(self._resting, dtype=np.uint32, count=len(self._resting))
        rows = ticks[np.isin(ticks["listing"], wanted)]
        for row in rows:
            listing = self.market.source.index.by_id[int(row["listing"])]
            self._match_resting(listing, self._tick_price(row, listing))
        if len(rows):
            self.save()

    def keep_intervals(self) -> None:
        """What the account's intervals ask for: resting orders are looked at, gains are marked."""
        settings, now_ns = self.account.settings, self.market.now_ns()
        if now_ns - self._checked_ns >= settings.order_check_interval_s * NS_PER_S:
            self._checked_ns = now_ns
            self._look_at_orders()
        every_ns = settings.mtm_update_interval_s * NS_PER_S
        if every_ns and now_ns - self._marked_ns >= every_ns:
            self._marked_ns = now_ns
            held = [row for row in self.account.positions.values() if row.quantity]
            rows = [*held, *self.account.holdings.values()]
            self._marks = {
                (row.exchange, row.symbol): self._last_price(row.exchange, row.symbol)
                for row in rows
            }

    def mark(self, exchange: str, symbol: str) -> Decimal:
        """The price at which gains are told, 0 when there is none."""
        marked = self._marks.get((exchange, symbol))
        return self._last_price(exchange, symbol) if marked is None else marked

    def end(self, order: Order, status: str, reason: str = "") -> None:
        """Ends a working order for a reason of the exchange's own; the caller saves."""
        order.rejection = reason
        self._end(order, status)

    def fill_at(self, ticket: Ticket, price: Decimal) -> Order:
        """An order of the exchange's own (square-off, settlement); the caller saves."""
        order = self.account.record(ticket, OPEN, self.market.now_ns())
        self._fill(order, price)
        return order

    def forget_before(self, at_ns: int) -> None:
        """Removes the ended orders and trades of earlier days from the file."""
        self._store.forget_orders(at_ns)

    def save(self) -> None:
        """Writes what changed."""
        if self.account.changes:
            self._store.save(self.account)

    def reset(self) -> None:
        """Clears the books and restores the capital."""
        self.account.clear(self.market.now_ns())
        self._resting.clear()
        self._marks.clear()
        self._store.clear(self.account)

    def close(self) -> None:
        """Writes what changed and lets go of the file."""
        self.save()
        self._store.close()

    # -- inner steps

    def _find(self, order_id: str, verb: str) -> Order | Refusal:
        order = self.account.orders.get(order_id)
        if order is None:
            return Refusal(f"Order {order_id} not found", 404)
        if not order.is_working:
            return Refusal(f"Cannot {verb} order in {order.status} status")
        return order

    @staticmethod
    def _ticket_of(order: Order, wanted: Ticket) -> Ticket:
        """The order's own terms with the wanted quantity and prices."""
        return rules.without_idle_prices(
            replace(
                wanted,
                strategy=order.strategy,
                exchange=order.exchange,
                symbol=order.symbol,
                action=order.action,
                price_type=order.price_type,
                product=order.product,
            )
        )

    def _record_refused(self, ticket: Ticket, refused: Refusal) -> Refusal:
        order = self.account.record(ticket, OPEN, self.market.now_ns())
        self.end(order, REJECTED, refused.message)
        self.save()
        return replace(refused, order_id=order.order_id)

    def _take(self, ticket: Ticket, listing: Listing, opening: int, required: Decimal) -> Order:
        starts = TRIGGER_PENDING if ticket.price_type in rules.NEEDS_TRIGGER else OPEN
        order = self.account.record(ticket, starts, self.market.now_ns())
        order.opening_quantity, order.blocked = opening, required
        if ticket.price_type == "MARKET":
            quote = self.market.quote(listing)
            order.price = as_decimal(quote.ltp) if quote else ZERO
        self._match_at_market(order, listing)
        return order

    def _match_at_market(self, order: Order, listing: Listing) -> None:
        price = self.market.price(listing)
        at_once = order.price_type == "MARKET"
        if price and price.is_believable() and (at_once or price.is_fresh(self.market.now_ns())):
            if not self.strikes("late_fill"):
                self._apply(order, price)
        if order.is_working:
            self._rest(order)

    def _match_resting(self, listing: Listing, price: MarketPrice) -> None:
        if not price.is_believable() or not price.is_fresh(self.market.now_ns()):
            return
        for order in list(self._resting.get(listing.listing_id, {}).values()):
            self._apply(order, price)

    def _look_at_orders(self) -> None:
        for listing_id in list(self._resting):
            listing = self.market.source.index.by_id[listing_id]
            price = self.market.price(listing)
            if price:
                self._match_resting(listing, price)
        self.save()

    def _last_price(self, exchange: str, symbol: str) -> Decimal:
        listing = self.market.find(exchange, symbol)
        quote = self.market.quote(listing) if listing else None
        return as_decimal(quote.ltp) if quote else ZERO

    def _tick_price(self, row: np.void, listing: Listing) -> MarketPrice:
        quote = self.market.quote(listing)
        ltp, bid, ask = (as_decimal(row[name]) for name in ("ltp", "bid", "ask"))
        high, low = (as_decimal(quote.high), as_decimal(quote.low)) if quote else (ZERO, ZERO)
        return MarketPrice(ltp, bid, ask, high=high, low=low, at_ns=int(row["ts_ns"]))

    def _apply(self, order: Order, price: MarketPrice) -> None:
        found = match(order, price)
        if found.status == COMPLETE:
            order.triggered = order.price_type in rules.NEEDS_TRIGGER
            self._fill(order, found.price)
        elif found.status == OPEN and order.status == TRIGGER_PENDING:
            order.triggered, order.status = True, OPEN
            self.account.touch(order, self.market.now_ns())
            self._tell(order)

    def _fill(self, order: Order, price: Decimal) -> None:
        refused = self._block_the_rest(order, price)
        if refused:
            self.end(order, REJECTED, refused.message)
            return
        self._marks.pop((order.exchange, order.symbol), None)
        self.account.fill(order, price, self.market.now_ns(), self._part_of(order))
        if not order.is_working:
            self._unrest(order)
        self._tell(order)

    def _part_of(self, order: Order) -> int:
        """Units that fill now: all that is left, or half of it where a fault asks for that."""
        listing = self.market.source.index.get(order.exchange, order.symbol)
        lot = listing.lot_size if listing else 1
        half = order.pending_quantity // 2 // lot * lot
        return half if half and self.strikes("partial_fill") else order.pending_quantity

    def _block_the_rest(self, order: Order, price: Decimal) -> Refusal | None:
        """Blocks what the order opens beyond what it blocked when it was placed.

        The position it was to close may be gone.
        """
        held = self.account.position(order.exchange, order.symbol, order.product).quantity
        units = order.pending_quantity
        closes = min(units, abs(held)) if held * order.signed_quantity < 0 else 0
        missing = units - closes - order.opening_quantity
        ticket = Ticket(
            order.strategy, order.exchange, order.symbol, order.action, order.quantity,
            order.price_type, order.product,
        )  # fmt: skip
        if missing <= 0 or not blocks_margin(ticket):
            return None
        listing = self.market.source.index.get(order.exchange, order.symbol)
        divisor = leverage(listing, ticket, self.account.settings)
        extra = required_margin(missing, price, divisor)
        refused = rules.refuse_funds(extra, self.account.available)
        if refused is None:
            order.blocked += extra
            order.opening_quantity += missing
        return refused

    def _end(self, order: Order, status: str) -> None:
        self._unrest(order)
        self.account.end(order, status, self.market.now_ns())
        self._tell(order)

    def _rest(self, order: Order) -> None:
        listing = self.market.find(order.exchange, order.symbol)
        if listing:
            self._resting.setdefault(listing.listing_id, {})[order.order_id] = order

    def _unrest(self, order: Order) -> None:
        listing = self.market.find(order.exchange, order.symbol)
        rows = self._resting.get(listing.listing_id, {}) if listing else {}
        rows.pop(order.order_id, None)
        if listing and not rows:
            self._resting.pop(listing.listing_id, None)

    def _tell(self, order: Order) -> None:
        for listener in self.listeners:
            listener(order)
