"""Candles: the source's minutes and days folded into every interval (`openalgo.md` 5). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta

from domain.brokers import HistoryBar
from domain.clock import NS_PER_MINUTE, NS_PER_S, exchange_time

SECONDS = ("1s", "5s", "10s", "15s", "30s", "45s")  # known to the wire, kept by no source
MINUTES = {"1m": 1, "2m": 2, "3m": 3, "5m": 5, "10m": 10, "15m": 15, "20m": 20, "30m": 30}
HOURS = {"1h": 60, "2h": 120, "3h": 180, "4h": 240}
DAYS = ("D", "W", "M", "Q", "Y")
INTERVALS = (*SECONDS, *MINUTES, *HOURS, *DAYS)

_FIRST_DAY: dict[str, Callable[[date], date]] = {
    "D": lambda day: day,
    "W": lambda day: day - timedelta(days=day.weekday()),
    "M": lambda day: day.replace(day=1),
    "Q": lambda day: day.replace(month=day.month - (day.month - 1) % 3, day=1),
    "Y": lambda day: day.replace(month=1, day=1),
}


def minutes_of(interval: str) -> int:
    """How many minutes an intraday interval has; 0 for days and longer."""
    return MINUTES.get(interval) or HOURS.get(interval) or 0


def fold_minutes(
    bars: Iterable[HistoryBar], minutes: int, opens_ns: Callable[[date], int]
) -> list[HistoryBar]:
    """1-minute bars into longer ones, counted from each day's open (`opens_ns`)."""

    def start_of(bar: HistoryBar) -> int:
        origin = opens_ns(exchange_time(bar.start_ns).date())
        width = minutes * NS_PER_MINUTE
        return origin + (bar.start_ns - origin) // width * width

    return _fold(bars, start_of)


def fold_days(bars: Iterable[HistoryBar], interval: str) -> list[HistoryBar]:
    """Daily bars into D, W, M, Q or Y; each starts at midnight UTC of its first trading date."""
    periods: dict[date, int] = {}

    def start_of(bar: HistoryBar) -> int:
        day = exchange_time(bar.start_ns).date()
        period = _FIRST_DAY[interval](day)
        return periods.setdefault(period, (day - date(1970, 1, 1)).days * 86_400 * NS_PER_S)

    return _fold(bars, start_of)


def _fold(bars: Iterable[HistoryBar], start_of: Callable[[HistoryBar], int]) -> list[HistoryBar]:
    folded: list[HistoryBar] = []
    for bar in bars:
        start = start_of(bar)
        if folded and folded[-1].start_ns == start:
            last = folded[-1]
            folded[-1] = HistoryBar(
                start,
                last.open,
                max(last.high, bar.high),
                min(last.low, bar.low),
                bar.close,
                last.volume + bar.volume,
                bar.open_interest,
            )
        else:
            folded.append(
                HistoryBar(
                    start, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.open_interest
                )
            )
    return folded
