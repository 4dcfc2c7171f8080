"""Matching: what a market price does to a working order. Pure (`openalgo.md` 10, fills).

Orders fill whole, at one price, without slippage.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from adapters.sandbox.books import COMPLETE, OPEN, TRIGGER_PENDING, ZERO, Order
from domain.clock import NS_PER_S

STALE_AFTER_NS = 30 * NS_PER_S


@dataclass(frozen=True, slots=True)
class MarketPrice:
    """What orders are matched against; 0 means that number is not known."""

    ltp: Decimal
    bid: Decimal
    ask: Decimal
    high: Decimal
    low: Decimal
    at_ns: int

    def is_believable(self) -> bool:
        """False when there is no last price, or it lies outside the day's own range."""
        if self.ltp <= ZERO:
            return False
        return not (ZERO < self.high < self.ltp or self.low > self.ltp)

    def is_fresh(self, now_ns: int) -> bool:
        """True while it may move a resting order."""
        return now_ns - self.at_ns <= STALE_AFTER_NS


@dataclass(frozen=True, slots=True)
class Match:
    """The status the price puts the order into, and its price when that is `complete`."""

    status: str
    price: Decimal = ZERO


def as_decimal(value: float) -> Decimal:
    """A source's number as Decimal; NaN and numbers below 0 are not known, thus 0."""
    return Decimal(repr(round(float(value), 4))) if value > 0 else ZERO


def match(order: Order, price: MarketPrice) -> Match:
    """What becomes of the order at this price. Call only with a believable price."""
    buys = order.action == "BUY"
    if order.price_type == "MARKET":
        return Match(COMPLETE, (price.ask if buys else price.bid) or price.ltp)
    if order.price_type in ("SL", "SL-M") and not order.triggered:
        reached = price.ltp >= order.trigger_price if buys else price.ltp <= order.trigger_price
        if not reached:
            return Match(TRIGGER_PENDING)
    if order.price_type == "SL-M":
        return Match(COMPLETE, price.ltp)
    within = price.ltp <= order.price if buys else price.ltp >= order.price
    if not within:
        return Match(OPEN)
    return Match(COMPLETE, order.price if order.price_type == "LIMIT" else price.ltp)
