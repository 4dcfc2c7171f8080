"""The order at a broker: its states, who may follow whom, and its unique key (`tables.md` 2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from domain.brokers import OrderRequest
from domain.errors import IllegalTransition
from domain.intents import ResolvedStructure
from domain.prices import to_price


class OrderStatus(StrEnum):
    """States of a row of `orders`."""

    WAITING = "WAITING"
    SENDING = "SENDING"
    SENT = "SENT"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER_PENDING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    REJECTED_RISK = "REJECTED_RISK"
    EXPIRED = "EXPIRED"


class CommandStatus(StrEnum):
    """States of a row of `commands` (`tomic.md` 9.1)."""

    PENDING = "PENDING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    PROCESSING = "PROCESSING"
    UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
    DONE = "DONE"
    FAILED = "FAILED"
    DEAD_LETTER = "DEAD_LETTER"


_S, _C = OrderStatus, CommandStatus
TERMINAL = frozenset(
    {_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.FAILED, _S.REJECTED_RISK, _S.EXPIRED}
)
WORKING = frozenset({_S.SENT, _S.OPEN, _S.TRIGGER_PENDING, _S.PARTIALLY_FILLED})
_AT_BROKER = WORKING | {_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.EXPIRED}

_NEXT: dict[OrderStatus, frozenset[OrderStatus]] = {
    _S.WAITING: frozenset({_S.SENDING, _S.REJECTED_RISK, _S.FAILED, _S.CANCELLED}),
    # Back to WAITING only when it is proven that nothing was sent.
    _S.SENDING: frozenset(_AT_BROKER | {_S.WAITING, _S.FAILED}),
    _S.SENT: frozenset(_AT_BROKER | {_S.FAILED}),
    _S.OPEN: frozenset(_AT_BROKER),
    _S.TRIGGER_PENDING: frozenset(_AT_BROKER),
    _S.PARTIALLY_FILLED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.EXPIRED}),
}

FROM_BROKER = {
    "open": _S.OPEN,
    "trigger pending": _S.TRIGGER_PENDING,
    "complete": _S.FILLED,
    "cancelled": _S.CANCELLED,
    "rejected": _S.REJECTED,
    "expired": _S.EXPIRED,
}

_COMMAND_NEXT: dict[CommandStatus, frozenset[CommandStatus]] = {
    _C.PENDING: frozenset({_C.PROCESSING, _C.AWAITING_APPROVAL, _C.FAILED}),
    _C.AWAITING_APPROVAL: frozenset({_C.PENDING, _C.FAILED}),
    _C.PROCESSING: frozenset({_C.DONE, _C.FAILED, _C.PENDING, _C.UNKNOWN_OUTCOME, _C.DEAD_LETTER}),
    _C.UNKNOWN_OUTCOME: frozenset({_C.PROCESSING, _C.DONE, _C.FAILED, _C.DEAD_LETTER}),
    _C.DEAD_LETTER: frozenset({_C.PENDING}),
}


def check_transition(current: OrderStatus, following: OrderStatus) -> None:
    """Raises IllegalTransition unless an order may go from `current` to `following` (or stay)."""
    if following != current and following not in _NEXT.get(current, frozenset()):
        raise IllegalTransition(f"order cannot go from {current} to {following}")


def check_command_transition(current: CommandStatus, following: CommandStatus) -> None:
    """Raises IllegalTransition unless a command may go from `current` to `following` (or stay)."""
    if following != current and following not in _COMMAND_NEXT.get(current, frozenset()):
        raise IllegalTransition(f"command cannot go from {current} to {following}")


def order_key(idempotency_key: str, leg: int, action: str, attempt: int = 0, piece: int = 0) -> str:
    """The one key of a leg and an action: `{command's key}:{leg}:{action}[:a{attempt}][:s{slice}]`.

    A protective exit that never arrived goes again under a new attempt; freeze slices are pieces.
    """
    key = f"{idempotency_key}:{leg}:{action}"
    if attempt:
        key += f":a{attempt}"
    return f"{key}:s{piece}" if piece else key


@dataclass(frozen=True, slots=True)
class Fill:
    """One increase of an order's filled quantity, as a row of `fills`. Price per unit, rupees."""

    fill_id: int
    client_order_id: str
    strategy_id: str
    leg_no: int
    exchange: str
    symbol: str
    product: str
    action: str
    quantity: int
    price: Decimal
    at_ns: int


class Purpose(StrEnum):
    """Why an order exists. A CORRECTION was never ours to send: it books what the broker shows."""

    ENTRY = "ENTRY"
    STOP = "STOP"
    UNWIND = "UNWIND"
    CLOSE = "CLOSE"
    CORRECTION = "CORRECTION"


