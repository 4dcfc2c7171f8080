"""Contractions and cups against numbers worked by hand and a second, plain implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.signals.patterns import (
    Contraction,
    Pattern,
    contracting,
    contractions,
    find_contraction,
    find_cup,
    is_dried_up,
    swing_highs,
    swing_lows,
)
from tests.kit.daily_bars import (
    TIGHTENING,
    daily_bars,
    from_closes,
    generated,
    path,
    with_volume,
)

# -- swings --


def test_a_swing_is_at_or_beyond_two_bars_on_each_side():
    high = np.array([1, 2, 5, 3, 2, 4, 4, 1, 0.5], dtype=float)
    assert swing_highs(high).tolist() == [2, 5, 6]  # the twin top counts twice
    assert swing_lows(-high).tolist() == [2, 5, 6]


def test_a_swing_is_not_known_before_two_more_bars():
    high = np.array([1, 2, 5, 3], dtype=float)
    assert swing_highs(high).tolist() == []
    assert swing_highs(np.append(high, 2.0)).tolist() == [2]


@pytest.mark.parametrize("seed", range(20))
def test_swings_agree_with_a_plain_reading_of_the_rule(seed):
    high = generated(seed)["high"]
    again = [
        i
        for i in range(2, len(high) - 2)
        if high[i] >= max(high[i - 2], high[i - 1], high[i + 1], high[i + 2])
    ]
    assert swing_highs(high).tolist() == again


# -- contraction --


def test_depths_are_those_of_each_high_to_the_low_after_it():
    bars = from_closes(TIGHTENING)
    legs = contractions(bars["high"], bars["low"])
    assert [leg.high for leg in legs] == pytest.approx([100, 98, 97])
    assert [leg.low for leg in legs] == pytest.approx([80, 88.2, 92.15])
    assert [leg.depth for leg in legs] == pytest.approx([0.20, 0.10, 0.05])


def test_three_tightening_contractions_below_the_pivot_are_a_setup():
    setup = find_contraction(with_volume(TIGHTENING))
    assert (setup.pattern, setup.view, setup.is_dry) == (Pattern.VCP, "BUY", True)
    assert setup.entry == pytest.approx(97.0)
    assert setup.stop == pytest.approx(92.15)
    assert setup.target == pytest.approx(106.7)
    assert (setup.enter_low, setup.enter_high) == pytest.approx((97.0, 101.85))
    assert setup.text.startswith("3 contractions (20.0%, 10.0%, 5.0%)")


def test_falling_highs_alone_are_no_contraction():
    # A plain downtrend: 100 to 80, 85 to 68, 72 to 57: every leg is 20 % deep or so.
    downtrend = path((60,), (100, 35), (80, 5), (85, 3), (68, 5), (72, 3), (57, 5), (60, 3))
    assert find_contraction(with_volume(downtrend)) is None


@pytest.mark.parametrize(
    ("last_low", "is_setup"), [(91.1, True), (90.0, False)], ids=["0.61 of before", "0.72"]
)
def test_a_contraction_has_at_most_seven_tenths_of_the_depth_before(last_low, is_setup):
    # 97 to 91.1 is 6.1 %, to 90 is 7.2 %; the one before is 10 %.
    closes = path((60,), (100, 35), (80, 5), (98, 6), (88.2, 4), (97, 4), (last_low, 3), (96, 3))
    assert bool(find_contraction(with_volume(closes))) == is_setup


def test_a_lower_last_low_is_no_contraction():
    # 6 % after 10 % contracts, but 86.5 is below the low of 88.2 before.
    closes = path((60,), (100, 35), (80, 5), (98, 6), (88.2, 4), (92, 4), (86.5, 3), (91, 3))
    assert find_contraction(with_volume(closes)) is None


@pytest.mark.parametrize(
    ("close", "is_setup"), [(92.16, True), (97.0, True), (97.1, False)], ids=str
)
def test_the_close_stands_at_most_five_per_cent_below_the_pivot_and_not_above(close, is_setup):
    closes = [*TIGHTENING[:-1], close]
    assert bool(find_contraction(with_volume(closes))) == is_setup


def test_the_leg_that_is_still_open_counts():
    # Without its last rise above 92.15 the low is not confirmed and the leg before is the last.
    bars = with_volume(TIGHTENING)
    assert find_contraction(bars[:-2]).entry == pytest.approx(98.0)


def test_volume_that_did_not_halve_is_told():
    assert not find_contraction(with_volume(TIGHTENING, recent=50_000)).is_dry


@pytest.mark.parametrize(
    ("recent", "is_dry"), [(47_000, True), (48_000, False)], ids=["less", "more"]
)
def test_dry_is_less_than_half_of_the_average_of_fifty_bars(recent, is_dry):
    # (45 x 100,000 + 5 x 47,000) / 50 = 94,700: half is 47,350; with 48,000 it is 47,400.
    volume = np.array([100_000] * 45 + [recent] * 5)
    assert is_dried_up(volume) == is_dry


def test_what_has_no_volume_never_dries_up():
    assert not is_dried_up(np.zeros(60))
    assert not is_dried_up(np.full(49, 10))


def test_at_most_the_last_four_contractions_count():
    legs = [Contraction(0, 100.0, 100.0 - depth) for depth in (64, 32, 16, 8, 4, 2)]
    assert contracting(legs) == 4
    assert contracting(legs[-2:]) == 2
    assert contracting(legs[:1]) == 1
    assert contracting([]) == 0


def contraction_again(bars):
    """Pivot and stop, or None: the rule of the specification read once more, in plain Python."""
    high, low, close = (bars[name].tolist() for name in ("high", "low", "close"))
    inner = range(2, len(high) - 2)
    tops = [i for i in inner if all(high[i] >= high[i + k] for k in (-2, -1, 1, 2))]
    bottoms = [i for i in inner if all(low[i] <= low[i + k] for k in (-2, -1, 1, 2))]
    legs = []
    for top, following in zip(tops, [*tops[1:], len(high)], strict=True):
        between = [low[i] for i in bottoms if top < i < following]
        if between:
            legs.append((high[top], min(between)))
    if len(legs) < 2:
        return None
    (before_high, before_low), (pivot, bottom) = legs[-2:]
    shrinks = (pivot - bottom) / pivot <= 0.7 * (before_high - before_low) / before_high
    near = 0.95 * pivot <= close[-1] <= pivot
    return (pivot, bottom) if shrinks and bottom >= before_low and near else None


def test_contractions_agree_with_a_plain_reading_of_the_rule():
    found = 0
    for seed in range(150):
        bars = generated(seed, 220)
        for end in (180, 200, 220):
            setup, again = find_contraction(bars[:end]), contraction_again(bars[:end])
            assert (setup and (setup.entry, setup.stop)) == again
            found += setup is not None
    assert found > 5


# -- cup --

# Twenty bars: rim 100 at bar 2, bottom 80 at bar 10, back at 97, a handle of four.
CUP = [98, 99, 100, 97, 94, 91, 88, 86, 84, 82, 80, 83, 87, 91, 95, 97, 97, 96.5, 97, 96.8]


def cup_bars(closes=CUP):
    """Bars of one point of range, so that rim and bottom lie half a point beyond the closes."""
    return daily_bars([(c, c + 0.5, c - 0.5, c) for c in closes])


def test_a_cup_with_a_tight_handle_high_up_is_a_setup():
    setup = find_cup(cup_bars())
    # Five closes 97, 97, 96.5, 97, 96.8: highs to 97.5, lows to 96.
    assert (setup.pattern, setup.view) == (Pattern.THREE_C, "BUY")
    assert (setup.entry, setup.stop) == pytest.approx((97.5, 96.0))
    assert setup.target == pytest.approx(112.125)
    # Rim 100.5 less bottom 79.5 is 21 points of 100.5.
    assert setup.text == "cup 20.9% deep with a handle of 5 bars below 97.50"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({19: 90.0}, "the last close is not back at 65 %, or hangs below the upper third"),
        ({18: 100.4, 19: 94.0}, "the handle is wider than 0.3 of the depth"),
        ({15: 79.0, 10: 84.0}, "the bottom lies within five bars of the end"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_cup(changes, why):
    closes = list(CUP)
    for at, close in changes.items():
        closes[at] = close
    assert find_cup(cup_bars(closes)) is None


def test_a_cup_is_five_per_cent_deep_or_more():
    # Rim 101.3 over a bottom of 96.3 is 4.9 %; of 96.1, with bars of 1.4 points, 5.3 %.
    shallow = [96.8 + (close - 80) / 5 for close in CUP]
    assert find_cup(cup_bars(shallow)) is None
    wider = cup_bars(shallow)
    wider["high"] += 0.2
    wider["low"] -= 0.2
    assert find_cup(wider)


def test_fewer_than_fifteen_bars_are_no_cup():
    assert find_cup(cup_bars()[-14:]) is None
    assert find_cup(cup_bars()[:0]) is None


def cup_again(bars):
    """(pivot, stop) of the longest cup and handle, in plain Python."""
    for n in range(25, 14, -1):
        if len(bars) < n:
            continue
        high, low, close = (bars[name][-n:].tolist() for name in ("high", "low", "close"))
        first, second = n // 4, n // 4 + int(0.6 * n)
        rim, bottom = max(high[:first]), min(low[first:second])
        at = low.index(bottom, first, second)
        depth = rim - bottom
        if depth < 0.05 * rim or at < 5 or n - 1 - at < 5:
            continue
        if (close[-1] - bottom) / depth < 0.65:
            continue
        for h in (5, 4, 3, 2):
            tight = max(close[-h:]) - min(close[-h:]) < 0.3 * depth
            if tight and min(close[-h:]) >= rim - depth / 3:
                return max(high[-h:]), min(low[-h:])
    return None


def test_cups_agree_with_a_plain_reading_of_the_rule():
    found = 0
    for seed in range(150):
        bars = generated(seed, 120)
        for end in (60, 90, 120):
            setup, again = find_cup(bars[:end]), cup_again(bars[:end])
            assert (setup and (setup.entry, setup.stop)) == again
            found += setup is not None
    assert found > 5


# -- both --


@given(st.integers(0, 500), st.floats(0.01, 1000, allow_nan=False))
def test_a_setup_does_not_know_in_what_unit_prices_are(seed, unit):
    bars = generated(seed % 40, 120)
    scaled = bars.copy()
    for name in ("open", "high", "low", "close"):
        scaled[name] = bars[name] * unit
    for find in (find_contraction, find_cup):
        one, other = find(bars), find(scaled)
        assert (one is None) == (other is None)
        if one:
            assert (other.entry, other.stop) == pytest.approx((one.entry * unit, one.stop * unit))


@pytest.mark.parametrize("seed", range(40))
def test_a_setup_buys_above_its_stop_and_below_its_target(seed):
    bars = generated(seed, 150)
    for setup in filter(None, (find_contraction(bars), find_cup(bars))):
        assert setup.stop < setup.entry < setup.target
        assert setup.enter_low == setup.entry < setup.enter_high
