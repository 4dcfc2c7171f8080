"""Walk: how the levels of the generated market move, minute by minute before the start, then live.

One market factor drives all; each name adds its own share. A level is a slow random path times a
fluctuation that returns to it. The volatility index moves against the market factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np

from adapters.sandbox.instruments import EQUITIES, INDEX_SEEDS, VOLATILITY_INDEX
from adapters.sandbox.scenarios import SLIDE_MINUTES, Scenario

MINUTES_A_DAY = 375
UNBROKEN_PACE = (MINUTES_A_DAY / (24 * 60)) ** 0.5  # a day round the clock moves as far as others
DAYS_A_YEAR = 252
OVERNIGHT = 0.45  # standard deviation of a night, in days
NIGHT_S = OVERNIGHT**2 * MINUTES_A_DAY * 60  # of trade, that move as far as a night
RETURN_MINUTES = 3.0  # of the fluctuation: a quarter of an hour sees its whole range
KERNEL_MINUTES = 40  # beyond, less than 0.2 % of the fluctuation is left
# The market quietens over these minutes before the start: by the start the last band of 20 quarters
# of an hour is narrower than the hundred before, and stays so for some five hours.
SETTLING_MINUTES = (320, 700)
SWING_BEFORE = 3.0  # size of the fluctuation before it quietened
DRIFTED = 5 * MINUTES_A_DAY  # a trend has lasted a week
POINTS_MEAN, POINTS_DEVIATION = 14.0, 1.7  # the volatility index's year before the start
POINTS_MEMORY_DAYS = 12.0
POINTS_RISE_DAYS = 20  # the last days lead to the scenario's level
POINTS_RETURN_A_DAY = 0.2  # towards the scenario's level
POINTS_RETURN_MINUTES = 120.0  # the same while a pause is restless: it comes out near that level
POINTS_PER_PERCENT = 0.9  # it falls so much when the market rises 1 %
POINTS_MIN, POINTS_MAX = 8.0, 90.0

# Share of the market factor, and own volatility a year.
_BETA = {
    "NIFTY": (1.0, 0.0), "BANKNIFTY": (1.1, 0.04), "FINNIFTY": (1.05, 0.035),
    "MIDCPNIFTY": (1.15, 0.06), "NIFTYNXT50": (1.1, 0.05), "SENSEX": (0.98, 0.01),
    "BANKEX": (1.1, 0.04), "SENSEX50": (0.99, 0.012),
}  # fmt: skip
_EQUITY_BETA = (1.0, 0.18)
NAMES = (VOLATILITY_INDEX, *INDEX_SEEDS, *EQUITIES)
BETAS = np.array([_BETA.get(name, _EQUITY_BETA) for name in NAMES])


def rng_of(seed: int, what: str) -> np.random.Generator:
    """A stream of random numbers of its own for each name."""
    return np.random.default_rng([seed, crc32(what.encode())])


class PastPaths:
    """Log prices before the start, a minute a row, 0 at the end.

    `day_starts` is True on the first minute after each pause; `is_unbroken` on those of days that
    lasted round the clock. Random numbers are drawn from the end on: a seed is the same market
    whatever the hour it starts at.
    """

    def __init__(
        self, seed: int, *, scenario: Scenario, day_starts: np.ndarray, is_unbroken: np.ndarray
    ) -> None:
        self._seed = seed
        self._scenario = scenario
        self._day_starts = day_starts
        length = len(day_starts)
        before_end = np.arange(length)[::-1]
        usual = np.where(is_unbroken, UNBROKEN_PACE, 1.0)
        self._pace = np.interp(before_end, SETTLING_MINUTES, (scenario.settled, 1.0)) * usual
        self._drift = scenario.drift_a_day / MINUTES_A_DAY * (before_end < DRIFTED)
        self._market = self._moves("market", scenario.volatility)
        decay = np.exp(-np.arange(KERNEL_MINUTES) / RETURN_MINUTES)
        decay *= scenario.swing / np.sqrt((decay**2).sum())
        noise = rng_of(seed, "swing").standard_normal(length)[::-1]
        swing = np.convolve(noise, decay)[:length]
        self._swing = swing * np.interp(before_end, SETTLING_MINUTES, (1.0, SWING_BEFORE))

    def of(self, name: str, first: int) -> np.ndarray:
        """The path of one index or equity from that row on."""
        beta, own = BETAS[NAMES.index(name)]
        moves = beta * (self._market[first:] + self._drift[first:])
        if own:
            moves = moves + self._moves(name, own, first)
        path = np.cumsum(moves) + beta * self._swing[first:]
        return np.asarray(path - path[-1])

    def _moves(self, stream: str, volatility: float, first: int = 0) -> np.ndarray:
        """Independent moves of that volatility a year, and a larger one over each night."""
        pace, day_starts = self._pace[first:], self._day_starts[first:]
        rng = rng_of(self._seed, stream)
        minute = volatility / np.sqrt(DAYS_A_YEAR * MINUTES_A_DAY)
        moves = rng.standard_normal(len(pace), dtype=np.float32)[::-1].astype(float)
        rng = rng_of(self._seed, f"{stream} nights")
        nights = rng.standard_normal(int(day_starts.sum()))[::-1]
        moves[day_starts] += OVERNIGHT * np.sqrt(MINUTES_A_DAY) * nights
        return np.asarray(minute * moves * pace)


def past_points(seed: int, *, last: float, days: np.ndarray) -> np.ndarray:
    """The volatility index at the end of each minute; `days` numbers the session of each."""
    rng = rng_of(seed, VOLATILITY_INDEX)
    count = int(days[-1]) + 1
    memory = np.exp(-1.0 / POINTS_MEMORY_DAYS)
    levels = np.empty(count)
    level = 0.0
    for day, shock in enumerate(rng.standard_normal(count)):
        level = memory * level + np.sqrt(1 - memory * memory) * shock
        levels[day] = POINTS_MEAN + POINTS_DEVIATION * level
    rise = np.clip((np.arange(count) - count + 1 + POINTS_RISE_DAYS) / POINTS_RISE_DAYS, 0.0, 1.0)
    levels = levels * (1 - rise) + last * rise
    ends = np.flatnonzero(np.diff(days, append=days[-1] + 1))
    path = np.interp(np.arange(len(days)), ends, levels)
    return np.clip(path, POINTS_MIN, POINTS_MAX)


class Walk:
    """The live levels, one column a name of NAMES; moved by `step`, the only way to change them."""

    def __init__(
        self, seed: int, scenario: Scenario, levels: np.ndarray, *, always_open: bool
    ) -> None:
        self._scenario = scenario
        self._usual = UNBROKEN_PACE if always_open else 1.0
        self._rng = rng_of(seed, "live")
        self._slow = levels.astype(float)
        self._points = float(levels[0])
        self._swing = 0.0
        self._elapsed_s = 0.0

    def levels(self) -> np.ndarray:
        """Prices now; the first is the volatility index in points."""
        now = self._slow * np.exp(BETAS[:, 0] * self._swing)
        now[0] = min(max(self._points, POINTS_MIN), POINTS_MAX)
        return now

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, as JSON knows it."""
        return {
            "slow": self._slow.tolist(),
            "points": float(self._points),
            "swing": float(self._swing),
            "elapsed_s": self._elapsed_s,
            "random": self._rng.bit_generator.state,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from where another life stood."""
        self._slow = np.array(state["slow"])
        self._points, self._swing = state["points"], state["swing"]
        self._elapsed_s = state["elapsed_s"]
        self._rng.bit_generator.state = state["random"]

    def step(self, seconds: float, *, minutes_left: float = 0.0) -> np.ndarray:
        """Moves on by that much trading time and gives the levels.

        In a pause that lasts for so many minutes more the market is as restless as it was that long
        before its first start: it comes out of the pause as quiet as its scenario wants it.
        """
        scenario = self._scenario
        restless = float(np.interp(minutes_left, SETTLING_MINUTES, (0.0, 1.0)))
        pace = (scenario.settled + (1.0 - scenario.settled) * restless) * self._usual
        days = seconds / 60.0 / MINUTES_A_DAY
        noise = self._rng.standard_normal(len(NAMES) + 2)
        scale = np.sqrt(days / DAYS_A_YEAR)
        market = scenario.volatility * pace * scale * noise[-1]
        market += scenario.drift_a_day * days * (minutes_left < DRIFTED) + self._push(seconds)
        own = BETAS[:, 1] * pace * scale * noise[:-2]
        self._slow *= np.exp(BETAS[:, 0] * market + own)
        memory = np.exp(-seconds / 60.0 / RETURN_MINUTES)
        shock = scenario.swing * np.sqrt(1 - memory * memory) * noise[-2]
        self._swing = memory * self._swing + shock * (1.0 + (SWING_BEFORE - 1.0) * restless)
        self._points += noise[0] * 1.2 * np.sqrt(days) - POINTS_PER_PERCENT * 100.0 * market
        self._points += self._return(seconds, minutes_left, restless)
        self._elapsed_s += seconds
        return self.levels()

    def _return(self, seconds: float, minutes_left: float, restless: float) -> float:
        """How far the volatility index comes back to where it belongs."""
        minutes = seconds / 60.0
        is_long_before = minutes_left > POINTS_RISE_DAYS * MINUTES_A_DAY
        aim = POINTS_MEAN if is_long_before else self._scenario.volatility_index
        share = min(minutes / MINUTES_A_DAY, 1.0) * POINTS_RETURN_A_DAY
        share += restless * (1.0 - float(np.exp(-minutes / POINTS_RETURN_MINUTES)))
        return (aim - self._points) * min(share, 1.0)

    def _push(self, seconds: float) -> float:
        """The scenario's gap at once, and its slide over the first hour; both lift the index."""
        scenario = self._scenario
        push = scenario.gap if self._elapsed_s == 0 else 0.0
        points = scenario.gap_points if self._elapsed_s == 0 else 0.0
        left_s = max(SLIDE_MINUTES * 60.0 - self._elapsed_s, 0.0)
        share = min(seconds, left_s) / (SLIDE_MINUTES * 60.0)
        self._points += points + scenario.slide_points * share
        self._points += POINTS_PER_PERCENT * 100.0 * (push + scenario.slide * share)
        return push + scenario.slide * share
