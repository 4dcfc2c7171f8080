"""Intraday swings against the worked check of the rule and a plain second reading of it."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.prices import BAR_DTYPE
from domain.signals.swings import HIGH, LOW, SwingTracker


def minute_bars(rows):
    """Rows of (high, low, close); a minute apart, the VWAP is the bar's number."""
    bars = np.zeros(len(rows), BAR_DTYPE)
    for number, (bar, row) in enumerate(zip(bars, rows, strict=True)):
        bar["start_ns"], bar["vwap"] = (number + 1) * 60_000_000_000, number
        bar["high"], bar["low"], bar["close"] = row
    return bars


def track(rows):
    tracker = SwingTracker()
    return tracker, [tracker.add(bar) for bar in minute_bars(rows)]


WORKED = [(252, 248, 249), (250, 245, 246), (247, 242, 243), (248, 243, 247), (252, 246, 251)]


def test_two_lower_bars_confirm_the_first_high():
    tracker, _ = track(WORKED[:3])
    assert [(swing.kind, swing.price, swing.index) for swing in tracker.swings] == [(HIGH, 252, 0)]


def test_two_higher_bars_after_it_confirm_the_low_between():
    # Bars 3 and 4 are higher than bar 2 in high and close: its low_watch reaches 2 at bar 4.
    tracker, _ = track(WORKED)
    assert [(swing.kind, swing.price, swing.index) for swing in tracker.swings] == [
        (HIGH, 252, 0),
        (LOW, 242, 2),
    ]


def test_a_higher_high_takes_the_swing_along_and_leaves_its_vwap():
    tracker, _ = track([*WORKED[:3], (255, 243, 250)])
    assert [(swing.price, swing.index, swing.vwap) for swing in tracker.swings] == [(255, 3, 0.0)]


def test_a_fall_below_the_last_low_breaks_it_once_and_tells_the_top_since():
    tracker, breaks = track([*WORKED, (253, 241, 242), (243, 240, 241)])
    first, second = breaks[-2:]
    assert (first.swing.price, first.highest_high) == (242, 253)
    assert second is None
    assert (tracker.last.price, tracker.last.broken) == (240, True)


def test_a_low_that_is_only_touched_is_not_broken():
    _, breaks = track([*WORKED, (253, 242, 243)])
    assert breaks[-1] is None


def test_counts_of_before_a_new_swing_are_forgotten():
    # Bar 2 is above bar 1 once, then bar 3 confirms the high of bar 0; bar 4 is above bar 1 again,
    # which is now the first time.
    rows = [(252, 248, 249), (250, 245, 246), (251, 246, 250), (249, 244, 245), (251.5, 247, 248)]
    tracker, _ = track(rows)
    assert [(swing.kind, swing.index) for swing in tracker.swings] == [(HIGH, 0)]


def test_a_bar_that_comes_again_is_refused_and_changes_nothing():
    tracker, _ = track(WORKED)
    before = list(tracker.swings)
    assert tracker.add(minute_bars(WORKED)[4]) is None
    assert (tracker.refused, tracker.swings) == (1, before)


def test_equal_bars_confirm_nothing():
    tracker, _ = track([(10, 9, 9.5)] * 20)
    assert tracker.swings == []


def swings_again(rows):
    """The rule once more, on lists, with a table of counts for each kind."""
    swings, lows, highs = [], {}, {}

    def watch(counts, j, is_beyond):
        counts[j] = counts.get(j, 0) + is_beyond
        return is_beyond and counts[j] >= 2

    def extreme(kind, first, last):
        values = [rows[k][1] if kind == LOW else -rows[k][0] for k in range(first, last + 1)]
        at = first + values.index(min(values))
        lows.clear()
        highs.clear()
        swings.append([kind, rows[at][1] if kind == LOW else rows[at][0], at])

    for i, (high, low, close) in enumerate(rows):
        last = swings[-1] if swings else None
        if last and (low < last[1] if last[0] == LOW else high > last[1]):
            last[1:] = [low if last[0] == LOW else high, i]
            continue
        for j in range(last[2] + 1 if last else 0, i):
            up = high > rows[j][0] and close > rows[j][2]
            down = low < rows[j][1] and close < rows[j][2]
            start = last[2] + 1 if last else 0
            if (not last or last[0] == HIGH) and watch(lows, j, up):
                extreme(LOW, start, i)
                break
            if (not last or last[0] == LOW) and watch(highs, j, down):
                extreme(HIGH, start, i)
                break
    return [tuple(swing) for swing in swings]


@pytest.mark.parametrize("seed", range(30))
def test_swings_agree_with_a_plain_reading_of_the_rule(seed):
    dice, price, rows = random.Random(seed), 1000, []
    for _ in range(300):
        price += dice.randint(-8, 8)
        rows.append((price + dice.randint(0, 6), price - dice.randint(0, 6), price))
    tracker, _ = track(rows)
    found = [(swing.kind, swing.price, swing.index) for swing in tracker.swings]
    assert found == swings_again(rows)
    assert len(found) > 5


bars_of_a_session = st.lists(
    st.tuples(st.integers(50, 150), st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=60
).map(lambda rows: [(price + up, price - down, price) for price, up, down in rows])


@given(bars_of_a_session)
def test_swings_alternate_and_stand_on_a_bar_of_their_price(rows):
    tracker, _ = track(rows)
    kinds = [swing.kind for swing in tracker.swings]
    assert all(one != other for one, other in itertools.pairwise(kinds))
    for swing in tracker.swings:
        high, low, _ = rows[swing.index]
        assert swing.price == (low if swing.kind == LOW else high)
