"""`--calendar`: the week ahead, exchange by exchange."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from datetime import date, timedelta

from rich.table import Table

from domain.calendar import ExchangeCalendar
from domain.clock import exchange_time
from domain.errors import ConfigurationFault
from domain.events import Event, EventCalendar
from launch.build import EVENTS_FILE

DAYS = 7
LOOK_AHEAD = timedelta(days=35)  # for changes of hours, and for the end of what is known


def first_day(arguments: argparse.Namespace) -> date:
    """The day asked for; today at the exchange when none is. Raises ConfigurationFault."""
    if arguments.calendar == "today":
        return exchange_time(time.time_ns()).date()
    try:
        return date.fromisoformat(arguments.calendar)
    except ValueError:
        raise ConfigurationFault(
            f"--calendar {arguments.calendar}: must be a day as YYYY-MM-DD"
        ) from None


def week(calendars: Mapping[str, ExchangeCalendar], events: EventCalendar, first: date) -> Table:
    """A row a day, a column an exchange: its hours, or why it is closed; and what is to happen on
    that day. Wall time in India."""
    title = f"The week from {first} on, Indian time"
    table = Table("day", *calendars, "events", title=title, show_lines=True)
    for offset in range(DAYS):
        day = first + timedelta(days=offset)
        cells = (calendar.day_words(day) for calendar in calendars.values())
        told = "\n".join(_words(row) for row in events.between(day, day))
        table.add_row(f"{day:%a} {day}", *cells, told)
    return table


def _words(event: Event) -> str:
    whose = f" ({event.underlying})" if event.underlying else ""
    return f"{event.name}{whose}{', after the close' if event.after_close else ''}"


def notes(
    calendars: Mapping[str, ExchangeCalendar], events: EventCalendar, first: date
) -> list[str]:
    """Changes of hours in the next weeks, the next holiday of each exchange, and what ends."""
    last = first + LOOK_AHEAD
    lines = [line for row in calendars.values() for line in row.changes_between(first, last)]
    for name, row in calendars.items():
        coming = min((day for day in row.holidays if day >= first), default=None)
        if coming:
            lines.append(f"{name}: next holiday {coming} {row.day_words(coming)}")
    return [*lines, *warnings(calendars, last), *events_unknown(events, last)]


def warnings(calendars: Mapping[str, ExchangeCalendar], day: date) -> list[str]:
    """A sentence for each calendar whose holidays are not known on that day."""
    return [
        f"the holidays of {name} are known until {row.known_until}; bring calendars/{name}.json up "
        f"to date, or it takes every later weekday for a trading day"
        for name, row in calendars.items()
        if row.known_until < day
    ]


def events_unknown(events: EventCalendar, day: date) -> list[str]:
    """A sentence for each kind of event whose dates are not known on that day."""
    return [
        f"events of kind {kind} are known until {until}; add later ones to {EVENTS_FILE} in the "
        f"data folder, or entries take no care of them"
        for kind, until in events.known_until.items()
        if until < day
    ]
