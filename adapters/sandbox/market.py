"""Market: what all instances share: listings, prices, the clock and the hours.

Prices agree across instances because there is one source; books do not, each exchange has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from adapters.sandbox.clocks import MarketClock
from adapters.sandbox.hours import (
    DEFAULT_EXPIRY_CUT_OFF,
    EXPIRY_CUT_OFF,
    HOME_EXCHANGE,
    SESSION_ROLLS_AT_HOUR,
)
from adapters.sandbox.matching import MarketPrice, as_decimal
from domain.calendar import ExchangeCalendar
from domain.clock import EXCHANGE_ZONE, epoch_ns, exchange_time
from domain.instruments import Listing

if TYPE_CHECKING:
    from adapters.sandbox.price_source import PriceSource, Quote


class Market:
    """One price source under one clock."""

    def __init__(
        self,
        source: PriceSource,
        clock: MarketClock,
        calendars: Mapping[str, ExchangeCalendar],
        *,
        always_open: bool,
    ) -> None:
        self.source = source
        self.clock = clock
        self.calendars = calendars
        self.always_open = always_open
        self._segments = sorted(
            {HOME_EXCHANGE.get(row.exchange, row.exchange) for row in source.index.by_id.values()}
        )

    def now_ns(self) -> int:
        """The exchange's time."""
        return self.clock.now_ns()

    def now(self) -> datetime:
        """The exchange's wall time."""
        return exchange_time(self.now_ns())

    def session_day(self) -> date:
        """The day the books belong to: it rolls at 03:00 (`openalgo.md` 4)."""
        return (self.now() - timedelta(hours=SESSION_ROLLS_AT_HOUR)).date()

    def find(self, exchange: str, symbol: str) -> Listing | None:
        """The listing of that exchange and symbol, or None."""
        return self.source.index.find(exchange, symbol)

    def quote(self, listing: Listing) -> Quote | None:
        """The source's quote, or None while it has none."""
        quote = self.source.quote(listing.listing_id)
        return quote if quote is not None and quote.ltp > 0 else None

    def price(self, listing: Listing) -> MarketPrice | None:
        """The quote as matching reads it."""
        quote = self.quote(listing)
        if quote is None:
            return None
        ltp, bid, ask = (as_decimal(number) for number in (quote.ltp, quote.bid, quote.ask))
        high, low = as_decimal(quote.high), as_decimal(quote.low)
        return MarketPrice(ltp, bid, ask, high=high, low=low, at_ns=quote.ts_ns)

    def calendar(self, exchange: str) -> ExchangeCalendar:
        """The calendar of a segment; an index trades as its home exchange does."""
        return self.calendars[HOME_EXCHANGE.get(exchange, exchange)]

    def is_trading(self) -> bool:
        """True while a segment that lists something trades, or always when always open."""
        now_ns = self.now_ns()
        return self.always_open or any(
            self.calendars[name].is_open(now_ns) for name in self._segments
        )

    def expires_ns(self, listing: Listing) -> int | None:
        """When a contract stops trading, as option mathematics and `expiry_ts` use it."""
        if listing.expiry is None:
            return None
        return epoch_ns(datetime.combine(listing.expiry, cut_off(listing.exchange), EXCHANGE_ZONE))


def cut_off(exchange: str) -> time:
    """The wall time at which contracts of a segment expire (`openalgo.md` 5, optionchain)."""
    return EXPIRY_CUT_OFF.get(exchange, DEFAULT_EXPIRY_CUT_OFF)
