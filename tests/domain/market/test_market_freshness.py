"""Coverage, the heartbeat line and the entry gate of `data_pipeline.md` 4."""

from __future__ import annotations

import numpy as np
import pytest

from domain.clock import seconds
from domain.market.freshness import Coverage, EntryGate, LastSeen, measure_coverage, next_gate
from domain.prices import TICK_DTYPE

NOW = 1_795_149_900_000_000_000


def tick(listing, received_ns, ltp=100.0, ts_ns=None):
    batch = np.zeros(1, TICK_DTYPE)
    batch["listing"], batch["received_ns"], batch["ltp"] = listing, received_ns, ltp
    batch["ts_ns"] = received_ns if ts_ns is None else ts_ns
    return batch


def true_ns(seen: LastSeen) -> int:
    """Of listing 1; the two beside it were never seen."""
    found = seen.named({7: "far", 1: "one", 900: "unheard"})
    assert found.keys() <= {"one"}
    assert [seen.true_ns(listing) for listing in (1, 7, 900)] == [found.get("one", 0), 0, 0]
    return found.get("one", 0)


def seen_at(ages_s: dict[int, float], wanted=(1, 2, 3, 4)) -> LastSeen:
    seen = LastSeen()
    seen.want(np.array(wanted), NOW - seconds(400))
    for listing, age_s in ages_s.items():
        seen.hear(tick(listing, NOW - seconds(age_s)))
    return seen


def test_coverage_counts_ages_up_to_sixty_seconds_and_stale_ones_above_three_hundred():
    coverage = measure_coverage(seen_at({1: 60, 2: 60.001, 3: 300, 4: 300.001}), NOW)
    assert coverage == Coverage(seen=4, subscribed=4, percent=25.0, stale=1)


def test_a_symbol_that_never_ticked_ages_from_its_subscription():
    seen = seen_at({1: 0})
    assert measure_coverage(seen, NOW).stale == 3
    seen.want(np.array([9]), NOW)
    assert measure_coverage(seen, NOW) == Coverage(1, 5, 20.0, 3)


def test_nothing_subscribed_is_no_coverage():
    assert measure_coverage(LastSeen(), NOW) == Coverage(0, 0, 0.0, 0)


def test_what_nobody_subscribed_or_dropped_does_not_count():
    seen = seen_at({1: 0, 2: 0, 7: 0})
    seen.drop(np.array([3, 4]))
    assert measure_coverage(seen, NOW) == Coverage(2, 2, 100.0, 0)


@pytest.mark.parametrize(("ltp", "ts_ns"), [(0.0, NOW), (np.nan, NOW), (1.0, NOW + seconds(6))])
def test_a_tick_without_a_price_or_from_the_future_proves_nothing(ltp, ts_ns):
    seen = LastSeen()
    seen.hear(tick(1, NOW, ltp, ts_ns))
    assert (true_ns(seen), seen.newest_ns) == (0, 0)


def test_a_repeated_tick_proves_its_symbol_alive_and_makes_its_price_no_younger():
    seen = seen_at({1: 30})
    seen.hear(tick(1, NOW, ts_ns=NOW - seconds(30)))
    assert true_ns(seen) == NOW - seconds(30)
    assert measure_coverage(seen, NOW).seen == 1
    assert seen.newest_ns == NOW


def test_a_price_that_is_old_on_the_first_sight_does_not_count_as_seen_now():
    seen = LastSeen()
    seen.hear(tick(1, NOW, ts_ns=NOW - seconds(600)))
    assert true_ns(seen) == NOW - seconds(600)


def test_a_source_whose_clock_is_ahead_makes_no_price_younger_than_its_arrival():
    seen = LastSeen()
    seen.hear(tick(1, NOW, ts_ns=NOW + seconds(4)))
    assert true_ns(seen) == NOW


def test_after_the_clock_was_set_back_the_next_tick_counts_again():
    seen = seen_at({1: 0})
    back_ns = NOW - seconds(60)
    seen.forget_ahead(NOW - seconds(1))
    assert true_ns(seen) == NOW
    seen.forget_ahead(back_ns)
    assert (true_ns(seen), seen.newest_ns) == (0, 0)
    seen.hear(tick(1, back_ns))
    assert true_ns(seen) == back_ns


def test_an_older_batch_never_takes_a_newer_arrival_back():
    seen = seen_at({1: 5})
    seen.hear(tick(1, NOW - seconds(50)))
    assert true_ns(seen) == NOW - seconds(5)


def test_the_heartbeat_line_has_its_exact_form():
    line = Coverage(22, 22, 100.0, 0).line(0)
    assert line == "[HEARTBEAT] Positions: 0 | Data: 22/22 | Coverage: 100.0% | Stale: 0"


@pytest.mark.parametrize(
    ("percent", "stale", "connected", "level"),
    [
        (100.0, 0, True, "INFO"),
        (100.0, 1, True, "WARNING"),
        (99.9, 0, True, "WARNING"),
        (90.0, 0, True, "WARNING"),
        (89.9, 0, True, "CRITICAL"),
        (100.0, 0, False, "CRITICAL"),
    ],
)
def test_the_heartbeats_level(percent, stale, connected, level):
    assert Coverage(10, 10, percent, stale).level(connected) == level


def look(gate, second, percent=100.0, tick_age_s=0, bar_age_s=0):
    now_ns = NOW + seconds(second)
    return next_gate(
        gate, percent=percent, tick_ns=now_ns - seconds(tick_age_s),
        bar_ns=now_ns - seconds(bar_age_s), now_ns=now_ns,
    )  # fmt: skip


def test_low_coverage_blocks_at_the_third_check_thirty_seconds_apart():
    gate = EntryGate()
    for second in range(60):
        gate = look(gate, second, percent=49.9)
        assert gate.is_open
    gate = look(gate, 60, percent=49.9)
    assert not gate.is_open
    assert "49.9%" in gate.reason


def test_one_good_check_between_starts_the_count_again():
    gate = EntryGate()
    for second, percent in [(0, 10), (30, 10), (60, 50), (90, 10), (120, 10)]:
        gate = look(gate, second, percent=percent)
    assert gate.is_open


@pytest.mark.parametrize(("ages", "limit_s"), [("tick_age_s", 30), ("bar_age_s", 120)])
def test_silence_blocks_past_its_limit(ages, limit_s):
    assert look(EntryGate(), 0, **{ages: limit_s}).is_open
    assert not look(EntryGate(), 0, **{ages: limit_s + 0.001}).is_open


def test_the_gate_opens_after_sixty_healthy_seconds_and_a_fault_starts_them_again():
    gate = look(EntryGate(), 0, tick_age_s=31)
    gate = look(gate, 1)
    gate = look(gate, 50, tick_age_s=31)
    gate = look(gate, 51)
    assert not look(gate, 110.9).is_open
    assert look(gate, 111).is_open