# Kind of error of an order whose time of sending is not known any more: no likeness proves it.
CLOCK_SET_BACK = "clock_set_back"
ENTRY_COMMAND, CLOSE_COMMAND = "ORDER_REQUEST", "CLOSE_REQUEST"
# Why a trade is over, one word each (`tomic.md` 9.5, and a guard that lost its feed, 8.10).
EXIT_WORDS = frozenset(
    {
        "tp_hit", "sl_hit", "trail_hit", "time_exit", "delta_cut", "unhedged_cut", "kill",
        "manual", "external", "feed_lost",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A row of `commands` (`tomic.md` 9.1); `command_id` 0 before it is recorded, time 0 is never.

    `leg_no` is -1 for the whole structure, else the one leg a close is about. With `valid_until_ns`
    0 it never expires. `told` is set when its end has been announced, `closed_ns` when its
    structure's has. `cleared_by` is the id of the gate's OrderCleared under which its orders went
    out, empty for a close.
    """

    event_type: str
    idempotency_key: str
    correlation_id: str
    strategy_id: str
    strategy_tag: str
    underlying: str
    broker_name: str
    source_agent: str
    payload: str
    created_ns: int
    command_id: int = 0
    status: CommandStatus = CommandStatus.PENDING
    attempt_count: int = 0
    last_error: str = ""
    error_code: str = ""
    next_retry_ns: int = 0
    owner_token: str = ""
    lease_expires_ns: int = 0
    processed_ns: int = 0
    priority: int = 0
    valid_until_ns: int = 0
    cleared_ns: int = 0
    approved_by: str = ""
    abort_requested: bool = False
    leg_no: int = -1
    reason: str = ""
    told: bool = False
    closed_ns: int = 0
    cleared_by: str = ""

    @property
    def is_exit(self) -> bool:
        """True for a close: it never expires and is refused by nobody."""
        return self.event_type == CLOSE_COMMAND


@dataclass(frozen=True, slots=True)
class OrderRow:
    """A row of `orders` (`multi_account.md` 4.1): one order at one broker, quantities in units.

    `price` is 0 with MARKET; `decision_price` is what the leg was worth when it was decided, 0 when
    unknown: slippage is measured from it. Times 0 mean never; `cancel_ns` is when a cancel was last
    asked for.
    """

    client_order_id: str
    command_id: int
    strategy_id: str
    strategy_tag: str
    leg_no: int
    purpose: Purpose
    broker_name: str
    exchange: str
    symbol: str
    action: str
    quantity: int
    product: str
    tag: str
    created_ns: int
    attempt: int = 0
    piece: int = 0
    listing_id: int = 0
    underlying: str = ""
    strategy: str = ""
    kind: str = ""
    strike: Decimal = Decimal(0)
    expiry: date | None = None
    lot_size: int = 1
    tick_size: Decimal = Decimal("0.05")
    freeze_quantity: int = 0
    naked_approved: bool = False
    is_exit: bool = False
    price_type: str = "MARKET"
    price: Decimal = Decimal(0)
    trigger_price: Decimal = Decimal(0)
    decision_price: Decimal = Decimal(0)
    status: OrderStatus = OrderStatus.WAITING
    broker_order_id: str = ""
    filled_quantity: int = 0
    average_price: Decimal = Decimal(0)
    needs_reconcile: bool = False
    sends: int = 0
    error_kind: str = ""
    error_message: str = ""
    sent_ns: int = 0
    cancel_ns: int = 0
    updated_ns: int = 0

    @property
    def is_final(self) -> bool:
        """True when this row will never change its status again."""
        return self.status in TERMINAL

    @property
    def is_working(self) -> bool:
        """True while it can fill at the broker."""
        return self.status in WORKING

    @property
    def signed_filled(self) -> int:
        """Filled units, negative for a sale."""
        return self.filled_quantity if self.action == "BUY" else -self.filled_quantity


def lot_orders(structure: ResolvedStructure, tag: str, product: str) -> tuple[OrderRequest, ...]:
    """One lot of every leg at its mid: what the broker is asked the margin of."""
    return tuple(
        OrderRequest(
            client_order_id="",
            tag=tag,
            exchange=leg.exchange,
            symbol=leg.symbol,
            action=leg.direction,
            quantity=leg.lot_size * leg.ratio,
            price_type="LIMIT",
            product=product,
            price=to_price(leg.mid, leg.tick_size),
            underlying=structure.underlying,
        )
        for leg in structure.legs
    )
