"""The shipped calendars against exchange_calendars, whose XBOM is the Bombay exchange's equity.

It knows holidays and no special session: what differs is listed here with its reason. It has no
calendar of a commodity exchange; that one is held against the equity's days and its own rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import exchange_calendars
import pytest

from domain.calendar import ExchangeCalendar, calendar_from
from domain.clock import exchange_time

pytestmark = pytest.mark.filterwarnings("ignore:Series.values")  # the library's own, of pandas

FOLDER = Path(__file__).parents[2] / "calendars"
FIRST, LAST = date(2024, 1, 1), date(2026, 12, 31)
SPECIAL = {
    date(2024, 11, 1): "an hour in the evening of Diwali; a holiday to the library",
    date(2025, 2, 1): "the Union Budget on a Saturday",
    date(2025, 10, 21): "an hour in the afternoon of Diwali; a holiday to the library",
    date(2026, 2, 1): "the Union Budget on a Sunday",
}
CLOSED_WHOLE_DAY = {date(2026, 1, 26), date(2026, 4, 3), date(2026, 10, 2), date(2026, 12, 25)}


def shipped(exchange: str) -> ExchangeCalendar:
    return calendar_from(json.loads((FOLDER / f"{exchange}.json").read_text(encoding="utf-8")))


def days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


@pytest.fixture(scope="module")
def library() -> set[date]:
    """Days on which Bombay's equity trades."""
    found = exchange_calendars.get_calendar("XBOM", start=FIRST, end=LAST)
    return {stamp.date() for stamp in found.sessions}


@pytest.mark.parametrize("exchange", ["NSE", "BSE", "NFO", "BFO"])
def test_the_days_are_the_librarys_but_for_special_sessions(
    exchange: str, library: set[date]
) -> None:
    ours = {day for day in days(FIRST, LAST) if shipped(exchange).session(day)}
    assert ours - library == set(SPECIAL)
    assert library - ours == set()


def test_the_feast_of_guru_nanak_2026_is_a_holiday_to_both(library: set[date]) -> None:
    assert date(2026, 11, 24) not in library
    assert shipped("NFO").session(date(2026, 11, 24)) is None
    assert shipped("NFO").day_words(date(2026, 11, 24)) == "Guru Nanak Jayanti"


def test_regular_hours_are_the_librarys_until_the_longer_day_of_august_2026() -> None:
    """The library still closes at 15:30; the exchanges trade longer since 2026-08-03."""
    found = exchange_calendars.get_calendar("XBOM", start=FIRST, end=LAST)
    calendar = shipped("NSE")
    for stamp in found.sessions:
        session = calendar.session(stamp.date())
        assert session is not None
        assert session.opens_ns == found.session_open(stamp).value
        if stamp.date() < date(2026, 8, 3) and stamp.date() not in SPECIAL:
            assert session.closes_ns == found.session_close(stamp).value
    assert f"{exchange_time(calendar.session(date(2026, 8, 3)).closes_ns):%H:%M}" == "15:35"


def test_commodities_open_in_the_evening_of_most_holidays() -> None:
    equity, commodity = shipped("NSE"), shipped("MCX")
    for day in days(date(2026, 1, 1), date(2026, 12, 31)):
        if day.weekday() >= 5:
            assert commodity.session(day) is None
        elif day in CLOSED_WHOLE_DAY:
            assert commodity.session(day) is None
            assert equity.session(day) is None
        else:
            session = commodity.session(day)
            opens = "09:00" if equity.session(day) else "17:00"
            assert f"{exchange_time(session.opens_ns):%H:%M}" == opens, day


@pytest.mark.parametrize(
    ("day", "closes"),
    [
        (date(2026, 1, 1), "17:00"),
        (date(2026, 3, 6), "23:55"),
        (date(2026, 3, 9), "23:30"),
        (date(2026, 10, 30), "23:30"),
        (date(2026, 11, 2), "23:55"),
        (date(2026, 11, 24), "23:55"),
    ],
)
def test_commodities_close_with_new_york_and_on_new_years_day_at_five(
    day: date, closes: str
) -> None:
    """17:00 at New York's summer clock is 02:30 in India; the session follows that clock."""
    assert f"{exchange_time(shipped('MCX').session(day).closes_ns):%H:%M}" == closes
