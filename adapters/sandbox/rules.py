"""Rules an order must pass before it is taken, in the order they are asked (`openalgo.md` 3.1).

Each is a small function that answers a Refusal or None; none changes anything.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from adapters.sandbox.account import Account
from adapters.sandbox.books import ZERO, Refusal, Ticket
from adapters.sandbox.hours import MIS_RESUMES
from adapters.sandbox.margins import (
    blocks_margin,
    leverage,
    reference_price,
    required_margin,
)
from adapters.sandbox.market import Market
from adapters.sandbox.matching import as_decimal
from domain.clock import exchange_time
from domain.instruments import Kind, Listing

NEEDS_PRICE = ("LIMIT", "SL")
NEEDS_TRIGGER = ("SL", "SL-M")


def without_idle_prices(ticket: Ticket) -> Ticket:
    """The ticket without prices its type does not use (`openalgo.md` 10)."""
    price = ticket.price if ticket.price_type in NEEDS_PRICE else ZERO
    trigger = ticket.trigger_price if ticket.price_type in NEEDS_TRIGGER else ZERO
    return Ticket(
        strategy=ticket.strategy,
        exchange=ticket.exchange,
        symbol=ticket.symbol,
        action=ticket.action,
        quantity=ticket.quantity,
        price_type=ticket.price_type,
        product=ticket.product,
        price=price,
        trigger_price=trigger,
        disclosed_quantity=ticket.disclosed_quantity,
    )


def refuse_listing(ticket: Ticket, listing: Listing | None) -> Refusal | None:
    """Unknown symbols and indices cannot be traded."""
    if listing is None:
        return Refusal(f"Symbol {ticket.symbol} not found on {ticket.exchange}")
    if listing.kind == Kind.INDEX:
        return Refusal(
            f"Symbol {ticket.symbol} on {ticket.exchange} is an index and cannot be traded"
        )
    return None


def refuse_terms(ticket: Ticket, listing: Listing) -> Refusal | None:
    """Prices the type needs, whole lots, and a product the segment knows."""
    kind = ticket.price_type
    if kind in NEEDS_PRICE and ticket.price <= ZERO:
        return Refusal(f"{kind} orders require price")
    if kind in NEEDS_TRIGGER and ticket.trigger_price <= ZERO:
        return Refusal(f"{kind} orders require trigger_price")
    return refuse_lots(ticket.quantity, listing) or _refuse_product(ticket, listing)


def refuse_lots(quantity: int, listing: Listing) -> Refusal | None:
    """Derivatives trade in whole lots."""
    if listing.kind != Kind.EQUITY and quantity % listing.lot_size:
        return Refusal(f"Quantity must be in multiples of lot size {listing.lot_size}")
    return None


def _refuse_product(ticket: Ticket, listing: Listing) -> Refusal | None:
    if listing.kind == Kind.EQUITY and ticket.product == "NRML":
        return Refusal(
            f"NRML product not allowed for {ticket.exchange} equity segment. "
            "Use CNC for delivery or MIS for intraday."
        )
    if listing.kind != Kind.EQUITY and ticket.product == "CNC":
        return Refusal(
            f"CNC product not allowed for {ticket.exchange} derivatives segment. "
            "Use NRML for carryforward or MIS for intraday."
        )
    return None


def refuse_after_square_off(ticket: Ticket, account: Account, market: Market) -> Refusal | None:
    """Intraday orders that open or add wait for the morning; what reduces may always go."""
    if ticket.product != "MIS" or market.always_open or account.opening_quantity(ticket) == 0:
        return None
    calendar = market.calendar(ticket.exchange)
    now = market.now()
    resumes = f"{MIS_RESUMES:%I:%M %p}"
    late = now.time() < MIS_RESUMES
    session = calendar.session((now - timedelta(days=1)).date() if late else now.date())
    if session is None:
        return None
    if not late and market.now_ns() < session.square_off_ns:
        return None
    square_off = exchange_time(session.square_off_ns)
    return Refusal(
        f"MIS orders cannot be placed after square-off time ({square_off:%H:%M} IST). "
        f"Trading resumes at {resumes} IST."
    )


def refuse_expired(ticket: Ticket, listing: Listing, market: Market) -> Refusal | None:
    """A contract cannot be traded after its last day."""
    if listing.expiry is not None and listing.expiry < market.now().date():
        return Refusal(f"Symbol {ticket.symbol} on {ticket.exchange} has expired")
    return None


def refuse_without_price(ticket: Ticket, listing: Listing, market: Market) -> Refusal | None:
    """A market order needs a price."""
    if ticket.price_type == "MARKET" and market.quote(listing) is None:
        return Refusal(
            f"Cannot place MARKET order for {ticket.symbol} - unable to fetch current price. "
            "Please try again later or use LIMIT order with a specific price."
        )
    return None


def refuse_delivery(ticket: Ticket, account: Account) -> Refusal | None:
    """A delivery sell needs the shares: position and holding, less what other sells promise."""
    if ticket.product != "CNC" or ticket.action != "SELL":
        return None
    holding = account.holdings.get((ticket.exchange, ticket.symbol))
    held = holding.quantity if holding else 0
    position = account.position(ticket.exchange, ticket.symbol, "CNC").quantity
    promised = sum(
        row.quantity
        for row in account.working.values()
        if row.product == "CNC"
        and row.action == "SELL"
        and (row.exchange, row.symbol) == (ticket.exchange, ticket.symbol)
    )
    free = position + held - promised
    if free >= ticket.quantity:
        return None
    if position <= 0 and held == 0:
        return Refusal(
            f"Cannot sell {ticket.symbol} in CNC. No positions or holdings available. "
            "CNC (delivery) requires existing shares. Use MIS for intraday short selling."
        )
    return Refusal(
        f"Cannot sell {ticket.quantity} shares of {ticket.symbol} in CNC. "
        f"Only {max(0, free)} shares available (Position: {position}, Holdings: {held})"
    )


def margin_of(
    ticket: Ticket, listing: Listing, account: Account, market: Market, besides: str = ""
) -> tuple[int, Decimal]:
    """Units beyond flat and the rupees they block; (0, 0) when the order blocks nothing."""
    if not blocks_margin(ticket):
        return 0, ZERO
    opening = account.opening_quantity(ticket, besides)
    quote = market.quote(listing)
    reference = reference_price(ticket, as_decimal(quote.ltp) if quote else ZERO)
    divisor = leverage(listing, ticket, account.settings)
    return opening, required_margin(opening, reference, divisor)


def refuse_funds(required: Decimal, available: Decimal) -> Refusal | None:
    """What is blocked must be there."""
    if required <= available:
        return None
    return Refusal(
        f"Insufficient funds. Required: ₹{required:.2f}, Available: ₹{available:.2f}, "
        f"Shortage: ₹{required - available:.2f}"
    )
