"""The order at a broker: its states, who may follow whom, and its unique key (`tables.md` 2)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from domain.errors import IllegalTransition


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
TERMINAL = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.FAILED, _S.REJECTED_RISK, _S.EXPIRED})
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
