"""Volatility: how dear options are (`tomic.md` 5.2).

`read_volatility` turns histories and quotes into a VolatilityReading; what cannot be known from too
short a history is None or 0, never a guess. Which structure suits it: `selection.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from domain.clock import seconds
from domain.readings import ChainSummary, VolatilityReading

TOLERANCE = 1e-9
DAYS_A_YEAR = 252


@dataclass(frozen=True, slots=True)
class VolatilityRules:
    """Limits of `tomic.md` 2.3 and 5; the first five are the user's keys."""

    enable_jade_lizard: bool = True
    enable_short_strangle: bool = True
    enable_short_straddle: bool = False
    allow_naked_premium: bool = True
    short_premium_iv_rank_min: float = 65.0
    short_premium_iv_hv_min: float = 1.35
    iv_hv_trigger: float = 1.25
    rank_credit_min: float = 50.0
    rank_debit_max: float = 30.0
    skew_steep: float = 1.5
    term_inverted: float = 1.05
    term_normal: float = 0.95
    history_days_min: int = 60
    hv_returns: int = 30
    hv_returns_valid_min: int = 5
    ewma_span_days: int = 35
    constant_maturity_days: float = 30.0
    vix_low: float = 12.0
    vix_defined_risk: float = 25.0
    vix_sweet: tuple[float, float] = (15.0, 25.0)
    vix_high: float = 30.0


RULES = VolatilityRules()


@dataclass(frozen=True, slots=True)
class ChainVolatility:
    """Measured implied volatilities of one underlying, decimals a year, 0 where not known.

    `by_days` are (days to expiry, at-the-money IV), nearest expiry first; `as_of_ns` is the time of
    the oldest of them, or of the newest that was too old where there is none.
    """

    by_days: tuple[tuple[float, float], ...]
    put_iv_25d: float = 0.0
    call_iv_25d: float = 0.0
    as_of_ns: int = 0


def as_decimal_iv(value: float) -> float:
    """IV as a decimal a year: more than 3 can only be percent; 0 for what is no number."""
    if not math.isfinite(value) or value <= 0:
        return 0.0
    return value / 100.0 if value > 3 else value


def chain_volatility(
    summaries: Iterable[ChainSummary], now_ns: int, stale_after_s: float
) -> ChainVolatility:
    """What the chains of one underlying say at this moment: a summary that is too old says nothing,
    for its chain may be kept no more."""
    known = [row for row in summaries if row.days_to_expiry > 0 and as_decimal_iv(row.atm_iv) > 0]
    oldest_ns = now_ns - seconds(stale_after_s)
    live = sorted((row for row in known if row.as_of_ns >= oldest_ns), key=lambda row: row.expiry)
    if not live:
        return ChainVolatility((), as_of_ns=max((row.as_of_ns for row in known), default=0))
    return ChainVolatility(
        by_days=tuple((row.days_to_expiry, as_decimal_iv(row.atm_iv)) for row in live),
        put_iv_25d=as_decimal_iv(live[0].put_iv_25d),
        call_iv_25d=as_decimal_iv(live[0].call_iv_25d),
        as_of_ns=min(row.as_of_ns for row in live),
    )


def constant_maturity_iv(by_days: Sequence[tuple[float, float]], days: float) -> float:
    """ATM IV at `days`: linear in total variance between the expiries around it, else nearest."""
    known = sorted((row for row in by_days if row[0] > 0 and row[1] > 0), key=lambda row: row[0])
    if not known:
        return 0.0
    nearer = [row for row in known if row[0] <= days]
    later = [row for row in known if row[0] > days]
    if not nearer or not later:
        return (nearer or later)[-1 if nearer else 0][1]
    (near_days, near_iv), (far_days, far_iv) = nearer[-1], later[0]
    share = (days - near_days) / (far_days - near_days)
    near_variance, far_variance = near_iv**2 * near_days, far_iv**2 * far_days
    return math.sqrt((near_variance + share * (far_variance - near_variance)) / days)


def iv_rank(iv: float, history: np.ndarray, rules: VolatilityRules = RULES) -> float | None:
    """Where IV stands between the year's low and high, 0..100; None while that cannot be told."""
    year = history[-DAYS_A_YEAR:]
    if iv <= 0 or len(year) < rules.history_days_min or year.max() <= year.min():
        return None
    low, high = float(year.min()), float(year.max())
    return min(100.0, max(0.0, 100.0 * (iv - low) / (high - low)))


def iv_percentile(iv: float, history: np.ndarray, rules: VolatilityRules = RULES) -> float | None:
    """Share of the year's days with lower IV, 0..100, one decimal; None while days are too few."""
    year = history[-DAYS_A_YEAR:]
    if iv <= 0 or len(year) < rules.history_days_min:
        return None
    return round(100.0 * int(np.count_nonzero(year < iv)) / len(year), 1)


