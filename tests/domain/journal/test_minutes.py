"""A minute's counts, and what of an hour is too much."""

from __future__ import annotations

import pytest

from domain.journal.minutes import COUNTS, Minute, faults_of

QUIET = dict.fromkeys(COUNTS, 0) | {"latency_p99_ms": None}


def test_a_minute_holds_its_counts_averages_and_worst_latency():
    minute = Minute(60)
    for _ in range(5):
        minute.count("orders_placed")
    for latency, slippage in ((100.0, 1.0), (200.0, 0.0), (600.0, -1.0)):
        minute.filled(latency, slippage)
    minute.count("orders_rejected")
    row = minute.row()
    assert (row["minute_ns"], row["orders_placed"], row["orders_filled"]) == (60, 5, 3)
    assert (row["latency_avg_ms"], row["latency_p99_ms"]) == (300.0, 600.0)
    assert (row["slippage_ticks"], row["fill_rate"], row["failovers"]) == (0.0, 0.75, 0)


def test_a_minute_in_which_nothing_happened_has_no_row_and_no_fill_no_average():
    assert Minute(0).row() is None
    minute = Minute(0)
    minute.count("breaker_trips")
    row = minute.row()
    assert row["latency_avg_ms"] is None
    assert row["fill_rate"] is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"latency_p99_ms": 500.0}, None),
        ({"latency_p99_ms": 501.0}, "latency"),
        ({"orders_rejected": 1, "orders_filled": 9}, None),
        ({"orders_rejected": 2, "orders_filled": 9}, "rejects"),
        ({"orders_rejected": 2, "orders_filled": 2}, None),  # too few to judge
        ({"stale_blocks": 20}, None),
        ({"stale_blocks": 21}, "stale_blocks"),
        ({"failovers": 4}, "failovers"),
        ({"lease_reclaims": 6}, "lease_reclaims"),
    ],
)
def test_more_than_a_good_hour_brings_is_told(changes, fault):
    rows = [QUIET | changes]
    assert list(faults_of(rows, rows)) == ([fault] if fault else [])
