"""Listed events (budget, central banks, election and company results) and how near they are in
sessions (`tomic.md` 15.3, 4). Data comes from outside, as rows.

Shipped ones stand in `calendars/events/events.json`, the operator's own in `events.json` of the
data folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from domain.calendar import ExchangeCalendar
from domain.errors import ConfigurationFault

NEAR_SESSIONS = 1
DAYS_APART_MAX = 14  # no two sessions lie further apart, whatever the holidays


class EventKind(StrEnum):
    """What an event is. CENTRAL_BANK is the Reserve Bank's decision, FED that of Washington."""

    BUDGET = "BUDGET"
    CENTRAL_BANK = "CENTRAL_BANK"
    FED = "FED"
    ELECTION = "ELECTION"
    RESULTS = "RESULTS"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Event:
    """One event by its date in India; `after_close` when the next session is the first to trade
    on it. `underlying` is empty for one that moves the whole market; `source` says whence the
    date comes."""

    day: date
    kind: EventKind
    name: str
    underlying: str = ""
    after_close: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class EventCalendar:
    """Events by date. After `known_until` those of a kind were not published when the file was
    made."""

    events: tuple[Event, ...] = ()
    known_until: Mapping[EventKind, date] = field(default_factory=dict)

    def between(self, first: date, last: date) -> tuple[Event, ...]:
        """Events of those days, both included, in order."""
        return tuple(row for row in self.events if first <= row.day <= last)

    def near(
        self, underlying: str, today: date, calendar: ExchangeCalendar | None
    ) -> tuple[Event, int] | None:
        """(event, sessions until it) of the nearest event within one session of today, on either
        side; negative for one that has been. None when there is none, or no calendar."""
        if calendar is None:
            return None
        found = []
        reach = timedelta(days=DAYS_APART_MAX)
        for row in self.between(today - reach, today + reach):
            if row.underlying not in ("", underlying):
                continue
            apart = _sessions_until(today, _trades_on(row, calendar), calendar)
            if abs(apart) <= NEAR_SESSIONS:
                found.append((row, apart))
        return min(found, key=lambda pair: (abs(pair[1]), -pair[1]), default=None)

    def joined(self, other: EventCalendar) -> EventCalendar:
        """Both; where both know until when a kind is known, the later day."""
        known = dict(self.known_until)
        for kind, day in other.known_until.items():
            known[kind] = max(day, known.get(kind, day))
        return EventCalendar(_sorted((*self.events, *other.events)), known)


def event_words(event: Event, apart: int) -> str:
    """As "Union Budget 2026-27 in 1 session"."""
    when = {0: "today", 1: "in 1 session", -1: "1 session ago"}
    return f"{event.name} {when.get(apart, f'in {apart} sessions')}"


def events_from(parsed: Any, file: str) -> EventCalendar:
    """A calendar from the parsed text of a file. Keys: `events`, rows of day, kind, name, source
    and where they apply underlying and after_close; `known_until`, kind to date. Raises
    ConfigurationFault that names the file and quotes the row it could not read.
    """
    if not isinstance(parsed, Mapping) or not isinstance(parsed.get("events"), list):
        raise ConfigurationFault(f"{file}: a list of rows under the key events is needed")
    rows = []
    for row in parsed["events"]:
        try:
            rows.append(_event(row))
        except (KeyError, TypeError, ValueError) as fault:
            raise ConfigurationFault(f"{file}, events: {row} cannot be read ({fault})") from fault
    known = {}
    for kind, day in dict(parsed.get("known_until") or {}).items():
        try:
            known[EventKind(kind)] = date.fromisoformat(day)
        except (TypeError, ValueError) as fault:
            text = f"{file}, known_until: {kind} {day!r} cannot be read ({fault})"
            raise ConfigurationFault(text) from fault
    return EventCalendar(_sorted(rows), known)


def _event(row: Mapping[str, Any]) -> Event:
    unknown = set(row) - {"day", "kind", "name", "underlying", "after_close", "source"}
    if unknown:
        raise ValueError(f"unknown key {min(unknown)}")
    kind, name = EventKind(row["kind"]), str(row["name"]).strip()
    underlying = str(row.get("underlying", "")).upper()
    if not name:
        raise ValueError("an event needs a name")
    if kind is EventKind.RESULTS and not underlying:
        raise ValueError("results need the underlying whose they are")
    if not isinstance(row.get("after_close", False), bool):
        raise ValueError("after_close is true or false")
    return Event(
        date.fromisoformat(row["day"]),
        kind,
        name,
        underlying,
        row.get("after_close", False),
        str(row.get("source", "")),
    )


def _sorted(rows: Iterable[Event]) -> tuple[Event, ...]:
    return tuple(sorted(rows, key=lambda row: (row.day, row.name)))


def _trades_on(event: Event, calendar: ExchangeCalendar) -> date:
    """The first session that trades on what the event told; its own day when none is near."""
    first = event.day + timedelta(days=1) if event.after_close else event.day
    days = (first + timedelta(days=n) for n in range(DAYS_APART_MAX))
    return next((day for day in days if calendar.session(day)), event.day)


def _sessions_until(today: date, day: date, calendar: ExchangeCalendar) -> int:
    """Sessions from the day after the earlier one to the later one; negative when `day` has
    been."""
    if day == today:
        return 0
    first, last = sorted((today, day))
    days = (first + timedelta(days=n) for n in range(1, (last - first).days + 1))
    count = sum(1 for one in days if calendar.session(one))
    return count if day > today else -count
