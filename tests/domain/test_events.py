"""Listed events: how near they are in sessions, and what their reader refuses."""

from __future__ import annotations

import json
from datetime import date, time
from pathlib import Path

import pytest

from domain.calendar import ExchangeCalendar, SessionHours, calendar_from
from domain.errors import ConfigurationFault
from domain.events import Event, EventCalendar, EventKind, event_words, events_from

FOLDER = Path(__file__).parents[2] / "calendars"
HOURS = SessionHours(date(2020, 1, 1), time(9, 15), time(15, 30), time(15), time(15, 15))
# Friday 20, Monday 23, Tuesday 24 (a holiday), Wednesday 25 November 2026.
CALENDAR = ExchangeCalendar("NFO", (HOURS,), {date(2026, 11, 24): "Guru Nanak Jayanti"})


def listed(day: int, **more) -> EventCalendar:
    return EventCalendar((Event(date(2026, 11, day), EventKind.OTHER, "It", **more),))


@pytest.mark.parametrize(
    ("event", "today", "apart"),
    [
        (listed(20), 18, None),  # two sessions before
        (listed(20), 19, 1),
        (listed(20), 20, 0),
        (listed(20), 23, -1),  # the session after
        (listed(20), 25, None),
        (listed(22), 20, 1),  # of a Sunday: Monday is the first to trade on it
        (listed(22), 19, None),
        (listed(22), 23, 0),
        (listed(23), 25, -1),  # the holiday between is no session
        (listed(20, after_close=True), 19, None),
        (listed(20, after_close=True), 20, 1),
        (listed(20, after_close=True), 23, 0),
    ],
)
def test_an_event_is_near_within_one_session_on_either_side(event, today, apart):
    found = event.near("NIFTY", date(2026, 11, today), CALENDAR)
    assert (found and found[1]) == apart
    assert (found is None) == (apart is None)


def test_results_count_for_their_own_share_only():
    calendar = listed(20, underlying="ACME")
    assert calendar.near("NIFTY", date(2026, 11, 20), CALENDAR) is None
    assert calendar.near("ACME", date(2026, 11, 20), CALENDAR)[1] == 0


def test_the_nearest_of_several_is_named_and_of_two_as_near_the_one_to_come():
    before, after = listed(19).events[0], listed(23).events[0]
    both = EventCalendar((before, after))
    assert both.near("NIFTY", date(2026, 11, 20), CALENDAR) == (after, 1)


def test_without_a_calendar_no_event_is_near():
    assert listed(20).near("NIFTY", date(2026, 11, 20), None) is None


def test_it_is_said_when():
    event = listed(20).events[0]
    told = [event_words(event, apart) for apart in (0, 1, -1)]
    assert told == ["It today", "It in 1 session", "It 1 session ago"]


def test_the_operators_own_join_the_shipped_ones_in_order():
    mine = EventCalendar(listed(18).events, {EventKind.FED: date(2026, 1, 1)})
    shipped = EventCalendar(listed(20).events, {EventKind.FED: date(2027, 1, 1)})
    joined = mine.joined(shipped)
    assert [row.day.day for row in joined.events] == [18, 20]
    assert joined.known_until == {EventKind.FED: date(2027, 1, 1)}


GOOD = {"day": "2026-11-20", "kind": "RESULTS", "name": "Q2", "underlying": "acme"}


def test_a_row_is_read():
    (event,) = events_from({"events": [GOOD]}, "events.json").events
    assert event == Event(date(2026, 11, 20), EventKind.RESULTS, "Q2", "ACME")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"day": "20 Nov"}, "Invalid isoformat"),
        ({"kind": "PARTY"}, "'PARTY' is not a valid EventKind"),
        ({"name": " "}, "an event needs a name"),
        ({"underlying": ""}, "results need the underlying"),
        ({"after_close": "yes"}, "after_close is true or false"),
        ({"colour": "red"}, "unknown key colour"),
    ],
)
def test_a_row_that_cannot_be_read_is_quoted_with_its_file(change, word):
    with pytest.raises(ConfigurationFault, match=word) as told:
        events_from({"events": [GOOD | change]}, "var/events.json")
    assert str(told.value).startswith("var/events.json, events: {'day'")


@pytest.mark.parametrize("parsed", [[], {}, {"events": "none"}, {"events": {"day": "x"}}])
def test_a_file_without_a_list_of_events_is_refused(parsed):
    with pytest.raises(ConfigurationFault, match="a list of rows under the key events"):
        events_from(parsed, "events.json")


def test_a_date_until_which_nothing_can_be_known_is_refused():
    with pytest.raises(ConfigurationFault, match="known_until: FED 'soon' cannot be read"):
        events_from({"events": [], "known_until": {"FED": "soon"}}, "events.json")


def test_the_shipped_events_are_read_and_each_tells_its_source():
    parsed = json.loads((FOLDER / "events" / "events.json").read_text())
    shipped = events_from(parsed, "events.json")
    assert all(row.source for row in shipped.events)
    assert len({(row.day, row.name) for row in shipped.events}) == len(shipped.events)
    nfo = calendar_from(json.loads((FOLDER / "NFO.json").read_text()))
    # The budget of Sunday 2026-02-01 had a session of its own; the Fed speaks after the close.
    assert shipped.near("NIFTY", date(2026, 2, 1), nfo)[1] == 0
    assert shipped.near("NIFTY", date(2026, 12, 10), nfo)[0].kind is EventKind.FED
    fed = [row.day for row in shipped.events if row.kind is EventKind.FED]
    assert max(fed) == shipped.known_until[EventKind.FED]
