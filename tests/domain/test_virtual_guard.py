"""Levels of a long single option, by the figures of `tomic.md` 8.10."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.settings import Settings
from domain.virtual_guard import (
    GuardRules,
    check_price,
    check_silence,
    guard_levels,
    is_single_long,
    rules_of,
)
from tests.kit.risk_makers import a_position

RULES = GuardRules()
LONG = a_position("BUY", "CE", 23_000, 100, strategy="DITM_CALL")


def ends(path: list[float], entry: float = 100.0, rules: GuardRules = RULES):
    """(price, code) at which a path of prices leaves; None when it does not."""
    high = 0.0
    for last in path:
        high = max(high, last)
        verdict = check_price(guard_levels(entry, high, rules), last)
        if verdict:
            return last, verdict.code
    return None


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ([100, 120, 111], (111, "VIRTUAL_TRAIL")),  # the stop stands at 120 - 8
        ([100, 120, 112.05, 113], None),
        ([100, 120, 112], (112, "VIRTUAL_TRAIL")),
        ([100, 114.95, 76], None),  # below the trigger nothing trails
        ([100, 115, 107], (107, "VIRTUAL_TRAIL")),
        ([100, 75.05], None),
        ([100, 75], (75, "VIRTUAL_SL")),
        ([100, 134.95], None),
        ([100, 135], (135, "VIRTUAL_TP")),
        ([100, math.nan, 0.0], None),
    ],
)
def test_a_path_of_prices_leaves_where_the_specification_says(path, end):
    assert ends(path) == end


def test_without_the_trail_the_stop_stays_where_it_was():
    assert ends([100, 130, 76], rules=replace(RULES, trails=False)) is None


def test_a_cheap_option_trails_by_a_paisa_at_least():
    levels = guard_levels(0.10, 0.12, RULES)
    assert (levels.trailing, levels.stop) == (True, pytest.approx(0.11))


def test_the_settings_are_the_shares():
    own = Settings(
        virtual_sl_pct=0.4, virtual_tp_pct=0.5, virtual_trail_trigger_pct=0.2,
        virtual_trail_offset_pct=0.1, virtual_tick_max_age_s=5.0,
    )  # fmt: skip
    rules = rules_of(own)
    assert (guard_levels(100, 0, rules).stop, guard_levels(100, 0, rules).target) == (60, 150)
    assert guard_levels(100, 120, rules).stop == 110
    assert guard_levels(100, 119.95, rules).stop == 60
    assert not rules_of(Settings(virtual_trail_enabled=False)).trails
    assert rules_of(Settings(virtual_risk_enabled=False)) is None


@given(
    entry=st.floats(0.05, 5_000),
    path=st.lists(st.floats(0.05, 20_000), min_size=1, max_size=30),
)
def test_the_stop_never_falls_and_never_passes_the_best_price(entry, path):
    stops, high = [], 0.0
    for last in path:
        high = max(high, last)
        levels = guard_levels(entry, high, RULES)
        stops.append(levels.stop)
        assert levels.stop <= max(high, entry)
    assert stops == sorted(stops)


@pytest.mark.parametrize(
    ("option_age_s", "feed_age_s", "code"),
    [
        (15.0, 15.0, None),
        (15.1, 0.5, "VIRTUAL_STALE"),
        (600.0, 60.0, "VIRTUAL_STALE"),  # a quiet option while others trade
        (60.1, 60.1, "VIRTUAL_SILENT"),
    ],
)
def test_a_quiet_option_is_told_of_and_a_silent_feed_is_left(option_age_s, feed_age_s, code):
    verdict = check_silence(option_age_s, feed_age_s, RULES)
    assert (verdict.code if verdict else None) == code
    if verdict:
        assert (verdict.action == "CLOSE_BLIND") == (code == "VIRTUAL_SILENT")


def test_only_a_long_option_bought_for_its_own_sake_is_guarded():
    assert is_single_long([LONG])
    assert not is_single_long([replace(LONG, direction="SELL")])
    assert not is_single_long([LONG, LONG])
    # What is left of a spread or of a gamma purchase has a rule of its own.
    assert not is_single_long([replace(LONG, strategy="BULL_PUT_SPREAD")])
    assert not is_single_long([replace(LONG, strategy="GAMMA_CAPTURE")])
