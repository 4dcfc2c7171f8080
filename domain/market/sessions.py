"""Which session counts at a moment: the calendar's, narrowed by settings, or the endless one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, tzinfo

from domain.calendar import ExchangeCalendar, TradingSession
from domain.clock import EXCHANGE_ZONE, epoch_ns, exchange_time, seconds

DAY_NS = seconds(86_400)


def midnight_ns(day: date) -> int:
    """The first moment of a day at the exchange."""
    return epoch_ns(datetime.combine(day, time.min, EXCHANGE_ZONE))


def session_of_day(
    calendar: ExchangeCalendar,
    at_ns: int,
    *,
    always_open: bool,
    opens: time | None = None,
    closes: time | None = None,
    zone: tzinfo = EXCHANGE_ZONE,
) -> TradingSession | None:
    """The session of the exchange's date at that moment; None when nothing trades on it.

    Settings narrow the hours and never widen them; theirs are read in `zone`. An always open
    session lasts the whole day and has no square-off: its appointments lie a day after its end.
    """
    day = exchange_time(at_ns).date()
    if always_open:
        first = midnight_ns(day)
        return TradingSession(day, first, first + DAY_NS, first + 2 * DAY_NS, first + 2 * DAY_NS)
    session = calendar.session(day)
    if session is None:
        return None
    opens_ns, closes_ns = session.opens_ns, session.closes_ns
    if opens:
        opens_ns = max(opens_ns, epoch_ns(datetime.combine(day, opens, zone)))
    if closes:
        closes_ns = min(closes_ns, epoch_ns(datetime.combine(day, closes, zone)))
    if opens_ns >= closes_ns:
        return None
    return replace(
        session,
        opens_ns=opens_ns,
        closes_ns=closes_ns,
        intraday_exit_ns=min(session.intraday_exit_ns, closes_ns),
        square_off_ns=min(session.square_off_ns, closes_ns),
    )


def expires_ns(calendar: ExchangeCalendar, expiry: date) -> int:
    """When an option of that expiry ends: the segment's close; the day's end without a session."""
    session = calendar.session(expiry)
    return session.closes_ns if session else midnight_ns(expiry) + DAY_NS


def last_entry_ns(calendar: ExchangeCalendar, expiry: date) -> int:
    """From when on expiry day its contracts are skipped for new entries (`tomic.md` 8.5)."""
    session = calendar.session(expiry)
    return session.intraday_exit_ns if session else midnight_ns(expiry) + DAY_NS
