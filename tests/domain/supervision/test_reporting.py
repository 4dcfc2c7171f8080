"""A report is news unless only its ages went on."""

from __future__ import annotations

from typing import Any

import pytest

from domain.supervision.reporting import says_nothing_new

BEFORE = {"state": "live", "last_tick_age_s": 9.6, "last_error_age_s": -1.0, "ticks": 7}


@pytest.mark.parametrize(
    ("changed", "is_old"),
    [
        ({"last_tick_age_s": 11.6}, True),
        ({"last_tick_age_s": 11.9}, True),  # a beat that was late
        ({"last_tick_age_s": 0.3}, False),  # a tick came
        ({"last_tick_age_s": -1.0}, False),
        ({"last_tick_age_s": None}, False),
        ({"last_tick_age_s": 11.6, "last_error_age_s": 0.0}, False),
        ({"last_tick_age_s": 11.6, "state": "down"}, False),
        ({"last_tick_age_s": 11.6, "ticks": 9}, False),  # a count is no age
        ({"last_tick_age_s": 11.6, "lost": 0}, False),
    ],
)
def test_a_report_two_seconds_later_is_old_when_only_its_ages_went_on(
    changed: dict[str, Any], is_old: bool
) -> None:
    assert says_nothing_new(BEFORE | changed, BEFORE, 2.0) is is_old


def test_what_never_changes_is_old_however_late() -> None:
    assert says_nothing_new({"state": "live"}, {"state": "live"}, 4.0)


def test_a_report_with_a_key_less_is_news() -> None:
    assert not says_nothing_new({"state": "live"}, {"state": "live", "why": ""}, 1.0)
