"""The price of an order: two ticks from the mid towards the touch; a stop at twice the credit.

Quotes come as floats from the chain and become a `Decimal` on the tick here (`tomic.md` 8.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.prices import to_price

TICKS_FROM_MID = 2
SLIPPAGE_TICKS_MAX = 2  # of a short's second price below its first; beyond it, it is cancelled
STOP_AT_CREDIT_TIMES = 2  # a naked short is stopped at twice its credit (`tomic.md` 8.7)
STOP_PROTECTION = Decimal("0.10")  # how far through the trigger the stop's limit stands


@dataclass(frozen=True, slots=True)
class Quote:
    """Bid, ask and last of a listing, rupees a unit; 0 for what is not there."""

    bid: float = 0.0
    ask: float = 0.0
    last: float = 0.0

    @property
    def mid(self) -> float:
        """Between bid and ask where both stand, else the last price; 0 when nothing is known."""
        return (self.bid + self.ask) / 2 if self.bid > 0 and self.ask > 0 else self.last


def limit_price(
    action: str, quote: Quote, tick_size: Decimal, first_price: Decimal | None = None
) -> Decimal:
    """A limit two ticks from the mid towards the touch, never through the touch.

    A sale's second price is the bid, but no more than two ticks below `first_price`. 0 means that
    no limit can be made of this quote: the order goes at MARKET.
    """
    if not (quote.bid > 0 and quote.ask > 0):
        return Decimal(0)
    step = tick_size * TICKS_FROM_MID
    if action == "BUY":
        touch = to_price(quote.ask, tick_size, "up")
        return min(to_price(quote.mid, tick_size, "up") + step, touch)
    touch = to_price(quote.bid, tick_size, "down")
    if first_price:
        return max(touch, first_price - tick_size * SLIPPAGE_TICKS_MAX, tick_size)
    return max(to_price(quote.mid, tick_size, "down") - step, touch, tick_size)


def stop_prices(credit: Decimal, tick_size: Decimal) -> tuple[Decimal, Decimal]:
    """(trigger, limit) of the stop that buys a naked short back; the limit stands beyond."""
    trigger = to_price(credit * STOP_AT_CREDIT_TIMES, tick_size, "up")
    limit = to_price(trigger * (1 + STOP_PROTECTION), tick_size, "up")
    return trigger, max(limit, trigger + tick_size)


def long_stop_prices(paid: Decimal, stop: float, tick_size: Decimal) -> tuple[Decimal, Decimal]:
    """(trigger, limit) of the stop that sells a long option a share of `stop` below what was paid;
    the limit stands beyond, both at a tick at least."""
    trigger = max(to_price(paid * (1 - Decimal(str(stop))), tick_size, "down"), tick_size * 2)
    limit = to_price(trigger * (1 - STOP_PROTECTION), tick_size, "down")
    return trigger, max(min(limit, trigger - tick_size), tick_size)


def slippage_ticks(
    action: str, price: Decimal, decision_price: Decimal, tick_size: Decimal
) -> Decimal:
    """How much worse than decided, in ticks; negative is better, 0 where nothing was decided."""
    if decision_price <= 0 or tick_size <= 0:
        return Decimal(0)
    worse = price - decision_price if action == "BUY" else decision_price - price
    return (worse / tick_size).quantize(Decimal("0.01"))
