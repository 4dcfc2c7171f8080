"""A small recorded option chain in the recorded file's own format, consistent with Black-76."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

from domain import black76
from domain.clock import EXCHANGE_ZONE

HEADER = ["ts", "expiry", "strike", "type", "spot", "ltp", "volume", "oi", "iv"]
START = datetime(2026, 8, 19, 11, 27, tzinfo=EXCHANGE_ZONE)
EXPIRIES = (date(2026, 8, 25), date(2026, 9, 29))  # a weekly one, and a monthly one 41 days away
SPOT, STEP, RATE = 24_050.0, 50, 0.06
EXPIRY_CLOSE = time(15, 40)


def session_rows(
    *,
    minutes: int = 10,
    start: datetime = START,
    expiries: Sequence[date] = EXPIRIES,
    strikes: int = 20,
    volatility: float = 0.16,
    spots: Sequence[float] = (),
) -> list[list[str]]:
    """Rows as texts, without the header: a snapshot a minute, `strikes` strikes around the spot.

    `spots` gives the spot of each minute (the last one stays); by default it swings by 12 points.
    """
    path = list(spots) or [SPOT + 12 * ((n % 4) - 1.5) for n in range(minutes)]
    middle = round(path[0] / STEP) * STEP
    ladder = [middle + STEP * (n - strikes // 2) for n in range(strikes)]
    rows = []
    for minute in range(minutes):
        at = start + timedelta(minutes=minute)
        spot = path[min(minute, len(path) - 1)]
        for expiry in expiries:
            left = datetime.combine(expiry, EXPIRY_CLOSE, EXCHANGE_ZONE) - at
            years = left / timedelta(days=365)
            forward = black76.forward_of(spot, years, rate=RATE)
            for strike in ladder:
                for is_call in (True, False):
                    fair = black76.price(
                        forward, strike, years, volatility=volatility, rate=RATE, is_call=is_call
                    )
                    ltp = max(round(float(fair) / 0.05) * 0.05, 0.05)
                    rows.append(
                        [
                            at.isoformat(),
                            expiry.isoformat(),
                            str(strike),
                            "CE" if is_call else "PE",
                            f"{spot:.2f}",
                            f"{ltp:.2f}",
                            str(1_000 + 10 * minute),
                            "5000",
                            f"{volatility * 100:.2f}",
                        ]
                    )
    return rows


def write_rows(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    """Writes a file of these rows, gzipped when the name ends with .gz."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as text:
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return path


def write_session(
    path: Path,
    *,
    minutes: int = 10,
    start: datetime = START,
    expiries: Sequence[date] = EXPIRIES,
    strikes: int = 20,
    volatility: float = 0.16,
    spots: Sequence[float] = (),
) -> Path:
    """A whole session on disk; see session_rows."""
    rows = session_rows(
        minutes=minutes,
        start=start,
        expiries=expiries,
        strikes=strikes,
        volatility=volatility,
        spots=spots,
    )
    return write_rows(path, rows)


def write_daily(
    folder: Path, name: str, *, closes: Sequence[float], last: date = date(2026, 8, 18)
) -> Path:
    """`NAME-daily.csv`: weekdays that end with `last`, a range of 0.5 % around each close."""
    days, day = [], last
    while len(days) < len(closes):
        if day.weekday() < 5:
            days.append(day)
        day -= timedelta(days=1)
    path = folder / f"{name}-daily.csv"
    with path.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["date", "open", "high", "low", "close"])
        for one, close in zip(reversed(days), closes, strict=True):
            high, low = close * 1.005, close * 0.995
            writer.writerow(
                [one.isoformat(), f"{close:.2f}", f"{high:.2f}", f"{low:.2f}", f"{close:.2f}"]
            )
    return path
