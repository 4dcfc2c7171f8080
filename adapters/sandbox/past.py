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
        return self._closes_at(len(self._starts_ns) - 1)

    def close_before(self, day: date) -> np.ndarray:
        """The last prices before a date, in the order of NAMES; the first known when none are."""
        row = max(int(np.searchsorted(self._days, self._session_of(day))) - 1, 0)
        return self._closes_at(row)

    def minutes(self, name: str, from_ns: int, to_ns: int) -> Minutes:
        """The minutes of one name that start in [from, to)."""
        first = int(np.searchsorted(self._starts_ns, from_ns))
        opens, close = self._opens_and_closes(name, first)
        count = len(close)
        reach = self._scenario.volatility / np.sqrt(252 * MINUTES_A_DAY) * RANGE_SHARE
        rng = rng_of(self._seed, f"range {name}")
        noise = rng.standard_normal((count, 2), dtype=np.float32)[::-1]
        up, down = np.exp(reach * np.abs(noise.T))
        high, low = np.maximum(opens, close) * up, np.minimum(opens, close) / down
        volume = np.zeros(count, dtype=np.int64)
        if name in EQUITIES:
            rng = rng_of(self._seed, f"volume {name}")
            traded = rng.standard_exponential(count, dtype=np.float32)[::-1]
            volume = (EQUITY_VOLUME_A_MINUTE * traded).astype(np.int64)
        starts_ns = self._starts_ns[first:]
        return Minutes(starts_ns, opens, high, low, close, volume).between(from_ns, to_ns)

    def _closes_at(self, row: int) -> np.ndarray:
        return np.array([self._opens_and_closes(name, row)[1][0] for name in NAMES])

    def _opens_and_closes(self, name: str, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Prices of the minutes from that row on; only what a file bends is made from its start."""
        known = self.daily.get(name, {})
        begin = 0 if known else max(first - 1, 0)  # a minute opens where the one before closed
        if name == VOLATILITY_INDEX:
            close = past_points(self._seed, last=self._scenario.volatility_index, days=self._days)
            close = close[begin:]
            opens = np.concatenate((close[:1], close[:-1]))
        else:
            path = self._paths.of(name, begin)
            close = np.exp(path) * self._anchor(name, path, known)
            opens = np.concatenate((close[:1], close[:-1]))
            opens = np.where(self._nights[begin:], close, opens)
        if known:
            self._follow(known, opens, close)
        return opens[first - begin :], close[first - begin :]

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
