"""Fifteen-minute and daily bars from closed minutes, so that every agent sees the same bar.

A bucket is told when it ends: a quarter of an hour at its end or at the close, the day at the
close, each after the grace of its last minute.
"""

from __future__ import annotations

import numpy as np

from domain.calendar import TradingSession
from domain.clock import NS_PER_MINUTE
from domain.prices import BAR_DTYPE

QUARTER_NS = 15 * NS_PER_MINUTE  # the exchange's zone is a whole number of quarters from UTC


def combine(minutes: np.ndarray, start_ns: int) -> np.ndarray:
    """One bar a listing over closed minutes, which come by listing, then start (BAR_DTYPE).

    `vwap` is the last minute's; `partial` when one minute is, `history` when all are.
    """
    if not len(minutes):
        return np.zeros(0, BAR_DTYPE)
    listings = minutes["listing"]
    firsts = np.flatnonzero(np.append(True, listings[1:] != listings[:-1]))
    lasts = np.append(firsts[1:], len(minutes)) - 1
    bars: np.ndarray = minutes[lasts].copy()
    bars["start_ns"] = start_ns
    bars["open"] = minutes["open"][firsts]
    bars["high"] = np.maximum.reduceat(minutes["high"], firsts)
    bars["low"] = np.minimum.reduceat(minutes["low"], firsts)
    for name in ("volume", "tick_count"):
        bars[name] = np.add.reduceat(minutes[name], firsts)
    bars["partial"] = np.logical_or.reduceat(minutes["partial"], firsts)
    bars["history"] = np.logical_and.reduceat(minutes["history"], firsts)
    return bars


def quarters_ended(from_ns: int, before_ns: int, session: TradingSession) -> list[int]:
    """Starts of the quarters of the session whose last minute lies in [from, before)."""
    first = session.opens_ns - session.opens_ns % QUARTER_NS
    return [
        start
        for start in range(first, session.closes_ns, QUARTER_NS)
        if from_ns < min(start + QUARTER_NS, session.closes_ns) <= before_ns
    ]


def day_ended(from_ns: int, before_ns: int, session: TradingSession) -> bool:
    """True when the session's last minute lies in [from, before)."""
    return from_ns < session.closes_ns <= before_ns
