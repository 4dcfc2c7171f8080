"""What a chain says at a glance: forward, 25-delta volatilities, put-call ratio, max pain, gamma.

All work on CHAIN_DTYPE columns of one expiry; volatilities are decimals a year. NaN is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PARITY_PAIRS = 5  # strikes around the money whose put-call parity votes on the forward
PARITY_CARRY_MAX = 0.05  # a forward further from the spot than this comes of stale prices
INTEREST_SHARE_MIN = 0.8  # of the rows of each side, that must have told their open interest


def premium(chain: np.ndarray) -> np.ndarray:
    """Mid where bid and ask both stand, else the last price; NaN where there is none."""
    bid, ask, ltp = chain["bid"], chain["ask"], chain["ltp"]
    two_sided = (bid > 0) & (ask >= bid)
    return np.where(two_sided, (bid + ask) / 2, np.where(ltp > 0, ltp, np.nan))


def parity_forward(
    strikes: np.ndarray,
    calls: np.ndarray,
    puts: np.ndarray,
    *,
    spot: float,
    growth: float,
    carried: float,
) -> float:
    """The forward by put-call parity, K + (C - P) x e^(r t), the median of strikes near the money.

    `growth` is e^(r t); `carried` the spot with its carry, taken where parity gives no sense.
    """
    told = np.flatnonzero(np.isfinite(calls) & np.isfinite(puts))
    if not len(told):
        return carried
    near = told[np.argsort(np.abs(strikes[told] - spot), kind="stable")[:PARITY_PAIRS]]
    forward = float(np.median(strikes[near] + (calls[near] - puts[near]) * growth))
    return forward if abs(forward / carried - 1) <= PARITY_CARRY_MAX else carried


def iv_at_delta(deltas: np.ndarray, ivs: np.ndarray, target: float = 0.25) -> float:
    """Implied volatility at an absolute delta, interpolated between its two neighbours."""
    usable = np.isfinite(deltas) & np.isfinite(ivs)
    sizes, values = np.abs(deltas[usable]), ivs[usable]
    if not len(sizes) or not sizes.min() <= target <= sizes.max():
        return float("nan")
    order = np.argsort(sizes, kind="stable")
    return float(np.interp(target, sizes[order], values[order]))


def is_interest_known(chain: np.ndarray) -> bool:
    """True when nearly all calls and nearly all puts have told their open interest: sums over a
    chain that is only just filling say nothing.
    """
    told = chain["open_interest"] >= 0
    sides = (told[chain["is_call"]], told[~chain["is_call"]])
    return all(len(side) > 0 and side.mean() >= INTEREST_SHARE_MIN for side in sides)


def put_call_ratio(chain: np.ndarray) -> float:
    """Open interest of puts by that of calls; NaN while calls have none (`tomic.md` 12.1)."""
    interest = np.maximum(chain["open_interest"], 0)
    calls = interest[chain["is_call"]].sum()
    return float(interest[~chain["is_call"]].sum() / calls) if calls else float("nan")


def max_pain(chain: np.ndarray) -> float:
    """The strike at which all open options pay least (`tomic.md` 12.1); NaN without any."""
    interest = np.maximum(chain["open_interest"], 0)
    if not interest.sum():
        return float("nan")
    strikes = np.unique(chain["strike"])
    away = strikes[:, None] - chain["strike"][None, :]
    paid = np.where(chain["is_call"], np.maximum(away, 0), np.maximum(-away, 0))
    return float(strikes[np.argmin(paid @ interest)])


def interest_walls(chain: np.ndarray) -> tuple[float, float]:
    """(put wall, call wall): the strikes of greatest open interest (`tomic.md` 12.1), on a tie the
    one nearer to the other side; NaN for a side without any.
    """
    puts, calls = chain[~chain["is_call"]], chain[chain["is_call"]]
    return _wall(puts, nearest_last=True), _wall(calls, nearest_last=False)


def _wall(side: np.ndarray, *, nearest_last: bool) -> float:
    interest = np.maximum(side["open_interest"], 0)
    if not interest.sum():
        return float("nan")
    tied = side["strike"][interest == interest.max()]
    return float(tied.max() if nearest_last else tied.min())


def gamma_exposure(chain: np.ndarray, spot: float) -> float:
    """Sum of gamma x open interest x spot^2 / 100, calls plus, puts minus (`tomic.md` 12.1); NaN
    without any.
    """
    interest = np.maximum(chain["open_interest"], 0)
    if not interest.sum():
        return float("nan")
    signed = np.where(chain["is_call"], 1.0, -1.0) * np.nan_to_num(chain["gamma"]) * interest
    return float(signed.sum() * spot * spot / 100.0)


def constant_maturity_iv(days: Sequence[float], ivs: Sequence[float], target_days: float) -> float:
    """At-the-money volatility at a fixed maturity: linear in total variance between the expiries
    around it; the nearest one where it has only one side."""
    known = sorted((day, iv) for day, iv in zip(days, ivs, strict=True) if day > 0 and iv > 0)
    if not known:
        return float("nan")
    before = [row for row in known if row[0] <= target_days]
    after = [row for row in known if row[0] > target_days]
    if not before or not after:
        return before[-1][1] if before else after[0][1]
    (near, near_iv), (far, far_iv) = before[-1], after[0]
    share = (target_days - near) / (far - near)
    variance = (1 - share) * near_iv**2 * near + share * far_iv**2 * far
    return float(np.sqrt(variance / target_days))
