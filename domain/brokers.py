"""What a broker may be able to do, and where one is reached.

Code asks for capabilities, never for names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

FEED_KEY = "feed:"  # before a broker's name: the key of its feed, beside that of its orders


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one broker's adapter can do; a row per broker stands in adapters.catalogue."""

    carries_our_key: bool = False
    multi_leg_order: bool = False
    option_stop_market: bool = False
    native_gtt: bool = False
    order_stream: bool = False
    margin_query: bool = False
    symbols_per_socket: int = 1000
    sockets: int = 64  # market data sockets a user may hold at once
    orders_per_s: float = 8.0
    reads_per_s: float = 40.0


@dataclass(frozen=True, slots=True)
class BrokerEndpoint:
    """Where a broker is reached in one of its roles: at first its row of the `brokers:` block
    (`multibroker.md` 2). Its key never travels."""

    name: str
    rest_url: str
    websocket_url: str
    feed: bool
    executes: bool
    label: str
    adapter: str = "openalgo"
    feed_adapter: str = ""  # of its market data socket, where that speaks another protocol
    sandbox: bool = False  # served by the embedded exchange of this very tree


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order as a broker is asked for it; price 0 means none. Quantity in units."""

    client_order_id: str
    tag: str
    exchange: str
    symbol: str
    action: str
    quantity: int
    price_type: str
    product: str
    price: Decimal = Decimal(0)
    trigger_price: Decimal = Decimal(0)
    underlying: str = ""
    underlying_exchange: str = ""


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """One row of a broker's order book, in our words.

    `status`: open, trigger pending, complete, rejected, cancelled, expired (lower case).
    `ordered_at_ns` is 0 when the broker's time could not be read; `tag` is its strategy field.
    """

    order_id: str
    exchange: str
    symbol: str
    action: str
    quantity: int
    price_type: str
    product: str
    price: Decimal
    trigger_price: Decimal
    status: str
    filled_quantity: int
    average_price: Decimal
    rejection: str
    tag: str
    ordered_at_ns: int

    @property
    def is_final(self) -> bool:
        """True when the broker will never change this row again."""
        return self.status in ("complete", "rejected", "cancelled", "expired")


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """One row of a broker's position book; `quantity` is signed, in units."""

    exchange: str
    symbol: str
    product: str
    quantity: int
    average_price: Decimal
    last_price: Decimal
    realized: Decimal


@dataclass(frozen=True, slots=True)
class Funds:
    """Money at a broker, rupees."""

    available: Decimal
    used_margin: Decimal
    realized: Decimal
    unrealized: Decimal


@dataclass(frozen=True, slots=True)
class MarginQuote:
    """What a broker would block for a set of orders, rupees."""

    total: Decimal


@dataclass(frozen=True, slots=True)
class HistoryBar:
    """One candle as a broker's history gives it; times are the candle's start."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    open_interest: int = 0


REQUEST_TIMEOUT = timedelta(seconds=10)
