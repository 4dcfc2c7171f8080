"""History: daily bars from a folder of CSV files, and bars made of a path of minutes.

`NAME-daily.csv` (or `.csv.gz`) holds one symbol: `date,open,high,low,close[,volume]`; the name is
upper-cased without its hyphens, so that `india-vix-daily.csv` is INDIAVIX. A file that has a
`symbol` column holds many, each under its own name.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np

from domain.brokers import HistoryBar
from domain.clock import EXCHANGE_ZONE, NS_PER_MINUTE, epoch_ns
from domain.errors import BadMarketData

INTERVAL_MINUTES = {"1m": 1, "15m": 15}
DAILY = "D"
_PRICES = ("open", "high", "low", "close")

DailyBars = dict[str, dict[date, HistoryBar]]


def daily_start_ns(day: date) -> int:
    """Where a daily bar begins: midnight UTC of its date (`openalgo.md` 5, history)."""
    return epoch_ns(datetime.combine(day, time(0), UTC))


def read_daily(folder: Path | None) -> tuple[DailyBars, list[str]]:
    """Daily bars by name and date, and a sentence for each file that had bad rows.

    None is no history. Raises BadMarketData when the folder or a file cannot be used at all.
    """
    bars: DailyBars = {}
    warnings: list[str] = []
    if folder is None:
        return bars, warnings
    if not folder.is_dir():
        raise BadMarketData(f"history folder {folder} does not exist")
    for path in sorted([*folder.glob("*-daily.csv"), *folder.glob("*-daily.csv.gz")]):
        bad = _read_file(path, bars)
        if bad:
            warnings.append(f"{path.name}: {len(bad)} rows skipped, the first is {bad[0]}")
    return bars, warnings


def bars_between(rows: dict[date, HistoryBar], first: date, last: date) -> list[HistoryBar]:
    """Daily bars of both dates inclusive, ascending."""
    return [rows[day] for day in sorted(rows) if first <= day <= last]


@dataclass(frozen=True, slots=True)
class Minutes:
    """A path of whole minutes, ascending; every column has one row a minute."""

    start_ns: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray

    def rows(self, chosen: np.ndarray | slice) -> Minutes:
        """Some of the minutes."""
        return Minutes(*(getattr(self, name)[chosen] for name in self.__slots__))

    def between(self, from_ns: int, to_ns: int) -> Minutes:
        """Those that start from `from_ns` on, before `to_ns`."""
        return self.rows(slice(*np.searchsorted(self.start_ns, [from_ns, to_ns])))

    def then(self, later: Minutes) -> Minutes:
        """These minutes and later ones."""
        pairs = ((getattr(self, name), getattr(later, name)) for name in self.__slots__)
        return Minutes(*(np.concatenate(pair) for pair in pairs))


def fold(minutes: Minutes, groups: np.ndarray, start_ns: np.ndarray) -> list[HistoryBar]:
    """One bar for each run of equal numbers in `groups`; `start_ns` has one time a minute."""
    if not len(groups):
        return []
    firsts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    lasts = np.append(firsts[1:], len(groups)) - 1
    columns = (
        start_ns[firsts].tolist(),
        np.round(minutes.open[firsts], 2).tolist(),
        np.round(np.maximum.reduceat(minutes.high, firsts), 2).tolist(),
        np.round(np.minimum.reduceat(minutes.low, firsts), 2).tolist(),
        np.round(minutes.close[lasts], 2).tolist(),
        np.add.reduceat(minutes.volume, firsts).tolist(),
    )
    return [HistoryBar(*row) for row in zip(*columns, strict=True)]


def minute_bars(minutes: Minutes, interval: str) -> list[HistoryBar]:
    """Bars of 1m or 15m; quarters of an hour as the clock has them (a session opens on one)."""
    width_ns = INTERVAL_MINUTES[interval] * NS_PER_MINUTE
    groups = minutes.start_ns // width_ns
    return fold(minutes, groups, groups * width_ns)


def daily_bars(minutes: Minutes) -> list[HistoryBar]:
    """One bar a date at the exchange."""
    offset = datetime(2026, 1, 1, tzinfo=EXCHANGE_ZONE).utcoffset()
    day_ns = 24 * 60 * NS_PER_MINUTE
    shift = int(offset.total_seconds()) * NS_PER_MINUTE // 60 if offset else 0
    days = (minutes.start_ns + shift) // day_ns
    return fold(minutes, days, days * day_ns)


def _read_file(path: Path, bars: DailyBars) -> list[str]:
    bad: list[str] = []
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as text:
            for name, day, bar in _rows(path, text, bad):
                bars.setdefault(name, {})[day] = bar
    except (OSError, EOFError, UnicodeDecodeError) as fault:
        raise BadMarketData(f"{path} cannot be read to its end: {fault}") from fault
    return bad


def _rows(
    path: Path, text: Iterable[str], bad: list[str]
) -> Iterator[tuple[str, date, HistoryBar]]:
    reader = csv.DictReader(text)
    missing = [name for name in ("date", *_PRICES) if name not in (reader.fieldnames or ())]
    if missing:
        raise BadMarketData(f"{path} line 1: column {missing[0]} is missing")
    own = path.name.split(".")[0].removesuffix("-daily").replace("-", "").upper()
    for row in reader:
        try:
            day = date.fromisoformat(row["date"])
            opens, high, low, close = (float(row[name]) for name in _PRICES)
            volume = int(float(row.get("volume") or 0))
        except (TypeError, ValueError):
            bad.append(f"line {reader.line_num}: not a date and four prices")
            continue
        is_sound = 0 < low <= min(opens, close) <= max(opens, close) <= high < math.inf
        if not is_sound:
            bad.append(f"line {reader.line_num}: low <= open, close <= high is broken")
            continue
        bar = HistoryBar(daily_start_ns(day), opens, high, low, close, volume)
        yield row.get("symbol") or own, day, bar