def realized_volatility(closes: np.ndarray, rules: VolatilityRules = RULES) -> float:
    """Annual volatility of the last 30 daily log returns, sample sigma; 0 while there are fewer."""
    if len(closes) < rules.hv_returns + 1:
        return 0.0
    returns = _log_returns(closes[-(rules.hv_returns + 1) :])
    if len(returns) < rules.hv_returns_valid_min:
        return 0.0
    return float(returns.std(ddof=1)) * math.sqrt(DAYS_A_YEAR)


def weighted_volatility(closes: np.ndarray, rules: VolatilityRules = RULES) -> float | None:
    """Annual volatility, exponential average of squared daily returns (`tomic.md` 7.6, step 1).

    None below 31 closes.
    """
    returns = _log_returns(closes)
    if len(returns) < rules.hv_returns:
        return None
    weight = 2.0 / (rules.ewma_span_days + 1)
    weights = (1.0 - weight) ** np.arange(len(returns) - 1, -1, -1)
    variance = float((weights * returns**2).sum() / weights.sum())
    return math.sqrt(variance * DAYS_A_YEAR)


def vol_regime_of(ratio: float, rules: VolatilityRules = RULES) -> str:
    """IV_HIGH, IV_LOW or IV_NORMAL by IV over HV; an unknown ratio (0) is normal."""
    if ratio <= 0:
        return "IV_NORMAL"
    if ratio >= rules.iv_hv_trigger - TOLERANCE:
        return "IV_HIGH"
    return "IV_LOW" if ratio < 1 / rules.iv_hv_trigger - TOLERANCE else "IV_NORMAL"


def skew_of(put_iv: float, call_iv: float, rules: VolatilityRules = RULES) -> tuple[float, str]:
    """Put over call IV at 25 delta, and what it means; (0, NORMAL) while either is unknown."""
    if put_iv <= 0 or call_iv <= 0:
        return 0.0, "NORMAL"
    ratio = put_iv / call_iv
    if ratio >= rules.skew_steep - TOLERANCE:
        return ratio, "STEEP_PUT"
    return ratio, "STEEP_CALL" if ratio <= 1 / rules.skew_steep + TOLERANCE else "NORMAL"


def term_structure_of(front_iv: float, back_iv: float, rules: VolatilityRules = RULES) -> str:
    """INVERTED when the front expiry is dearer than the next, NORMAL when cheaper, else FLAT."""
    if front_iv <= 0 or back_iv <= 0:
        return "FLAT"
    ratio = front_iv / back_iv
    if ratio > rules.term_inverted + TOLERANCE:
        return "INVERTED"
    return "NORMAL" if ratio < rules.term_normal - TOLERANCE else "FLAT"


def read_volatility(
    underlying: str,
    chain: ChainVolatility,
    *,
    closes: np.ndarray,
    iv_history: np.ndarray,
    rules: VolatilityRules = RULES,
) -> VolatilityReading:
    """All numbers of one underlying; daily closes and daily IVs ascending, IVs as decimals."""
    iv = constant_maturity_iv(chain.by_days, rules.constant_maturity_days)
    hv = realized_volatility(closes, rules)
    ratio = iv / hv if hv > 0 else 0.0
    rank, percentile = iv_rank(iv, iv_history, rules), iv_percentile(iv, iv_history, rules)
    skew_ratio, skew_state = skew_of(chain.put_iv_25d, chain.call_iv_25d, rules)
    front = chain.by_days[0][1] if chain.by_days else 0.0
    back = chain.by_days[1][1] if len(chain.by_days) > 1 else 0.0
    return VolatilityReading(
        underlying=underlying,
        iv=iv,
        hv=hv,
        iv_rank=rank,
        iv_percentile=percentile,
        conservative_rank=None if rank is None or percentile is None else min(rank, percentile),
        iv_hv_ratio=ratio,
        vol_regime=vol_regime_of(ratio, rules),
        put_iv_25d=chain.put_iv_25d,
        call_iv_25d=chain.call_iv_25d,
        skew_ratio=skew_ratio,
        skew_state=skew_state,
        front_iv=front,
        back_iv=back,
        term_structure=term_structure_of(front, back, rules),
        as_of_ns=chain.as_of_ns,
    )


def _log_returns(closes: np.ndarray) -> np.ndarray:
    closes = np.asarray(closes, dtype=float)
    valid = (closes[1:] > 0) & (closes[:-1] > 0)
    returns: np.ndarray = np.log(closes[1:][valid] / closes[:-1][valid])
    return returns
