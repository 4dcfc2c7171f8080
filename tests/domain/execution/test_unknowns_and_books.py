"""Unknown fates, outcomes of placing, a broker's order book, and the comparison of positions."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.brokers import BrokerPosition
from domain.clock import seconds
from domain.errors import (
    BrokerRejected,
    NotAuthenticated,
    NotSent,
    OutcomeUnknown,
    RateLimited,
)
from domain.execution.book import change_of
from domain.execution.outcomes import outcome_of
from domain.execution.pricing import Quote, limit_price, slippage_ticks, stop_prices
from domain.execution.reconciliation import (
    DifferenceKind,
    compare,
    corrections,
    is_confirmed,
    sightings,
)
from domain.execution.unknowns import Finding, next_poll_ns, order_tag, resolve
from domain.instruments import Kind
from domain.orders import Fill, OrderStatus
from domain.positions import Position, fold
from tests.kit.order_rows import SENT, order, row

TICK = Decimal("0.05")
LATE = SENT + seconds(30)


@pytest.mark.parametrize(
    ("book", "owned", "started_ns", "finding"),
    [
        ([], (), SENT + seconds(29), Finding.NOT_YET),
        ([], (), LATE, Finding.ABSENT),
        ([order()], (), SENT, Finding.FOUND),
        ([order()], ("1",), LATE, Finding.ABSENT),
        ([order(), order(order_id="2")], (), LATE, Finding.SEVERAL),
        ([order(ordered_at_ns=SENT - seconds(2))], (), SENT, Finding.FOUND),
        ([order(ordered_at_ns=SENT - seconds(2.5))], (), LATE, Finding.ABSENT),
        ([order(ordered_at_ns=0)], (), LATE, Finding.SEVERAL),
        ([order(action="SELL")], (), LATE, Finding.ABSENT),
        ([order(quantity=50)], (), LATE, Finding.ABSENT),
        ([order(product="MIS")], (), LATE, Finding.ABSENT),
        ([order(price_type="LIMIT")], (), LATE, Finding.ABSENT),
        ([order(tag=order_tag("TAG", "another"))], (), LATE, Finding.ABSENT),
        ([order(tag=row().tag, ordered_at_ns=0)], (), SENT, Finding.FOUND),
        ([order(tag=row().tag), order(order_id="2")], (), SENT, Finding.FOUND),
    ],
)
def test_an_unknown_order_is_found_absent_or_left_to_a_person(
    book, owned, started_ns, finding
) -> None:
    assert resolve(row(), book, owned, started_ns).finding is finding


def test_an_order_that_once_had_an_id_never_becomes_absent() -> None:
    assert resolve(row(broker_order_id="9"), [], (), LATE * 2).finding is Finding.LOST


def test_the_book_is_polled_at_one_two_four_eight_fifteen_and_thirty_seconds() -> None:
    polls, now_ns = [], SENT
    for _ in range(8):
        now_ns = next_poll_ns(SENT, now_ns)
        polls.append((now_ns - SENT) / 1e9)
    assert polls == [1, 2, 4, 8, 15, 30, 45, 60]


def test_two_legs_never_share_a_tag() -> None:
    keys = [f"s:entry:{leg}:{side}:a{n}" for leg in range(6) for side in "BS" for n in range(40)]
    assert len({order_tag("T", key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("failure", "sends", "status", "kind", "again_s"),
    [
        (NotSent("x"), 1, OrderStatus.WAITING, "not_sent", 2.0),
        (NotSent("x"), 3, OrderStatus.FAILED, "not_sent", 0.0),
        (RateLimited("x"), 4, OrderStatus.WAITING, "broker_rate_limit", 1.0),
        (RateLimited("x"), 5, OrderStatus.FAILED, "broker_rate_limit", 0.0),
        (BrokerRejected("x"), 1, OrderStatus.FAILED, "broker_reject", 0.0),
        (NotAuthenticated("x"), 1, OrderStatus.FAILED, "broker_reject", 0.0),
        (OutcomeUnknown("x"), 1, OrderStatus.SENDING, "network_timeout", 0.0),
        (None, 1, OrderStatus.SENDING, "network_timeout", 0.0),
    ],
)
def test_each_class_of_failure_has_one_meaning(failure, sends, status, kind, again_s) -> None:
    outcome = outcome_of("k", "", failure, sends=sends)
    assert (outcome.answer.status, outcome.answer.error_kind) == (status, kind)
    assert outcome.again_after_s == again_s
    assert outcome.answer.needs_reconcile is (status is OrderStatus.SENDING)


SENT_ROW = row(status=OrderStatus.SENT, needs_reconcile=False, broker_order_id="1")


@pytest.mark.parametrize(
    ("before", "now", "status", "filled", "increase"),
    [
        (SENT_ROW, order(), OrderStatus.OPEN, 0, 0),
        (SENT_ROW, order(filled_quantity=40), OrderStatus.PARTIALLY_FILLED, 40, 40),
        (SENT_ROW, order(status="complete", filled_quantity=100), OrderStatus.FILLED, 100, 100),
        (SENT_ROW, order(status="complete"), OrderStatus.FILLED, 100, 100),
        (
            replace(SENT_ROW, filled_quantity=40, status=OrderStatus.PARTIALLY_FILLED),
            order(status="cancelled", filled_quantity=40),
            OrderStatus.CANCELLED, 40, 0,
        ),
        (
            replace(SENT_ROW, filled_quantity=40, status=OrderStatus.PARTIALLY_FILLED),
            order(status="rejected", filled_quantity=10),
            OrderStatus.CANCELLED, 40, 0,
        ),
        (SENT_ROW, order(status="rejected", rejection="why"), OrderStatus.REJECTED, 0, 0),
        (SENT_ROW, order(status="trigger pending"), OrderStatus.TRIGGER_PENDING, 0, 0),
    ],
)  # fmt: skip
def test_a_book_moves_states_on_and_quantities_up(before, now, status, filled, increase) -> None:
    change = change_of(before, now, SENT + seconds(1))
    assert (change.status, change.filled_quantity, change.increase) == (status, filled, increase)


def test_a_final_row_keeps_its_state_but_takes_a_late_fill() -> None:
    gone = replace(SENT_ROW, status=OrderStatus.CANCELLED)
    assert change_of(gone, order(status="open"), SENT) is None
    change = change_of(gone, order(filled_quantity=100, average_price=Decimal(5)), SENT)
    assert (change.status, change.increase) == (OrderStatus.CANCELLED, 100)


def test_a_market_order_filled_at_an_untold_price_is_booked_at_what_it_was_decided_on() -> None:
    market = replace(SENT_ROW, decision_price=Decimal("41.50"))
    change = change_of(market, order(status="complete"), SENT)
    assert (change.increase, change.price) == (100, Decimal("41.50"))
    limit = replace(SENT_ROW, price=Decimal(40), decision_price=Decimal("41.50"))
    assert change_of(limit, order(status="complete"), SENT).price == Decimal(40)


def test_the_price_of_an_increase_follows_from_both_averages() -> None:
    before = replace(SENT_ROW, filled_quantity=40, average_price=Decimal(10))
    # 40 at 10 and 60 at 12 make 100 at 11.20
    change = change_of(before, order(filled_quantity=100, average_price=Decimal("11.20")), SENT)
    assert change.price == Decimal(12)


def test_a_limit_never_goes_through_the_touch() -> None:
    wide, narrow = Quote(49.0, 51.0), Quote(49.95, 50.05)
    assert limit_price("BUY", wide, TICK) == Decimal("50.10")
    assert limit_price("SELL", wide, TICK) == Decimal("49.90")
    assert limit_price("BUY", narrow, TICK) == Decimal("50.05")
    assert limit_price("SELL", narrow, TICK) == Decimal("49.95")
    assert limit_price("BUY", Quote(last=50.0), TICK) == 0


def test_a_short_is_repriced_at_most_two_ticks_below_its_first_price() -> None:
    first = Decimal("49.90")
    assert limit_price("SELL", Quote(40.0, 50.0), TICK, first) == Decimal("49.80")
    assert limit_price("SELL", Quote(49.85, 50.0), TICK, first) == Decimal("49.85")


def test_a_stop_triggers_at_twice_the_credit_with_its_limit_beyond() -> None:
    assert stop_prices(Decimal("40.00"), TICK) == (Decimal("80.00"), Decimal("88.00"))
    trigger, limit = stop_prices(Decimal("0.05"), TICK)
    assert limit > trigger


def test_slippage_is_positive_when_worse() -> None:
    assert slippage_ticks("BUY", Decimal("50.10"), Decimal(50), TICK) == 2
    assert slippage_ticks("SELL", Decimal("50.10"), Decimal(50), TICK) == -2
    assert slippage_ticks("BUY", Decimal(50), Decimal(0), TICK) == 0


def position(units, *, strategy="s", symbol="X", entry_ns=1, leg=0) -> Position:
    return Position(
        symbol=symbol, exchange="NFO", product="NRML", direction="BUY" if units > 0 else "SELL",
        quantity=abs(units), average_price=Decimal(10), strategy_id=strategy, strategy_tag="T",
        strategy="", leg_no=leg, underlying="NIFTY", kind=Kind.CALL, strike=Decimal(1), expiry=None,
        entry_ns=entry_ns, broker="alpha",
    )  # fmt: skip


def theirs(units, symbol="X") -> BrokerPosition:
    return BrokerPosition("NFO", symbol, "NRML", units, Decimal(10), Decimal(10), Decimal(0))


@pytest.mark.parametrize(
    ("ours", "broker", "kind"),
    [
        ([position(100)], [], DifferenceKind.MISSING_AT_BROKER),
        ([], [theirs(100)], DifferenceKind.UNTRACKED),
        ([position(100)], [theirs(50)], DifferenceKind.QTY),
        ([position(100)], [theirs(-100)], DifferenceKind.SIGN),
        ([position(100), position(-100, strategy="t")], [theirs(50)], DifferenceKind.UNTRACKED),
    ],
)
def test_a_difference_has_a_kind(ours, broker, kind) -> None:
    assert [row.kind for row in compare(ours, broker, ())] == [kind]


def test_equal_books_and_symbols_on_the_move_differ_in_nothing() -> None:
    assert compare([position(100), position(-40, strategy="t")], [theirs(60)], ()) == []
    assert compare([position(100)], [], {"X"}) == []


def test_a_difference_counts_when_seen_twice_five_seconds_apart() -> None:
    found = compare([position(100)], [], ())
    first = sightings({}, found, 0)
    second = sightings(first, found, seconds(4))
    third = sightings(second, found, seconds(5))
    now = third[("NFO", "X", "NRML")]
    assert not is_confirmed(second[("NFO", "X", "NRML")], seconds(4))
    assert is_confirmed(now, seconds(5))
    other = compare([position(100)], [theirs(10)], ())
    assert not is_confirmed(sightings(third, other, seconds(9))[("NFO", "X", "NRML")], seconds(9))


@pytest.mark.parametrize(
    ("ours", "broker", "made"),
    [
        ([position(100)], [], [("X|s|0", -100)]),
        ([position(-100)], [], [("X|s|0", 100)]),
        ([position(-130)], [theirs(-65)], [("X|s|0", 65)]),
        ([position(65)], [theirs(130)], [("X|s|0", 65)]),
        (
            [position(65, entry_ns=1), position(65, strategy="new", entry_ns=2)],
            [theirs(30)],
            [("X|new|0", -65), ("X|s|0", -35)],
        ),
        ([position(100)], [theirs(-100)], []),
        ([], [theirs(100)], []),
    ],
)
def test_corrections_make_our_rows_say_what_the_broker_shows(ours, broker, made) -> None:
    difference = compare(ours, broker, ())[0]
    found = [(row.position_key, row.units) for row in corrections(difference, ours)]
    assert found == made


def fill(action, quantity, price) -> Fill:
    return Fill(0, "k", "s", 0, "NFO", "X", "NRML", action, quantity, Decimal(price), 5)


def test_a_fold_averages_realises_and_turns() -> None:
    empty = replace(position(1), quantity=0, average_price=Decimal(0), entry_ns=0)
    held = fold(fold(empty, fill("BUY", 50, 10)), fill("BUY", 50, 20))
    assert (held.quantity, held.average_price, held.entry_ns) == (100, Decimal(15), 5)
    less = fold(held, fill("SELL", 40, 25))
    assert (less.quantity, less.realized) == (60, Decimal(400))
    turned = fold(less, fill("SELL", 100, 5))
    assert (turned.direction, turned.quantity, turned.average_price) == ("SELL", 40, Decimal(5))
    assert turned.realized == Decimal(-200)
    flat = fold(turned, fill("BUY", 40, 4))
    assert (flat.quantity, flat.realized) == (0, Decimal(-160))


@given(
    st.lists(
        st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 500), st.integers(1, 900)),
        min_size=1,
        max_size=20,
    )
)
def test_a_fold_keeps_quantity_and_money(fills) -> None:
    held = replace(position(1), quantity=0, average_price=Decimal(0))
    for action, quantity, price in fills:
        held = fold(held, fill(action, quantity, price))
    units = sum(q if a == "BUY" else -q for a, q, _ in fills)
    cash = sum((-q if a == "BUY" else q) * p for a, q, p in fills)
    assert held.signed_quantity == units
    # all money spent or received is either realised or stands in the position at its average
    assert abs(held.realized - held.average_price * units - cash) < Decimal("0.001")
