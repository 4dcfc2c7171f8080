"""A person's word on an order whose fate the machine may not decide (`tomic.md` 8.4).

Two words: this order of the broker is ours, or ours never arrived. A word closes the question and
never sends: an entry that never arrived is over, an exit goes on for what the broker still shows.
A word that the broker's book contradicts is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.brokers import BrokerOrder
from domain.clock import seconds
from domain.execution.unknowns import FOR_A_PERSON, GRACE_S, names_another, resolve
from domain.intents import Refusal
from domain.orders import OrderRow, OrderStatus


class Word(StrEnum):
    """What a person may say of an unknown order."""

    OURS = "OURS"
    NEVER_ARRIVED = "NEVER_ARRIVED"


@dataclass(frozen=True, slots=True)
class Book:
    """A good read of a broker's order book; `owned` are ids that other orders of ours have."""

    orders: Sequence[BrokerOrder]
    owned: Collection[str]
    started_ns: int


def is_so_already(row: OrderRow, word: Word, order_id: str) -> bool:
    """True when the row says what the person says: the same word again changes nothing."""
    if word is Word.OURS:
        return bool(order_id) and row.broker_order_id == order_id
    return row.is_final and row.error_kind == "never_arrived"


def check_word(row: OrderRow, word: Word, order_id: str, book: Book | None) -> Refusal | None:
    """Why a word is not taken; None when it is. `book` is None while it cannot be read.

    `order_id` is the broker's, of the order that is said to be ours.
    """
    if row.is_final or not row.needs_reconcile:
        known = f", as order {row.broker_order_id} of {row.broker_name}" * bool(row.broker_order_id)
        text = f"this order is {row.status}{known}: nobody's word is asked"
        return Refusal("NOT_WAITING", text)
    if book is None:
        text = f"the order book of {row.broker_name} cannot be read: nothing proves a word"
        return Refusal("BOOK_UNREADABLE", text)
    found = resolve(row, book.orders, book.owned, book.started_ns)
    if found.finding not in FOR_A_PERSON:
        return Refusal("NOT_WAITING", f"{row.broker_name} is still asked, no person: it is looked "
                       "for in the order book until it is found or 30 s have passed")  # fmt: skip
    if word is Word.OURS:
        return _check_ours(row, order_id, book)
    return _check_never(row, book)


def status_after_never(row: OrderRow) -> OrderStatus:
    """A row that the broker took once did arrive: it is gone, with what it had filled."""
    return OrderStatus.CANCELLED if row.broker_order_id else OrderStatus.FAILED


def _check_ours(row: OrderRow, order_id: str, book: Book) -> Refusal | None:
    if row.broker_order_id:
        text = f"{row.broker_name} gave this order the id {row.broker_order_id}: it is no other"
        return Refusal("ID_KNOWN", text)
    order = next((one for one in book.orders if one.order_id == order_id), None)
    if order is None:
        text = f"{row.broker_name} has no order {order_id} in its book"
        return Refusal("NOT_IN_BOOK", text)
    if order_id in book.owned or names_another(row, order):
        return Refusal("TAKEN", f"order {order_id} belongs to another order of ours")
    wanted = {"exchange": row.exchange, "symbol": row.symbol, "action": row.action,
              "quantity": row.quantity, "product": row.product}  # fmt: skip
    for name, ours in wanted.items():
        theirs = getattr(order, name)
        if theirs != ours:
            return Refusal("UNLIKE", f"{name} of order {order_id} is {theirs}, of ours {ours}")
    return None


def _check_never(row: OrderRow, book: Book) -> Refusal | None:
    tagged = [one.order_id for one in book.orders if row.tag and one.tag == row.tag]
    if tagged:
        text = f"order {tagged[0]} of {row.broker_name} carries the tag of this order: it arrived"
        return Refusal("TAGGED", text)
    if book.started_ns < row.sent_ns + seconds(GRACE_S):
        text = "an order book may lag: that it never arrived can be said 30 s after it was sent"
        return Refusal("TOO_SOON", f"{text}, and one read later")
    return None
