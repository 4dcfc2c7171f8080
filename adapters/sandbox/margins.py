"""Margin: what an order blocks. Pure; the rule is quantity x reference price / leverage."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

from adapters.sandbox.account_settings import AccountSettings
from adapters.sandbox.books import ZERO, Ticket
from domain.instruments import OPTION_KINDS, Kind, Listing

PAISA = Decimal("0.01")


def reference_price(ticket: Ticket, last_price: Decimal) -> Decimal:
    """MARKET: the last price; LIMIT and SL: the price; SL-M: the trigger (`openalgo.md` 10)."""
    if ticket.price_type == "MARKET":
        return last_price
    return ticket.trigger_price if ticket.price_type == "SL-M" else ticket.price


def leverage(listing: Listing, ticket: Ticket, settings: AccountSettings) -> Decimal:
    """The divisor of the order's segment: equity by product, options by side."""
    if listing.kind in OPTION_KINDS:
        buys = ticket.action == "BUY"
        return settings.option_buy_leverage if buys else settings.option_sell_leverage
    if listing.kind == Kind.FUTURE:
        return settings.futures_leverage
    delivery = ticket.product == "CNC"
    return settings.equity_cnc_leverage if delivery else settings.equity_mis_leverage


def blocks_margin(ticket: Ticket) -> bool:
    """False only for a delivery sell: it hands over shares, it borrows nothing."""
    return not (ticket.product == "CNC" and ticket.action == "SELL")


def required_margin(quantity: int, price: Decimal, divisor: Decimal) -> Decimal:
    """Rupees blocked for `quantity` units beyond flat, rounded up to the paisa."""
    if quantity <= 0:
        return ZERO
    return (quantity * price / divisor).quantize(PAISA, rounding=ROUND_UP)
