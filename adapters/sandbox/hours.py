"""Days and hours: the calendars the sandbox reads when none are handed in, and the wall times that
are of the wire protocol, not of an exchange.

`market/timings` and `market/holidays` answer the calendars, whatever the host's zone and whether or
not the sandbox is always open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path

from domain.calendar import ExchangeCalendar, TradingSession, calendar_from
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, epoch_ns
from domain.errors import ConfigurationFault

FOLDER = Path(__file__).resolve().parents[2] / "calendars"
UNTRADED = "untraded"  # segments whose hours are answered while nothing of them is listed

MIS_RESUMES = time(9, 0)
SESSION_ROLLS_AT_HOUR = 3  # order and trade books cover one day from 03:00 (`openalgo.md` 4)
EXPIRY_CUT_OFF = {"CDS": time(12, 30), "BCD": time(12, 30), "MCX": time(23, 30)}
DEFAULT_EXPIRY_CUT_OFF = time(15, 30)
HOME_EXCHANGE = {"NSE_INDEX": "NSE", "BSE_INDEX": "BSE", "MCX_INDEX": "MCX", "GLOBAL_INDEX": "NSE"}


def shipped_calendars() -> dict[str, ExchangeCalendar]:
    """The calendar of each exchange with a file in `calendars/`, traded here or not."""
    paths = [*FOLDER.glob("*.json"), *(FOLDER / UNTRADED).glob("*.json")]
    return {
        path.stem: calendar_from(json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(paths)
    }


def with_square_off(
    calendars: Mapping[str, ExchangeCalendar], times: Mapping[str, time]
) -> dict[str, ExchangeCalendar]:
    """The calendars with other square-off times.

    Raises ConfigurationFault for a time outside the segment's present hours.
    """
    changed = dict(calendars)
    for name, moment in times.items():
        hours = calendars[name].hours
        opens, closes = hours[-1].opens, hours[-1].closes
        if not opens < moment <= closes:
            raise ConfigurationFault(
                f"account setting square_off: {name} squares off at {moment:%H:%M}, "
                f"but trades from {opens:%H:%M} to {closes:%H:%M}"
            )
        rows = tuple(replace(row, square_off=min(moment, row.closes)) for row in hours)
        changed[name] = replace(calendars[name], hours=rows)
    return changed


def midnight_ns(day: date) -> int:
    """The first moment of a day at the exchange."""
    return epoch_ns(datetime.combine(day, time(0), EXCHANGE_ZONE))


def whole_day(day: date) -> TradingSession:
    """The session of an always open day: it begins and ends at midnight, without a square-off."""
    first_ns = midnight_ns(day)
    last_ns = first_ns + 24 * 60 * NS_PER_MINUTE
    return TradingSession(day, first_ns, last_ns, last_ns, last_ns)
