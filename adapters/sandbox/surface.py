"""The volatility surface of the generated market: one 30-day level in, a volatility per option out.

Level, term structure and smile are our own choices, kept mild so that prices stay free of
arbitrage near the money; they stand here so that live prices and history use the same ones.
"""

from __future__ import annotations

import numpy as np

CARRY_RATE = 0.06  # what futures and forwards carry, a year
INDEX_SHARE = (
    0.96  # at-the-money volatility as a share of the volatility index, which adds the wings
)
MONTH_YEARS = 30 / 365
WEEK_YEARS = 7 / 365
CALM_TERM, FEARFUL_TERM = 0.02, -0.07  # change of volatility per doubling of the term
FEARFUL_LEVEL = 0.25  # of the volatility index: from here the term structure is inverted
SKEW, CURVATURE = -0.065, 0.018  # per standard deviation, and per its square
DEVIATIONS_MAX = 4.0  # the smile is flat beyond
RELATIVE = {"BANKNIFTY": 1.15, "FINNIFTY": 1.1, "MIDCPNIFTY": 1.3}  # volatility against NIFTY's


def at_the_money(level: float | np.ndarray, years: np.ndarray) -> np.ndarray:
    """Volatility at the forward; `level` is the 30-day volatility index, a decimal a year."""
    slope = np.where(np.asarray(level) < FEARFUL_LEVEL, CALM_TERM, FEARFUL_TERM)
    doublings = np.log2(np.maximum(years, WEEK_YEARS / 7) / MONTH_YEARS)
    return np.asarray(INDEX_SHARE * level * (1.0 + slope * np.clip(doublings, -4.0, 3.0)))


def deviations(
    forward: np.ndarray, strike: np.ndarray, years: np.ndarray, *, volatility: np.ndarray
) -> np.ndarray:
    """How far a strike lies above the forward, in standard deviations of the forward."""
    deviation = volatility * np.sqrt(np.maximum(years, 1e-6))
    return np.asarray(np.log(strike / forward) / deviation)


def smile(distance: np.ndarray) -> np.ndarray:
    """Volatility at that many deviations, as a multiple of the one at the money."""
    near = np.clip(distance, -DEVIATIONS_MAX, DEVIATIONS_MAX)
    return np.asarray(1.0 + SKEW * near + CURVATURE * near * near)
