"""Seed data: hours, square-off times, holidays and expiry cut-offs, all wall time in India.

`market/timings` and `market/holidays` answer these, whatever the host's zone and whether or not the
sandbox is always open. A program may hand in other calendars (`SandboxConfig.calendars`).
"""

from __future__ import annotations

from datetime import date, datetime, time

from domain.calendar import ExchangeCalendar, SessionHours, TradingSession
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, epoch_ns

_SINCE = date(2020, 1, 1)
_DERIVATIVES_LONGER_SINCE = date(2026, 8, 3)
_MORNING, _EQUITY_CLOSE, _EQUITY_SQUARE_OFF = time(9, 15), time(15, 30), time(15, 15)

MIS_RESUMES = time(9, 0)
SESSION_ROLLS_AT_HOUR = 3  # order and trade books cover one day from 03:00 (`openalgo.md` 4)
EXPIRY_CUT_OFF = {"CDS": time(12, 30), "BCD": time(12, 30), "MCX": time(23, 30)}
DEFAULT_EXPIRY_CUT_OFF = time(15, 30)
HOME_EXCHANGE = {"NSE_INDEX": "NSE", "BSE_INDEX": "BSE", "MCX_INDEX": "MCX", "GLOBAL_INDEX": "NSE"}

HOLIDAYS: dict[date, str] = {
    date(2025, 2, 26): "Maha Shivaratri",
    date(2025, 3, 14): "Holi",
    date(2025, 3, 31): "Id-Ul-Fitr",
    date(2025, 4, 10): "Mahavir Jayanti",
    date(2025, 4, 14): "Ambedkar Jayanti",
    date(2025, 4, 18): "Good Friday",
    date(2025, 5, 1): "Maharashtra Day",
    date(2025, 8, 15): "Independence Day",
    date(2025, 8, 27): "Ganesh Chaturthi",
    date(2025, 10, 2): "Gandhi Jayanti and Dussehra",
    date(2025, 10, 21): "Diwali Laxmi Pujan",
    date(2025, 10, 22): "Diwali Balipratipada",
    date(2025, 11, 5): "Guru Nanak Jayanti",
    date(2025, 12, 25): "Christmas",
    date(2026, 1, 15): "Maharashtra municipal elections",
    date(2026, 1, 26): "Republic Day",
    date(2026, 3, 3): "Holi",
    date(2026, 3, 26): "Ram Navami",
    date(2026, 3, 31): "Mahavir Jayanti",
    date(2026, 4, 3): "Good Friday",
    date(2026, 4, 14): "Ambedkar Jayanti",
    date(2026, 5, 1): "Maharashtra Day",
    date(2026, 5, 28): "Bakri Id",
    date(2026, 6, 26): "Muharram",
    date(2026, 9, 14): "Ganesh Chaturthi",
    date(2026, 10, 2): "Gandhi Jayanti",
    date(2026, 10, 20): "Dussehra",
    date(2026, 11, 10): "Diwali Balipratipada",
    date(2026, 11, 24): "Guru Nanak Jayanti",
    date(2026, 12, 25): "Christmas",
}
SPECIAL_SESSIONS: dict[date, tuple[time, time]] = {date(2025, 10, 21): (time(13, 45), time(14, 45))}


def midnight_ns(day: date) -> int:
    """The first moment of a day at the exchange."""
    return epoch_ns(datetime.combine(day, time(0), EXCHANGE_ZONE))


def whole_day(day: date) -> TradingSession:
    """The session of an always open day: it begins and ends at midnight, without a square-off."""
    first_ns = midnight_ns(day)
    last_ns = first_ns + 24 * 60 * NS_PER_MINUTE
    return TradingSession(day, first_ns, last_ns, last_ns, last_ns)


def _hours(opens: time, closes: time, square_off: time) -> tuple[SessionHours, ...]:
    return (SessionHours(_SINCE, opens, closes, square_off, square_off),)


def _calendar(exchange: str, hours: tuple[SessionHours, ...]) -> ExchangeCalendar:
    return ExchangeCalendar(exchange, hours, HOLIDAYS, SPECIAL_SESSIONS)


def seed_calendars() -> dict[str, ExchangeCalendar]:
    """Calendars by exchange (`openalgo.md` 5 timings, 10 square-off; `design.md` 8)."""
    cash = _hours(_MORNING, _EQUITY_CLOSE, _EQUITY_SQUARE_OFF)
    longer = SessionHours(
        _DERIVATIVES_LONGER_SINCE, _MORNING, time(15, 40), _EQUITY_SQUARE_OFF, _EQUITY_SQUARE_OFF
    )
    currency = _hours(time(9, 0), time(17, 0), time(16, 45))
    return {
        "NSE": _calendar("NSE", cash),
        "BSE": _calendar("BSE", cash),
        "NFO": _calendar("NFO", (*cash, longer)),
        "BFO": _calendar("BFO", (*cash, longer)),
        "CDS": _calendar("CDS", currency),
        "BCD": _calendar("BCD", currency),
        "NCDEX": _calendar("NCDEX", _hours(time(9, 0), time(17, 0), time(17, 0))),
        "MCX": _calendar("MCX", _hours(time(9, 0), time(23, 30), time(23, 30))),
    }
