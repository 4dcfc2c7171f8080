"""Implied volatility and greeks of 10,000 options, all at once, and how exact they are.

    python bench/greeks.py [--options N] [--json FILE]

The book is that of an index: five expiries from a day to a year, strikes 2.5 deviations either
way, volatilities with a smile. `QuantLib` solves and differentiates one option a call, as a C
library does for retail systems, on as many as `--peer` says; its time is scaled to the book.
Errors are of the volatility against the one the price was made from, by Faddeeva's scaled error
function (scipy); QuantLib's own price is too rough for that beyond 4 deviations. Rows whose price,
a double, no longer tells the volatility to 1e-11 stand apart as `wings` (deep in the money), with
the error that rounding the price alone makes there; of a time value below 1e-10 of the forward no
volatility is told.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import QuantLib as ql
from scipy.special import erfcx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.kit import machine, medians_s, options, table, tell
from domain import black76

SPOT, RATE, DIVIDEND = 24_000.0, 0.065, 0.012
DAYS = (1, 7, 30, 91, 365)
ROUNDING = 2.0**-52


class Book(NamedTuple):
    """Columns of one length."""

    forward: np.ndarray
    strike: np.ndarray
    years: np.ndarray
    is_call: np.ndarray
    volatility: np.ndarray
    price: np.ndarray

    def head(self, count: int) -> Book:
        """Some rows, spread over the whole book."""
        at = np.linspace(0, len(self.strike) - 1, count).astype(int)
        return Book(*(column[at] for column in self))


def book(count: int, deviations: float) -> Book:
    """Strikes up to so many deviations away."""
    rng = np.random.default_rng(76)
    years = rng.choice(DAYS, count) / 365
    away = rng.uniform(-deviations, deviations, count)
    volatility = 0.12 + 0.02 * away * away / deviations + rng.uniform(0, 0.1, count)
    forward = black76.forward_of(SPOT, years, rate=RATE, dividend_yield=DIVIDEND)
    strike = forward * np.exp(away * volatility * np.sqrt(years))
    is_call = rng.random(count) < 0.5
    inside = is_call == (strike < forward)
    undiscounted = out_of_the_money(forward, strike, volatility * np.sqrt(years))
    undiscounted += np.where(inside, np.abs(forward - strike), 0.0)
    price = undiscounted * np.exp(-RATE * years)
    return Book(forward, strike, years, is_call, volatility, price)


def out_of_the_money(forward: np.ndarray, strike: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Undiscounted, without cancellation."""
    steep, half = -np.abs(np.log(forward / strike)) / deviation, deviation / 2
    width = erfcx(-(steep + half) / math.sqrt(2)) - erfcx((half - steep) / math.sqrt(2))
    density = np.exp(-0.5 * (steep * steep + half * half))
    value: np.ndarray = np.sqrt(forward * strike) * 0.5 * density * width
    return value


def ours(of: Book) -> tuple[np.ndarray, black76.Greeks]:
    """Volatilities and greeks of the whole book."""
    implied = black76.implied_volatility(
        of.price, of.forward, of.strike, years=of.years, rate=RATE, is_call=of.is_call
    )
    found = black76.greeks(
        of.forward, of.strike, of.years, volatility=implied, rate=RATE, is_call=of.is_call,
        dividend_yield=DIVIDEND,
    )  # fmt: skip
    return implied, found


def quantlib(of: Book) -> np.ndarray:
    """The same by QuantLib, an option a call: volatility, delta, gamma, theta, vega, rho."""
    made = np.empty((len(of.strike), 6))
    columns = (of.forward, of.strike, of.years, of.is_call, of.price)
    for row, (f, k, t, call, price) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        kind, discount = ql.Option.Call if call else ql.Option.Put, math.exp(-RATE * t)
        deviation = ql.blackFormulaImpliedStdDev(
            kind, k, f, price, discount, 0.0, ql.nullDouble(), 1e-13, 1_000
        )
        judge = ql.BlackCalculator(ql.PlainVanillaPayoff(kind, k), f, deviation, discount)
        made[row] = (
            deviation / math.sqrt(t), judge.delta(SPOT), judge.gamma(SPOT),
            judge.theta(SPOT, t) / 365, judge.vega(t) / 100, judge.rho(t) / 100,
        )  # fmt: skip
    return made


def errors(of: Book) -> dict[str, float]:
    """Largest differences: of volatilities to the truth, of greeks to QuantLib's at our
    volatility, each greek by its largest value in the book."""
    implied, found = ours(of)
    made = np.abs(implied - of.volatility)
    one_point = black76.greeks(
        of.forward, of.strike, of.years, volatility=of.volatility, rate=RATE, is_call=of.is_call,
        dividend_yield=DIVIDEND,
    ).vega * 100  # fmt: skip
    floor = ROUNDING * of.price / one_point
    traded = floor < 1e-11
    wings = np.nanmax(made[~traded], initial=0.0)
    told = {
        "rows in the traded range": int(traded.sum()),
        "volatility, traded range": float(np.nanmax(made[traded])),
        "rows in the wings": int((~traded).sum()),
        "volatility, wings": float(wings),
        "volatility, wings, by the price's rounding": float(floor[~traded].max(initial=0.0)),
        "rows without an answer": int(np.isnan(made).sum()),
    }
    judged = quantlib(of)
    for index, name in enumerate(("delta", "gamma", "theta", "vega", "rho"), start=1):
        known = traded & np.isfinite(implied)
        mine, theirs = getattr(found, name)[known], judged[known, index]
        told[name] = float(np.abs(mine - theirs).max() / np.abs(theirs).max())
    return told


def main() -> None:
    """Measures and prints."""
    parser = options(__doc__)
    parser.add_argument("--options", type=int, default=10_000)
    parser.add_argument("--peer", type=int, default=1_000)
    asked = parser.parse_args()
    whole, chain = book(asked.options, 2.5), book(200, 2.5)
    few = whole.head(min(asked.peer, asked.options))
    took_s = medians_s({
        "volatility": lambda: black76.implied_volatility(
            whole.price, whole.forward, whole.strike, years=whole.years, rate=RATE,
            is_call=whole.is_call,
        ),
        "volatility and greeks": lambda: ours(whole),
        "one chain of 200": lambda: ours(chain),
        "QuantLib": lambda: quantlib(few),
    })  # fmt: skip
    took_ms = {name: value * 1e3 for name, value in took_s.items()}
    took_ms["QuantLib"] *= asked.options / len(few.strike)
    rows = [("what", "ms", "times QuantLib")]
    for name, value in took_ms.items():
        times = took_ms["QuantLib"] / value
        rows.append((name, f"{value:.2f}", f"{times:.0f}" if "chain" not in name else ""))
    table(f"Volatility and greeks of {asked.options} options", rows)
    near, far = errors(whole), errors(book(asked.options, 6.0))
    names = [("largest error", "2.5 deviations", "6 deviations")]
    table("Exactness", names + [(n, f"{near[n]:.2g}", f"{far[n]:.2g}") for n in near])
    figures = {f"{name}, ms": value for name, value in took_ms.items()} | {"errors": near}
    tell(figures, machine("numpy", "QuantLib"), asked.json)


if __name__ == "__main__":
    main()
