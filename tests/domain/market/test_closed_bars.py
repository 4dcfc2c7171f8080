"""Closed bars of many listings together against one list a listing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.clock import NS_PER_MINUTE
from domain.market.closed_bars import BARS_KEPT, BARS_PRUNED_ABOVE, ClosedBars
from domain.prices import BAR_DTYPE

LISTINGS = (4, 9, 700)


def minute_bars(minute: int, listings, price: float, volume: int) -> np.ndarray:
    bars = np.zeros(len(listings), BAR_DTYPE)
    bars["listing"], bars["start_ns"] = listings, minute * NS_PER_MINUTE
    for name in ("open", "high", "low", "close"):
        bars[name] = price
    bars["volume"] = volume
    return bars


def filled(minutes: int, listings=LISTINGS) -> ClosedBars:
    """A bar of every listing in each of the minutes 1, 2, ...; price and volume are the minute."""
    closed = ClosedBars()
    for minute in range(1, minutes + 1):
        closed.append(minute_bars(minute, listings, minute, minute))
    return closed


def minutes_of(bars: np.ndarray) -> list[int]:
    return (bars["start_ns"] // NS_PER_MINUTE).tolist()


def vwap_to(minute: int) -> float:
    """Of bars whose price and volume are their minute: sum of squares by sum."""
    return sum(n * n for n in range(1, minute + 1)) / sum(range(1, minute + 1))


ticked = st.lists(st.sets(st.sampled_from(LISTINGS)), min_size=1, max_size=120)


@settings(max_examples=60, deadline=None)
@given(ticked, st.integers(1, 12), st.integers(1, 125), st.integers(0, 90))
def test_listings_that_tick_in_different_minutes_keep_their_own_series(made, times, since, width):
    closed, expected = ClosedBars(), {listing: [] for listing in LISTINGS}
    for minute, listings in enumerate(made * times, start=1):
        closed.append(minute_bars(minute, sorted(listings), minute % 7 + 1, minute % 5))
        for listing in listings:
            expected[listing].append(minute)
    for listing, minutes in expected.items():
        window = closed.window(listing)
        assert minutes[-len(window) :] == minutes_of(window) if len(window) else not minutes
        assert len(window) == len(minutes) or BARS_KEPT <= len(window) <= BARS_PRUNED_ABOVE
        value = sum((minute % 7 + 1) * (minute % 5) for minute in minutes)
        volume = sum(minute % 5 for minute in minutes)
        assert closed.sums(listing) == (pytest.approx(value), volume)
        if volume:
            assert window["vwap"][-1] == pytest.approx(value / volume)
    found = closed.between(since * NS_PER_MINUTE, (since + width) * NS_PER_MINUTE)
    told = list(zip(found["listing"].tolist(), minutes_of(found), strict=True))
    assert told == [
        (listing, minute)
        for listing in LISTINGS
        for minute in minutes_of(closed.window(listing))
        if since <= minute < since + width
    ]


def test_long_after_the_first_was_pruned_a_listing_has_its_newest_bars_in_order():
    closed = filled(3 * BARS_PRUNED_ABOVE)
    window = closed.window(9)
    last = 3 * BARS_PRUNED_ABOVE
    assert minutes_of(window) == list(range(last - len(window) + 1, last + 1))
    assert window["vwap"][-1] == pytest.approx(vwap_to(last))
    assert window["vwap"][0] == pytest.approx(vwap_to(last - len(window) + 1))


def test_pruned_minutes_are_found_by_no_search():
    closed = filled(BARS_PRUNED_ABOVE + 1)
    assert not len(closed.between(0, 51 * NS_PER_MINUTE))
    assert minutes_of(closed.between(0, 53 * NS_PER_MINUTE)) == [52] * len(LISTINGS)


def test_a_listing_that_comes_late_widens_the_layers_and_moves_nobody():
    closed = filled(40)
    others = range(1_000, 4_000)
    closed.append(minute_bars(41, [*LISTINGS, *others], 41, 41))
    assert minutes_of(closed.window(9)) == list(range(1, 42))
    assert minutes_of(closed.window(3_999)) == [41]
    closed.append(minute_bars(42, [3_999, 4], 42, 42))
    assert minutes_of(closed.window(3_999)) == [41, 42]
    assert closed.window(4)["vwap"][-1] == pytest.approx(vwap_to(42))


def test_history_fills_what_is_missing_and_the_sums_are_made_again():
    closed = ClosedBars()
    for minute in (1, 2, 5):
        closed.append(minute_bars(minute, LISTINGS, minute, minute))
    history = np.concatenate([minute_bars(minute, [9, 700], minute, minute) for minute in (4, 3)])
    put = closed.upsert(history)
    assert list(zip(put["listing"].tolist(), minutes_of(put), strict=True)) == [
        (9, 3), (9, 4), (700, 3), (700, 4)
    ]  # fmt: skip
    assert minutes_of(closed.window(9)) == [1, 2, 3, 4, 5]
    assert closed.window(9)["vwap"].tolist() == pytest.approx([vwap_to(n) for n in range(1, 6)])
    assert minutes_of(closed.window(4)) == [1, 2, 5]
    assert minutes_of(closed.between(3 * NS_PER_MINUTE, 5 * NS_PER_MINUTE)) == [3, 4, 3, 4]
    closed.append(minute_bars(6, LISTINGS, 6, 6))
    assert closed.window(9)["vwap"][-1] == pytest.approx(vwap_to(6))


def test_a_history_longer_than_what_is_kept_leaves_its_newest_and_counts_all():
    closed = ClosedBars()
    history = np.concatenate([minute_bars(minute, [9], minute, minute) for minute in range(1, 601)])
    put = closed.upsert(history)
    assert len(put) == 600
    assert minutes_of(closed.window(9)) == list(range(201, 601))
    closed.append(minute_bars(601, [9], 601, 601))
    assert closed.window(9)["vwap"][-1] == pytest.approx(vwap_to(601))
    assert closed.sums(9) == (sum(n * n for n in range(1, 602)), sum(range(1, 602)))


@pytest.mark.parametrize("listings", [None, np.array([9, 12_345])])
def test_an_outage_marks_the_minutes_it_touched_of_those_it_is_of(listings):
    closed = filled(70)
    from_ns, to_ns = 33 * NS_PER_MINUTE + 1, 35 * NS_PER_MINUTE
    closed.mark_partial(from_ns, to_ns, listings)
    for listing in LISTINGS:
        window = closed.window(listing)
        marked = minutes_of(window[window["partial"]])
        assert marked == ([33, 34] if listings is None or listing == 9 else [])


def test_a_cleared_session_begins_with_nothing():
    closed = filled(3)
    closed.clear()
    assert not len(closed.window(9))
    assert closed.sums(9) == (0.0, 0)
    assert not len(closed.between(0, 99 * NS_PER_MINUTE))
    closed.append(minute_bars(1, [9], 5, 2))
    assert closed.window(9)["vwap"].tolist() == [5.0]
