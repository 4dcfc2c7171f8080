"""Past: the sessions of the generated market before its start, as minutes, made when asked for.

Where a folder of daily files knows a name, those days are the file's: its minutes run between the
file's prices. Days after the file's last go on from there. An always open market was open round the
clock for its last days too, so that its history and its live prices are one market at any hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from adapters.sandbox.history import DailyBars, Minutes, read_daily
from adapters.sandbox.hours import midnight_ns, whole_day
from adapters.sandbox.instruments import EQUITIES, VOLATILITY_INDEX, seed_levels
from adapters.sandbox.scenarios import Scenario
from adapters.sandbox.walk import MINUTES_A_DAY, NAMES, PastPaths, past_points, rng_of
from domain.brokers import HistoryBar
from domain.calendar import ExchangeCalendar, TradingSession
from domain.clock import NS_PER_MINUTE, exchange_time

UNBROKEN_DAYS = 5  # before today, of an always open market: more than the regime's 200 quarters
SESSIONS = 320  # a year of volatility history, and the 260 daily bars of a warm start
NAMES_KEPT = 4
RANGE_SHARE = 0.3  # how far a minute reaches beyond its own open and close, in minute deviations
EQUITY_VOLUME_A_MINUTE = 9_000.0


class Past:
    """Minutes of every index and equity up to the start, which they end at."""

    def __init__(
        self,
        seed: int,
        start_ns: int,
        *,
        scenario: Scenario,
        calendar: ExchangeCalendar,
        always_open: bool = False,
        history_dir: Path | None = None,
    ) -> None:
        self._seed = seed
        self._scenario = scenario
        self.daily, self.warnings = read_daily(history_dir)
        self.start_day = exchange_time(start_ns).date()
        first = self.start_day - timedelta(days=UNBROKEN_DAYS)
        self.unbroken_ns = midnight_ns(first) if always_open else start_ns
        self._starts_ns, self._days, self._dates = _grid(calendar, start_ns, self.unbroken_ns)
        self._made: dict[str, Minutes] = {}
        self._closes: dict[str, np.ndarray] = {}
        self._nights = np.diff(self._starts_ns, prepend=0) > NS_PER_MINUTE
        self._paths = PastPaths(
            seed,
            scenario=scenario,
            day_starts=self._nights,
            is_unbroken=self._starts_ns >= self.unbroken_ns,
        )
        self._drop_later_days(self.daily)

    def levels(self) -> np.ndarray:
        """Prices at the start, in the order of NAMES."""
        return np.array([self._close(name)[-1] for name in NAMES])

    def close_before(self, day: date) -> np.ndarray:
        """The last prices before a date, in the order of NAMES; the first known when none are."""
        row = max(int(np.searchsorted(self._days, self._session_of(day))) - 1, 0)
        return np.array([self._close(name)[row] for name in NAMES])

    def minutes(self, name: str) -> Minutes:
        """All minutes of one name; those of the last few names are kept, for all are 200 MB."""
        if name not in self._made:
            if len(self._made) == NAMES_KEPT:
                del self._made[next(iter(self._made))]
            self._made[name] = self._make(name)
        return self._made[name]

    def _close(self, name: str) -> np.ndarray:
        if name not in self._closes:
            self._closes[name] = self._make(name).close
        return self._closes[name]

    def _make(self, name: str) -> Minutes:
        known = self.daily.get(name, {})
        if name == VOLATILITY_INDEX:
            close = past_points(self._seed, last=self._scenario.volatility_index, days=self._days)
            opens = np.concatenate((close[:1], close[:-1]))
        else:
            path = self._paths.of(name)
            close = np.exp(path) * self._anchor(name, path, known)
            opens = np.where(self._nights, close, np.concatenate((close[:1], close[:-1])))
        if known:
            self._follow(known, opens, close)
        rng = rng_of(self._seed, f"range {name}")
        reach = self._scenario.volatility / np.sqrt(252 * MINUTES_A_DAY) * RANGE_SHARE
        noise = rng.standard_normal((len(close), 2), dtype=np.float32)[::-1]
        up, down = np.exp(reach * np.abs(noise.T))
        volume = np.zeros(len(close), dtype=np.int64)
        if name in EQUITIES:
            volume = (
                EQUITY_VOLUME_A_MINUTE * rng.standard_exponential(len(close), dtype=np.float32)
            ).astype(np.int64)
        high, low = np.maximum(opens, close) * up, np.minimum(opens, close) / down
        return Minutes(self._starts_ns, opens, high, low, close, volume)

    def _anchor(self, name: str, path: np.ndarray, known: Mapping[date, HistoryBar]) -> float:
        """What the path is multiplied with: the file's last close is met, else the seed's level."""
        if not known:
            return seed_levels()[name]
        last = max(known)
        row = int(np.searchsorted(self._days, self._session_of(last + timedelta(days=1)))) - 1
        return known[last].close / float(np.exp(path[max(row, 0)]))

    def _follow(
        self, known: Mapping[date, HistoryBar], opens: np.ndarray, close: np.ndarray
    ) -> None:
        """Bends the minutes of each day that the files know to that day's four prices."""
        edges = np.searchsorted(self._days, np.arange(len(self._dates) + 1))
        for day, first, last in zip(self._dates, edges, edges[1:], strict=False):
            bar = known.get(day)
            if bar is None:
                continue
            length = last - first
            noise = np.cumsum(rng_of(self._seed, f"inside {day}").standard_normal(length))
            along = np.arange(1, length + 1) / length
            bridge = (noise - along * noise[-1]) * (bar.high - bar.low) / np.sqrt(length)
            inside = np.clip(bar.open + along * (bar.close - bar.open) + bridge, bar.low, bar.high)
            close[first:last] = inside
            opens[first] = bar.open
            opens[first + 1 : last] = inside[:-1]

    def _session_of(self, day: date) -> int:
        """The number of the first session on or after that date."""
        return sum(one < day for one in self._dates)

    def _drop_later_days(self, daily: DailyBars) -> None:
        """A file may reach beyond the start; what has not happened yet is not history."""
        for rows in daily.values():
            for day in [day for day in rows if day >= self.start_day]:
                del rows[day]


def _grid(
    calendar: ExchangeCalendar, start_ns: int, unbroken_ns: int
) -> tuple[np.ndarray, np.ndarray, list[date]]:
    """Starts of all minutes before the start, their session's number, the sessions' dates."""
    day = exchange_time(start_ns).date()
    sessions: list[TradingSession] = []
    while len(sessions) < SESSIONS:
        is_unbroken = unbroken_ns <= midnight_ns(day) < start_ns
        session = whole_day(day) if is_unbroken else calendar.session(day)
        if session and session.opens_ns + NS_PER_MINUTE <= start_ns:
            sessions.append(session)
        day -= timedelta(days=1)
    sessions.reverse()
    columns = [
        np.arange(row.opens_ns, min(row.closes_ns, start_ns - NS_PER_MINUTE + 1), NS_PER_MINUTE)
        for row in sessions
    ]
    numbers = [np.full(len(column), place) for place, column in enumerate(columns)]
    return np.concatenate(columns), np.concatenate(numbers), [row.day for row in sessions]
