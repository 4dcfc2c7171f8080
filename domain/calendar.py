"""Exchange calendar: when a segment opens and closes, which days trade. Data comes from outside, as
rows.

`ExchangeCalendar` is built from the files in `calendars/` by system.py; special sessions and
changes of hours by date are rows of those files (`design.md` 8).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from domain.clock import EXCHANGE_ZONE, epoch_ns, exchange_time
from domain.errors import ConfigurationFault


@dataclass(frozen=True, slots=True)
class SessionHours:
    """Regular hours of a segment from a date on; wall time at the exchange."""

    since: date
    opens: time
    closes: time
    intraday_exit: time
    square_off: time


@dataclass(frozen=True, slots=True)
class SpecialSession:
    """Hours of one day that differ from the regular ones, or that a holiday has; wall time."""

    opens: time
    closes: time
    why: str = ""


@dataclass(frozen=True, slots=True)
class TradingSession:
    """One day's session of a segment, epoch nanoseconds; open <= t < close."""

    day: date
    opens_ns: int
    closes_ns: int
    intraday_exit_ns: int
    square_off_ns: int

    def contains(self, at_ns: int) -> bool:
        """True while the segment trades."""
        return self.opens_ns <= at_ns < self.closes_ns


@dataclass(frozen=True, slots=True)
class ExchangeCalendar:
    """Hours (ascending by `since`), holidays and special sessions of one segment. After
    `known_until` its holidays were not yet published when the file was made."""

    exchange: str
    hours: tuple[SessionHours, ...]
    holidays: Mapping[date, str] = field(default_factory=dict)
    special: Mapping[date, SpecialSession] = field(default_factory=dict)
    known_until: date = date.max

    def session(self, day: date) -> TradingSession | None:
        """The session of that day; None on weekends and holidays without a special session."""
        hours = self._hours(day)
        if day in self.special:
            row = self.special[day]
            return self._session(day, row.opens, row.closes, row.closes, row.closes)
        if day.weekday() >= 5 or day in self.holidays or hours is None:
            return None
        return self._session(day, hours.opens, hours.closes, hours.intraday_exit, hours.square_off)

    def session_at(self, at_ns: int) -> TradingSession | None:
        """The session of the exchange's date at that moment, open or not."""
        return self.session(exchange_time(at_ns).date())

    def is_open(self, at_ns: int) -> bool:
        """True while the segment trades at that moment."""
        session = self.session_at(at_ns)
        return session is not None and session.contains(at_ns)

    def next_session(self, after_ns: int) -> TradingSession:
        """The first session that opens later than that moment."""
        day = exchange_time(after_ns).date()
        for _ in range(370):
            session = self.session(day)
            if session and session.opens_ns > after_ns:
                return session
            day += timedelta(days=1)
        raise ValueError(f"calendar of {self.exchange} lists no session within a year of {day}")

    def closed_reason(self, at_ns: int) -> str:
        """Why the segment does not trade at that moment; empty while it does."""
        day = exchange_time(at_ns).date()
        session = self.session(day)
        if session is None:
            return self.holidays.get(day, "weekend")
        if at_ns < session.opens_ns:
            return "before the open"
        return "after the close" if at_ns >= session.closes_ns else ""

    def day_words(self, day: date) -> str:
        """The day in a few words: its hours, why they are special, or why nothing trades."""
        session = self.session(day)
        if session is None:
            return self.holidays.get(day, "weekend")
        opens, closes = exchange_time(session.opens_ns), exchange_time(session.closes_ns)
        why = self.special[day].why if day in self.special else ""
        reasons = ", ".join(word for word in (self.holidays.get(day), why) if word)
        return f"{opens:%H:%M}-{closes:%H:%M}" + (f" {reasons}" if reasons else "")

    def changes_between(self, first: date, last: date) -> list[str]:
        """A sentence for each day from `first` to `last` on which regular hours become others."""
        found = []
        for before, row in itertools.pairwise(self.hours):
            if first <= row.since <= last:
                found.append(
                    f"{self.exchange} trades {row.opens:%H:%M}-{row.closes:%H:%M} from "
                    f"{row.since} on, until then {before.opens:%H:%M}-{before.closes:%H:%M}"
                )
        return found

    def _hours(self, day: date) -> SessionHours | None:
        return next((row for row in reversed(self.hours) if row.since <= day), None)

    @staticmethod
    def _session(
        day: date, opens: time, closes: time, leaves: time, square: time
    ) -> TradingSession:
        moments = (
            epoch_ns(datetime.combine(day, moment, EXCHANGE_ZONE))
            for moment in (opens, closes, leaves, square)
        )
        return TradingSession(day, *moments)


def calendar_from(parsed: Mapping[str, Any]) -> ExchangeCalendar:
    """A calendar from the parsed text of one file of `calendars/`; times are wall time in India.

    Keys: `exchange`; `hours`, rows of since, opens, closes, intraday_exit, square_off; `holidays`,
    date to name; `special`, date to opens, closes and why; `known_until`. Raises ConfigurationFault
    that quotes the row it could not read.
    """
    exchange = parsed.get("exchange", "")
    if not exchange or not parsed.get("hours"):
        raise ConfigurationFault("a calendar needs the keys exchange and hours")
    readers: dict[str, Callable[[Any], Any]] = {
        "hours": _hours_row,
        "holidays": _holiday,
        "special": _special,
    }
    rows: dict[str, list[Any]] = {}
    for key, read in readers.items():
        given = parsed.get(key, {})
        rows[key] = []
        for row in given.items() if isinstance(given, Mapping) else given:
            try:
                rows[key].append(read(row))
            except (KeyError, TypeError, ValueError) as fault:
                raise ConfigurationFault(
                    f"calendar {exchange}, {key}: {row} cannot be read ({fault})"
                ) from fault
    hours = tuple(sorted(rows["hours"], key=lambda row: row.since))
    return ExchangeCalendar(
        exchange,
        hours,
        dict(rows["holidays"]),
        dict(rows["special"]),
        _known_until(exchange, parsed.get("known_until")),
    )


def _known_until(exchange: str, text: Any) -> date:
    if text is None:
        return date.max
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError) as fault:
        raise ConfigurationFault(
            f"calendar {exchange}, known_until: {text!r} cannot be read ({fault})"
        ) from fault


def _hours_row(row: Mapping[str, str]) -> SessionHours:
    moments = [
        time.fromisoformat(row[key]) for key in ("opens", "closes", "intraday_exit", "square_off")
    ]
    if not moments[0] < moments[2] <= moments[3] <= moments[1]:
        raise ValueError("the order of a day is opens, intraday_exit, square_off, closes")
    return SessionHours(date.fromisoformat(row["since"]), *moments)


def _holiday(row: tuple[str, str]) -> tuple[date, str]:
    return date.fromisoformat(row[0]), str(row[1])


def _special(row: tuple[str, Mapping[str, str]]) -> tuple[date, SpecialSession]:
    opens, closes = (time.fromisoformat(row[1][key]) for key in ("opens", "closes"))
    if opens >= closes:
        raise ValueError("a session opens before it closes")
    return date.fromisoformat(row[0]), SpecialSession(opens, closes, str(row[1].get("why", "")))
