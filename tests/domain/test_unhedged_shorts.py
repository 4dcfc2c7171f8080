"""Shorts that nothing covers: tomic.md 8.8 S2; and the notional of a structure, 10.1."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.instruments import Kind
from domain.positions import structure_notional, unhedged_shorts
from tests.kit.risk_makers import EXPIRY, a_position

SHORT = a_position("SELL", "CE", 24_200)


def naked(*rows):
    return {row.key: row.quantity for row in unhedged_shorts(rows)}


def test_a_short_alone_is_naked():
    assert naked(SHORT) == {SHORT.key: 65}


@pytest.mark.parametrize(
    ("long", "covers"),
    [
        (a_position("BUY", "CE", 24_400), True),
        (a_position("BUY", "CE", 24_400, expiry=EXPIRY + timedelta(7)), True),
        (a_position("BUY", "CE", 24_400, expiry=EXPIRY - timedelta(7)), False),
        (a_position("BUY", "PE", 24_400), False),
        (a_position("BUY", "CE", 24_400, underlying="BANKNIFTY"), False),
        (a_position("BUY", "CE", 24_400, strategy_id="another"), True),
    ],
)
def test_a_long_of_the_same_kind_covers_when_it_lives_as_long(long, covers):
    assert (naked(SHORT, long) == {}) is covers


def test_only_what_is_missing_is_named():
    long = a_position("BUY", "CE", 24_400, quantity=40)
    assert naked(SHORT, long) == {SHORT.key: 25}


def test_an_approved_short_is_left_alone_and_takes_no_cover():
    approved = replace(SHORT, naked_approved=True, leg_no=7)
    long = a_position("BUY", "CE", 24_400)
    assert naked(approved) == {}
    assert naked(approved, SHORT, long) == {}


def test_the_newcomer_is_the_one_without_cover():
    newcomer = replace(SHORT, entry_ns=SHORT.entry_ns + 1, strategy_id="later")
    assert naked(newcomer, SHORT, a_position("BUY", "CE", 24_400)) == {newcomer.key: 65}


def test_cover_is_not_wasted_on_an_earlier_short():
    late = a_position("SELL", "CE", 24_200, expiry=EXPIRY + timedelta(7), leg_no=2)
    near, far = (
        a_position("BUY", "CE", 24_400, leg_no=3),
        a_position("BUY", "CE", 24_500, expiry=EXPIRY + timedelta(7), leg_no=4),
    )
    assert naked(SHORT, late, near, far) == {}


def test_futures_and_closed_rows_are_no_shorts():
    assert naked(a_position("SELL", "CE", 24_200, quantity=0)) == {}
    future = replace(SHORT, kind=Kind.FUTURE)
    assert naked(future) == {}


rows = st.tuples(
    st.sampled_from(["BUY", "SELL"]), st.integers(0, 3), st.integers(1, 5), st.integers(0, 3)
)


@given(st.lists(rows, max_size=8))
def test_no_other_pairing_would_leave_less_naked(book):
    positions = [
        a_position(side, "CE", 24_000, quantity=size, leg_no=number, entry_ns=at,
                   expiry=date(2026, 12, 1) + timedelta(weeks=weeks))
        for number, (side, weeks, size, at) in enumerate(book)
    ]  # fmt: skip
    # Greatest deficit over all horizons: longs reaching week w or later must carry the shorts from
    # there.
    deficit = 0
    for week in range(4):
        day = date(2026, 12, 1) + timedelta(weeks=week)
        late = [row for row in positions if row.expiry >= day]
        deficit = max(deficit, -sum(row.signed_quantity for row in late))
    assert sum(naked(*positions).values()) == deficit


def test_the_larger_side_of_the_shorts_counts_once():
    legs = [
        (Kind.PUT, "BUY", Decimal(23_600), Decimal(50), 65),
        (Kind.PUT, "SELL", Decimal(23_800), Decimal(120), 65),
        (Kind.CALL, "SELL", Decimal(24_200), Decimal(110), 65),
        (Kind.CALL, "BUY", Decimal(24_400), Decimal(45), 65),
    ]
    assert structure_notional(legs) == Decimal(65 * (24_200 + 50 + 45))
    assert structure_notional(legs[:2]) == Decimal(65 * (23_800 + 50))
    assert structure_notional([(Kind.FUTURE, "SELL", Decimal(0), Decimal(24_000), 65)]) == 1_560_000
