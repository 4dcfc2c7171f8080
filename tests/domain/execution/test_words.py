"""A person's word on an order of unknown fate: what is taken, and what the book contradicts."""

from __future__ import annotations

import pytest

from domain.clock import seconds
from domain.execution.unknowns import order_tag
from domain.execution.words import Book, Word, check_word, is_so_already, status_after_never
from domain.orders import OrderStatus
from tests.kit.order_rows import SENT, order, row

LATE = SENT + seconds(30)
TWINS = [order(), order(order_id="2")]
OURS, NEVER = Word.OURS, Word.NEVER_ARRIVED


def book(*orders, owned=(), started_ns=LATE) -> Book:
    return Book(orders or TWINS, owned, started_ns)


LOST = row(broker_order_id="9", status=OrderStatus.OPEN)


@pytest.mark.parametrize(
    ("ours", "word", "order_id", "read", "code"),
    [
        (row(), OURS, "2", book(), ""),
        (row(), OURS, "2", book(started_ns=SENT), ""),
        (row(), NEVER, "", book(), ""),
        (LOST, NEVER, "", book(), ""),
        (row(), OURS, "1", book(order(price_type="LIMIT"), *TWINS[1:], order(order_id="3")), ""),
        (row(), NEVER, "", book(started_ns=LATE - 1), "TOO_SOON"),
        (row(), OURS, "7", book(), "NOT_IN_BOOK"),
        (row(), OURS, "3", book(*TWINS, order(order_id="3"), owned=("3",)), "TAKEN"),
        (
            row(), OURS, "3",
            book(*TWINS, order(order_id="3", tag=order_tag("TAG", "another"))), "TAKEN",
        ),
        (row(), OURS, "3", book(*TWINS, order(order_id="3", quantity=50)), "UNLIKE"),
        (row(), OURS, "3", book(*TWINS, order(order_id="3", action="SELL")), "UNLIKE"),
        (row(), OURS, "3", book(*TWINS, order(order_id="3", symbol="Y")), "UNLIKE"),
        (row(), OURS, "3", book(*TWINS, order(order_id="3", product="MIS")), "UNLIKE"),
        (LOST, OURS, "2", book(), "ID_KNOWN"),
        (
            row(), NEVER, "",
            book(order(tag=row().tag), order(order_id="2", tag=row().tag)), "TAGGED",
        ),
        (row(), NEVER, "", None, "BOOK_UNREADABLE"),
        (row(), OURS, "1", book(order()), "NOT_WAITING"),
        (row(), NEVER, "", book(order(symbol="Y"), started_ns=LATE - 1), "NOT_WAITING"),
        (row(needs_reconcile=False), NEVER, "", book(), "NOT_WAITING"),
        (row(status=OrderStatus.FILLED, broker_order_id="1"), NEVER, "", book(), "NOT_WAITING"),
    ],
)  # fmt: skip
def test_a_word_is_taken_unless_the_book_contradicts_it(ours, word, order_id, read, code) -> None:
    refusal = check_word(ours, word, order_id, read)
    assert (refusal.code if refusal else "") == code


def test_a_word_said_again_is_known_and_another_word_is_not() -> None:
    adopted = row(broker_order_id="2", status=OrderStatus.FILLED, needs_reconcile=False)
    assert is_so_already(adopted, OURS, "2")
    assert not is_so_already(adopted, OURS, "1")
    assert not is_so_already(adopted, NEVER, "")
    gone = row(status=OrderStatus.FAILED, error_kind="never_arrived", needs_reconcile=False)
    assert is_so_already(gone, NEVER, "")
    assert not is_so_already(gone, OURS, "")


def test_an_order_the_broker_once_took_is_gone_not_failed() -> None:
    assert status_after_never(row()) is OrderStatus.FAILED
    assert status_after_never(LOST) is OrderStatus.CANCELLED
