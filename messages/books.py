"""What brokers' books say: orders, positions, funds, margins, sessions, and how ours compare."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.brokers import BrokerOrder, BrokerPosition, OrderRequest
from domain.readings import MarginState
from messages.base import Message, Overflow


@dataclass(frozen=True, kw_only=True)
class ReadOrders(Message):
    """To account_sync: read the broker's order book now (a leg is in flight, or an outcome is
    unknown).
    """

    OVERFLOW = Overflow.NEWEST_WINS
    reason: str
    in_flight: bool


@dataclass(frozen=True, kw_only=True)
class BrokerOrdersRead(Message):
    """The broker's order book as read. `ok` False means unknown, never empty."""

    FACT = False
    broker: str
    ok: bool
    orders: tuple[BrokerOrder, ...]
    reason: str = ""
    started_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class ReadPositions(Message):
    """To account_sync: read the broker's position book now."""

    OVERFLOW = Overflow.NEWEST_WINS
    reason: str


@dataclass(frozen=True, kw_only=True)
class BrokerPositionsRead(Message):
    """The broker's position book as read. `ok` False means unknown, never empty."""

    FACT = False
    broker: str
    ok: bool
    positions: tuple[BrokerPosition, ...]
    reason: str = ""
    started_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class MarginRead(Message):
    """Funds of the execution broker."""

    OVERFLOW = Overflow.NEWEST_WINS
    margin: MarginState


@dataclass(frozen=True, kw_only=True)
class QuoteMargin(Message):
    """To account_sync: what would these orders block? Answered to `reply_to`."""

    request: str
    orders: tuple[OrderRequest, ...]
    reply_to: str


@dataclass(frozen=True, kw_only=True)
class MarginQuoted(Message):
    """Margin of a set of orders, rupees; None when the broker did not say."""

    request: str
    total: Decimal | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class BrokerConnectionChanged(Message):
    """A broker session's state: connected, unreachable, refused; and whether it is proven a
    sandbox.
    """

    broker: str
    state: str
    reason: str
    sandbox_proven: bool
    proven_ns: int


@dataclass(frozen=True, kw_only=True)
class ReconciliationDone(Message):
    """One pass over one broker. `clean` opens the gate after a start; `unexplained` blocks its
    symbols. The broker was asked at `started_ns`.
    """

    broker: str
    clean: bool
    reason: str
    unexplained: tuple[str, ...]
    started_ns: int
    unmanaged: tuple[BrokerPosition, ...] = ()
