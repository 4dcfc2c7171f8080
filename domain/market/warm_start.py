"""What a warm start needs, and when what is stored is not enough (`tomic.md` 11.5).

Windows: the newest minutes, quarters and days of each underlying. Bars still running are left out:
they are built from ticks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domain.brokers import HistoryBar
from domain.clock import NS_PER_MINUTE, exchange_time, seconds
from domain.market.aggregation import QUARTER_NS
from domain.market.sessions import DAY_NS, midnight_ns
from domain.prices import BAR_DTYPE

MINUTES, QUARTERS, DAYS = "1m", "15m", "1D"
SETTLE_S = 12.0  # a broker's history has the minute just ended from this second on
GAP_MAX_NS = 4 * DAY_NS  # a long weekend
COOLING_NS = seconds(12.0)
INTERVALS_NS = {f"{count}m": count * NS_PER_MINUTE for count in (1, 3, 5, 10, 15, 30)}
INTERVALS_NS |= {"1h": 60 * NS_PER_MINUTE, "D": DAY_NS}


@dataclass(frozen=True, slots=True)
class Window:
    """How many bars of a timeframe to begin with; `lookback_days` of calendar hold as many."""

    timeframe: str
    interval: str  # as brokers' history calls it
    bars: int
    length_ns: int
    lookback_days: int


def windows_of(minutes_max: int, lookback_days: int) -> tuple[Window, ...]:
    """The three windows; the regime needs 200 quarters of an hour, volatility 260 days."""
    return (
        Window(MINUTES, "1m", minutes_max, NS_PER_MINUTE, lookback_days),
        Window(QUARTERS, "15m", 200, QUARTER_NS, max(lookback_days, 21)),
        Window(DAYS, "D", 260, DAY_NS, max(lookback_days, 400)),
    )


def no_finer_than(windows: Sequence[Window], interval: str) -> tuple[Window, ...]:
    """Those whose bars are as long as that interval, or longer."""
    return tuple(row for row in windows if row.length_ns >= INTERVALS_NS[interval])


def from_history(rows: list[HistoryBar], listing_id: int, window: Window) -> np.ndarray:
    """BAR_DTYPE of a broker's candles; rows without a price above zero in each column are dropped.

    Days start at midnight of the exchange, whatever hour the broker gives them.
    """
    usable = [row for row in rows if min(row.open, row.high, row.low, row.close) > 0]
    bars = np.zeros(len(usable), BAR_DTYPE)
    for bar, row in zip(bars, usable, strict=True):
        start_ns = row.start_ns
        if window.timeframe == DAYS:
            start_ns = midnight_ns(exchange_time(start_ns).date())
        bar["listing"], bar["start_ns"] = listing_id, start_ns
        bar["open"], bar["high"], bar["low"], bar["close"] = row.open, row.high, row.low, row.close
        bar["volume"] = row.volume
    bars["vwap"], bars["history"] = np.nan, True
    return bars


def is_enough(stored: np.ndarray, window: Window, now_ns: int) -> bool:
    """True when stored bars fill the window up to now, each heard whole, so that the broker need
    not be asked."""
    if len(stored) < window.bars or stored["partial"].any():
        return False
    reach_ns = GAP_MAX_NS if window.timeframe == DAYS else 2 * window.length_ns
    return bool(now_ns - int(stored["start_ns"][-1]) <= reach_ns)


def ask_order(
    canonical: str, sequence: Sequence[str], cooling_ns: Mapping[str, int], now_ns: int
) -> tuple[str, ...]:
    """Whose history is asked, in turn: the canonical feed's, then the sequence. Who failed within
    12 s is passed over, unless all did (`multibroker.md` 6.2)."""
    everyone = tuple(dict.fromkeys((canonical, *sequence)))
    return tuple(name for name in everyone if cooling_ns.get(name, 0) <= now_ns) or everyone


def join(stored: np.ndarray, told: np.ndarray, window: Window, ended_ns: int) -> np.ndarray:
    """The newest ended bars of both, ascending; a stored whole bar goes before a told one."""
    whole = stored[~stored["partial"]]
    bars = np.concatenate([stored, told, whole])
    bars = bars[np.argsort(bars["start_ns"], kind="stable")]
    last = np.append(bars["start_ns"][1:] != bars["start_ns"][:-1], True)[: len(bars)]
    bars = bars[last]
    result: np.ndarray = bars[bars["start_ns"] + window.length_ns <= ended_ns][-window.bars :]
    return result
