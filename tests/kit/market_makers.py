"""Listings, a calendar and ticks of a small market: two indices and four expiries of options."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

import numpy as np

from domain.calendar import ExchangeCalendar, SessionHours
from domain.clock import EXCHANGE_ZONE, epoch_ns, seconds
from domain.instruments import Kind, Listing, option_symbol
from domain.prices import TICK_DTYPE

DAY = date(2026, 11, 20)  # a Friday
EXPIRIES = (date(2026, 11, 24), date(2026, 12, 1), date(2026, 12, 8), date(2026, 12, 29))
CALENDAR = ExchangeCalendar(
    "NFO",
    (SessionHours(date(2020, 1, 1), time(9, 15), time(15, 40), time(15, 0), time(15, 15)),),
    {date(2026, 11, 23): "a holiday"},
)


def at(hour: int, minute: int, second: float = 0.0, day: date = DAY) -> int:
    return epoch_ns(datetime.combine(day, time(hour, minute), EXCHANGE_ZONE)) + seconds(second)


def listings() -> list[Listing]:
    """NIFTY, INDIAVIX, and NIFTY options every 50 points from 22000 to 26000."""
    tick = Decimal("0.05")
    rows = [
        Listing(0, "NSE_INDEX", name, name, Kind.INDEX, 1, tick, 0)
        for name in ("NIFTY", "INDIAVIX")
    ]
    for day in EXPIRIES:
        for strike in range(22_000, 26_001, 50):
            for kind in (Kind.CALL, Kind.PUT):
                symbol = option_symbol("NIFTY", day, Decimal(strike), kind)
                rows.append(
                    Listing(0, "NFO", symbol, "NIFTY", kind, 65, tick, 1800, day, Decimal(strike))
                )
    return rows


def make_ticks(*rows, mode: int = 3) -> np.ndarray:
    """Rows of (listing_id, received, ltp[, cumulative volume])."""
    batch = np.zeros(len(rows), TICK_DTYPE)
    for name in ("bid", "ask", "iv"):
        batch[name] = np.nan
    batch["mode"], batch["open_interest"] = mode, -1
    for tick, row in zip(batch, rows, strict=True):
        tick["listing"], tick["ts_ns"], tick["received_ns"], tick["ltp"] = (
            row[0],
            row[1],
            row[1],
            row[2],
        )
        tick["volume"] = row[3] if len(row) > 3 else -1
    return batch
