"""What became of an order nobody answered for: found in the broker's book, or never arrived.

Never by sending again (`data_pipeline.md` 8, `tomic.md` 8.4): by order id, by our tag, else by
likeness within a window, else by a person; absent only when the grace is over. What a person may
say of it: `domain/execution/words.py`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.brokers import BrokerOrder
from domain.clock import seconds
from domain.intents import Refusal
from domain.orders import CLOCK_SET_BACK, CommandRow, OrderRow

POLLS_S = (1.0, 2.0, 4.0, 8.0, 15.0)
GRACE_S = 30.0
POLL_AGAIN_S = 15.0
LIKE_BEFORE_S = 2.0  # brokers' clocks stamp whole seconds and may be a little behind ours
TAG_CHARACTERS = 8


class Finding(StrEnum):
    """What the book says of an unknown order."""

    FOUND = "FOUND"
    SEVERAL = "SEVERAL"
    LOST = "LOST"  # the broker took it once, and its book does not name it any more
    ABSENT = "ABSENT"
    NOT_YET = "NOT_YET"


FOR_A_PERSON = (Finding.SEVERAL, Finding.LOST)


@dataclass(frozen=True, slots=True)
class Resolution:
    """A finding and, when found, the broker's row; `likely` are those of which it may be one."""

    finding: Finding
    order: BrokerOrder | None = None
    reason: str = ""
    likely: tuple[BrokerOrder, ...] = ()


def order_tag(strategy_tag: str, client_order_id: str) -> str:
    """The strategy's tag and a short hash of the order's key: unique, and the same in every life.

    Base 32 of a hash (`multi_account.md` 4.2): the key itself cut short would make legs look alike.
    """
    digest = hashlib.sha256(client_order_id.encode()).digest()
    return f"{strategy_tag}#{base64.b32encode(digest).decode()[:TAG_CHARACTERS]}"


def next_poll_ns(unknown_since_ns: int, now_ns: int) -> int:
    """When the book is to be read next: 1, 2, 4, 8, 15 s after, then at the end of the grace and
    every 15 s."""
    for after_s in (*POLLS_S, GRACE_S):
        due_ns = unknown_since_ns + seconds(after_s)
        if due_ns > now_ns:
            return due_ns
    passed = (now_ns - unknown_since_ns) // seconds(POLL_AGAIN_S) + 1
    return unknown_since_ns + passed * seconds(POLL_AGAIN_S)


def resolve(
    row: OrderRow,
    book: Sequence[BrokerOrder],
    owned: Collection[str],
    read_started_ns: int,
) -> Resolution:
    """What a successful read of the book, begun at `read_started_ns`, says of an unknown order.

    `owned` are broker ids that other orders of ours have: they are never adopted twice.
    """
    free = [order for order in book if order.order_id not in owned]
    if row.broker_order_id:
        known = [order for order in book if order.order_id == row.broker_order_id]
        if known:
            return Resolution(Finding.FOUND, known[0])
        # It was taken once, so it cannot have never arrived: a person looks.
        return Resolution(Finding.LOST, reason="its id is missing from the broker's book")
    tagged = [order for order in free if row.tag and order.tag == row.tag]
    if len(tagged) == 1:
        return Resolution(Finding.FOUND, tagged[0])
    foreign = [order for order in free if not names_another(row, order)]
    like = tagged or [order for order in foreign if _is_like(row, order)]
    timed = row.error_kind != CLOCK_SET_BACK
    if len(like) == 1 and (tagged or (timed and like[0].ordered_at_ns)):
        return Resolution(Finding.FOUND, like[0])
    if like:
        text = f"{len(like)} order(s) in the book look like it"
        return Resolution(Finding.SEVERAL, reason=text, likely=tuple(like))
    if read_started_ns >= row.sent_ns + seconds(GRACE_S):
        return Resolution(Finding.ABSENT, reason="it is not in the broker's book after the grace")
    return Resolution(Finding.NOT_YET, reason="not in the broker's book yet")


def held_by(row: OrderRow, *, ambiguous: Collection[str], unreadable: Collection[str]) -> str:
    """Which entries wait for an order of unknown fate: those on its `underlying`, at its `broker`,
    or of its `strategy` (`data_pipeline.md` 8, `tomic.md` 16).

    `ambiguous` are keys of orders that wait for a person, `unreadable` the brokers whose book could
    not be read last.
    """
    if row.client_order_id in ambiguous:
        return "underlying"
    return "broker" if row.broker_name in unreadable else "strategy"


def holds_entry(
    entry: CommandRow,
    unknown: Iterable[OrderRow],
    *,
    ambiguous: Collection[str],
    unreadable: Collection[str],
) -> Refusal | None:
    """Why an entry must wait for orders of unknown fate; the sets are those of `held_by`."""
    for row in unknown:
        order = f"{row.action} {row.quantity} {row.symbol} at {row.broker_name}"
        if row.client_order_id in ambiguous and row.underlying == entry.underlying:
            text = f"nobody but a person can say which order in the book is {order}"
            return Refusal("SEVERAL_CANDIDATES", f"{text}; see /tomic/outcomes")
        if row.broker_name == entry.broker_name and row.broker_name in unreadable:
            text = f"the order book cannot be read, and nobody knows whether {order} arrived"
            return Refusal("BOOK_UNREADABLE", text)
        if row.strategy_tag == entry.strategy_tag:
            return Refusal("UNKNOWN_OUTCOME", f"nobody knows yet whether {order} arrived")
    return None


def names_another(row: OrderRow, order: BrokerOrder) -> bool:
    """A full tag of ours that is not this order's belongs to another order of ours."""
    _, mark, rest = order.tag.rpartition("#")
    return bool(mark) and len(rest) == TAG_CHARACTERS and order.tag != row.tag


def _is_like(row: OrderRow, order: BrokerOrder) -> bool:
    same = (
        order.exchange == row.exchange
        and order.symbol == row.symbol
        and order.action == row.action
        and order.quantity == row.quantity
        and order.product == row.product
        and order.price_type == row.price_type
        and order.price == row.price
        and order.trigger_price == row.trigger_price
    )
    # A time the broker did not give proves nothing either way: a person decides.
    untimed = order.ordered_at_ns == 0 or row.error_kind == CLOCK_SET_BACK
    in_time = untimed or order.ordered_at_ns >= row.sent_ns - seconds(LIKE_BEFORE_S)
    return same and in_time
