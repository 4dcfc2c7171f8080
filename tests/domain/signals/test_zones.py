"""Supply and demand zones against numbers worked by hand and a second, plain implementation."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.signals.zones import (
    ZoneFreshness,
    ZoneType,
    find_zones,
    setup_of,
)
from tests.kit.daily_bars import daily_bars, generated

# Fifteen bars of two points, all body: an average range of 2, and no base among them.
QUIET = [(100, 102, 100, 102), (102, 102, 100, 100)] * 7 + [(100, 102, 100, 102)]
BASE = (102, 103, 100, 101)  # body 1 of range 3
AWAY_UP = (101, 106, 101, 106)  # 5 points from the base's close, all body
AWAY_DOWN = (101, 101, 95, 95)


def zones_of(*rows):
    return find_zones(daily_bars([*QUIET, BASE, *rows]))


def test_a_base_left_upwards_is_demand():
    (zone,) = zones_of(AWAY_UP)
    assert (zone.kind, zone.low, zone.high) == (ZoneType.DEMAND, 100, 103)
    assert (zone.imbalance, zone.freshness) == (5, ZoneFreshness.FRESH)


def test_a_base_left_downwards_is_supply():
    (zone,) = zones_of(AWAY_DOWN)
    assert (zone.kind, zone.imbalance) == (ZoneType.SUPPLY, 6)


def test_the_move_before_the_base_does_not_matter():
    # A fall into the base, then up: still demand (drop-base-rally).
    fall = [(110, 110, 108, 108), (108, 108, 102, 102)]
    (zone,) = [
        zone
        for zone in find_zones(daily_bars([*QUIET, *fall, BASE, AWAY_UP]))
        if zone.low == BASE[2]
    ]
    assert zone.kind is ZoneType.DEMAND


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([(101, 103.05, 101, 103.05)], "2.05 points do not leave by more than a range of 2.07"),
        ([(101, 109, 100, 106)], "5 of 9 points are body, less than 0.6"),
        ([(101, 103, 99, 101)], "it did not move"),
        ([], "nothing came after it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_departure(rows, why):
    assert [zone for zone in zones_of(*rows) if (zone.low, zone.high) == (100, 103)] == []


def test_three_bars_together_may_leave_it():
    # 101 to 103.6 in three bars without wicks; only the third close is beyond 103 by enough.
    rows = [(101, 102, 101, 102), (102, 103, 102, 103), (103, 103.6, 103, 103.6)]
    (zone,) = zones_of(*rows)
    assert zone.imbalance == pytest.approx(2.6)
    assert zones_of(*rows[:2]) == ()


def test_a_large_body_is_no_base():
    assert find_zones(daily_bars([*QUIET, (100, 103, 100, 102), AWAY_UP])) == ()  # 2 of 3 points


def test_a_return_into_the_zone_tests_it():
    (zone,) = zones_of(AWAY_UP, (106, 107, 103, 104))  # low 103 touches the upper edge
    assert zone.freshness is ZoneFreshness.TESTED
    (zone,) = zones_of(AWAY_UP, (106, 107, 103.01, 104))
    assert zone.freshness is ZoneFreshness.FRESH


def test_a_close_beyond_the_far_edge_drops_it():
    tested = [zone for zone in zones_of(AWAY_UP, (103, 104, 99, 100)) if zone.low == 100]
    assert [zone.freshness for zone in tested] == [ZoneFreshness.TESTED]
    assert [zone for zone in zones_of(AWAY_UP, (103, 104, 99, 99.9)) if zone.low == 100] == []


def test_demand_is_bought_at_its_middle_with_the_stop_half_a_per_cent_below():
    (zone,) = zones_of(AWAY_UP)
    setup = setup_of(zone)
    assert (setup.view, setup.entry) == ("BUY", 101.5)
    assert setup.stop == pytest.approx(99.5)
    assert setup.target == pytest.approx(108.15)
    assert (setup.enter_low, setup.enter_high) == (100, 103)


def test_supply_is_sold_at_its_middle_with_the_stop_half_a_per_cent_above():
    (zone,) = zones_of(AWAY_DOWN)
    setup = setup_of(zone)
    assert (setup.view, setup.entry) == ("SELL", 101.5)
    assert setup.stop == pytest.approx(103.515)
    assert setup.target == pytest.approx(95.0)


def zones_again(bars):
    """(base row, kind, low, high, imbalance, freshness), in plain Python."""
    rows = [tuple(float(bar[name]) for name in ("open", "high", "low", "close")) for bar in bars]
    found = []
    for i in range(14, len(rows)):
        opened, high, low, close = rows[i]
        if high <= low or abs(close - opened) > 0.5 * (high - low) + 1e-9:
            continue
        spans = []
        for k in range(i - 13, i + 1):
            before = rows[k - 1][3]
            spans.append(max(rows[k][1], before) - min(rows[k][2], before))
        for n in (1, 2, 3):
            leg = rows[i + 1 : i + 1 + n]
            if len(leg) < n:
                break
            end = leg[-1][3]
            size = max(row[1] for row in leg) - min(row[2] for row in leg)
            body = abs(end - leg[0][0])
            far = abs(end - close) > sum(spans) / 14 and size > 0 and body >= 0.6 * size - 1e-9
            if far and (end > high if end > close else end < low):
                kind = "DEMAND" if end > close else "SUPPLY"
                state = "FRESH"
                for _, top, bottom, ended in rows[i + n + 1 :]:
                    if ended < low if kind == "DEMAND" else ended > high:
                        state = "BROKEN"
                        break
                    if bottom <= high if kind == "DEMAND" else top >= low:
                        state = "TESTED"
                if state != "BROKEN":
                    found.append((i, kind, low, high, abs(end - close), state))
                break
    return found[-50:]


@pytest.mark.parametrize("seed", range(40))
def test_zones_agree_with_a_plain_reading_of_the_rule(seed):
    bars = generated(seed, 200)
    starts = bars["start_ns"].tolist()
    found = [
        (starts.index(z.base_ns), z.kind, z.low, z.high, z.imbalance, z.freshness)
        for z in find_zones(bars)
    ]
    assert found == zones_again(bars)
    assert found


@given(st.integers(0, 200), st.integers(60, 199))
def test_a_later_bar_never_makes_a_zone_fresher(seed, end):
    """What was known stays known: no look ahead, and no second life for a touched zone."""
    bars = generated(seed % 40, 200)
    order = [ZoneFreshness.FRESH, ZoneFreshness.TESTED, ZoneFreshness.BROKEN]
    later = {zone.base_ns: zone for zone in find_zones(bars[: end + 1])}
    for zone in find_zones(bars[:end]):
        now = later.get(zone.base_ns)
        if now:
            assert replace(now, freshness=zone.freshness) == zone
            assert order.index(now.freshness) >= order.index(zone.freshness)


def test_at_most_fifty_zones_are_kept_the_newest_ones():
    rows = list(QUIET)
    for number in range(60):
        level = 100 + 5 * number
        rows += [
            (level + 2, level + 3, level, level + 1),
            (level + 1, level + 9, level + 1, level + 9),
        ]
    zones = find_zones(daily_bars(rows))
    assert len(zones) == 50
    assert [zone.base_ns for zone in zones] == sorted(zone.base_ns for zone in zones)
    assert zones[-1].low == 395
