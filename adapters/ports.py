"""What any broker must offer, in domain words. Every broker's adapter passes one contract suite.

Failures are the classes of domain.errors: NotSent, OutcomeUnknown, RateLimited, BrokerRejected. A
read that fails raises; it never returns an empty book.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

import numpy as np

from domain.brokers import (
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    Funds,
    HistoryBar,
    MarginQuote,
    OrderRequest,
)
from domain.errors import BrokerFailure
from domain.instruments import InstrumentIndex, Listing


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """What became of one order of a placing call: an id, or the failure that says what is known.

    `request` and `answer` are masked JSON texts for the attempts table.
    """

    client_order_id: str
    order_id: str
    failure: BrokerFailure | None
    request: str
    answer: str


class BrokerPort(Protocol):
    """Trading and reading at one broker. Every method blocks; call it through Context.work."""

    capabilities: Capabilities

    def ping(self) -> bool:
        """True when the broker is reached and the key accepted; the answer says analyzer mode or
        not through `is_sandbox`."""

    def is_sandbox(self) -> bool:
        """True only when the host proves that its orders are not real (`tomic.md` 8.9)."""

    def place(self, requests: Sequence[OrderRequest]) -> list[PlacedOrder]:
        """One step of a structure: one multi-leg call where the broker has it and all requests
        share an underlying, else one call each. Never raises for a single order: its failure is in
        its row."""

    def cancel(self, order_id: str, tag: str) -> None:
        """Raises a BrokerFailure when the cancel was refused or its outcome is unknown."""

    def orders(self) -> list[BrokerOrder]:
        """The order book of the session."""

    def positions(self) -> list[BrokerPosition]:
        """The position book; rows of quantity 0 are left out."""

    def funds(self) -> Funds:
        """Money at the broker."""

    def margin(self, requests: Sequence[OrderRequest]) -> MarginQuote:
        """What these orders would block together."""

    def listings(self) -> list[Listing]:
        """The broker's whole instrument master, listing_id 0 (the database issues ids)."""

    def history(self, listing: Listing, interval: str, first: date, last: date) -> list[HistoryBar]:
        """Candles, ascending; interval 1m, 15m or D; both dates inclusive."""

    def close(self) -> None:
        """Ends connections."""


@dataclass(slots=True)
class StreamCounters:
    """What a stream refused or saw, for metrics."""

    frames: int = 0
    ticks: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class FeedStream(Protocol):
    """One market data socket. A thread of its own reads it; the actor polls `take` when
    `descriptor` is readable. Reconnection is the actor's decision, not the stream's."""

    descriptor: int  # readable when `take` has something
    counters: StreamCounters
    index: InstrumentIndex  # names what comes; may be replaced by a newer one

    @property
    def settled(self) -> bool:
        """True when each request is answered, as far as `take` has read, or never will be."""

    def open(self) -> None:
        """Connects and authenticates in the background; the outcome arrives through `take`."""

    def subscribe(self, listings: Sequence[Listing], modes: Sequence[int]) -> None:
        """Adds; needs an authenticated socket."""

    def unsubscribe(self, listings: Sequence[Listing], modes: Sequence[int]) -> None:
        """Removes."""

    def take(self) -> tuple[np.ndarray, list[tuple[str, str]]]:
        """All ticks received since the last call (TICK_DTYPE, possibly empty) and the events in
        order: ("open", ""), ("authenticated", ""), ("subscribed", ""), ("refused", why), ("closed",
        why), ("step", number) in a replay."""

    def close(self) -> None:
        """Closes the socket; safe to call twice."""


StreamFactory = Callable[[Callable[[], int]], FeedStream]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message to a person. Of a failure `reason` says why, without any secret;
    `wait_s` is the pause the server asked for; `lasting` when only a person can change it."""

    delivered: bool
    reason: str = ""
    wait_s: float = 0.0
    lasting: bool = False


class Messenger(Protocol):
    """A way to a person's telephone."""

    def send(self, text: str) -> Delivery:
        """One attempt; blocks for some seconds at most and does not raise."""


class ReplayMarket(Protocol):
    """The sandbox exchange's clock, as the stepper drives it through the control port."""

    def advance(self, to_ns: int) -> dict[str, Any]:
        """Moves the exchange's clock and lets out every row due. Returns {now_ns, next_ns | None,
        ended, step}; `step` counts the moves that let out rows."""

    def status(self) -> dict[str, Any]:
        """What the exchange says of itself, JSON-ready."""

    def close(self) -> None:
        """Ends the connection."""
