"""One-minute bars with VWAP of 25,000 symbols, from batches of ticks to what is handed out.

    python bench/bars.py [--symbols N] [--batch N] [--json FILE]

A round is 20 ticks of every symbol within two minutes, in batches, then both minutes' closing with
each bar's VWAP. `in turn` walks all symbols one after another; `at random` draws them, so that a
batch holds some twice. `machine code` is the fold that walks, `numpy` the columns. `dict` keeps the
same bars in plain dictionaries, a tick at a time, as retail systems do; its ticks are lists before
the clock starts, and it checks nothing: no rule on lateness, repeats or a count that restarts.
`first minute` is a market just subscribed to: every baseline is unknown. In `1 in 50 odd` that
share are ticks out of order, repeats, late ones and such without a volume.
"""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from adapters.machine_bars import walker
from bench.kit import machine, medians_s, options, table, tell
from domain.calendar import TradingSession
from domain.clock import NS_PER_MINUTE, seconds
from domain.market.bars import GRACE_NS, MinuteBars, Walker
from domain.market.sessions import DAY_NS
from domain.prices import TICK_DTYPE

OPENS_NS = 20_000 * DAY_NS + seconds(9 * 3600)
SESSION = TradingSession(date(2024, 10, 4), OPENS_NS, OPENS_NS + seconds(6 * 3600), 0, 0)
MINUTES, TICKS_A_MINUTE = 2, 10
GOALS = {"machine code": 20, "numpy": 8}  # million ticks/s, `in turn`


def market(symbols: int, order: str) -> np.ndarray:
    """All ticks of a round, by arrival: prices walk, counts grow."""
    rng = np.random.default_rng(7)
    total = symbols * TICKS_A_MINUTE * MINUTES
    ticks = np.zeros(total, TICK_DTYPE)
    ids = np.sort(rng.permutation(symbols * 10)[:symbols]).astype(np.uint32)
    turns = np.tile(ids, total // symbols)
    ticks["listing"] = rng.permutation(turns) if order == "at random" else turns
    ticks["received_ns"] = OPENS_NS + np.arange(total) * (MINUTES * NS_PER_MINUTE) // total
    ticks["ts_ns"] = ticks["received_ns"] - 1_000_000
    ticks["ts_ns"][0] = OPENS_NS
    ticks["ts_ns"] = np.maximum(ticks["ts_ns"], OPENS_NS)
    ticks["ltp"] = np.round(100 + np.cumsum(rng.normal(0, 0.01, total)), 2)
    ticks["volume"] = np.arange(total)
    if order == "1 in 50 odd":
        spoil(ticks, rng)
    return ticks


def spoil(ticks: np.ndarray, rng: np.random.Generator) -> None:
    """One tick in fifty is older, repeated, long late, or without a volume."""
    odd = rng.random(len(ticks)) < 0.02
    kind = rng.integers(0, 4, len(ticks))
    ticks["ts_ns"][odd & (kind == 0)] -= seconds(1.5)
    ticks["ts_ns"][odd & (kind == 1)] -= seconds(200)
    ticks["volume"][odd & (kind == 2)] = -1
    again = np.flatnonzero(odd & (kind == 3))[1:]
    ticks[again] = ticks[again - 1]


def batches(ticks: np.ndarray, size: int) -> list[np.ndarray]:
    """As they come from the bus: contiguous, read-only."""
    parts = [ticks[at : at + size].copy() for at in range(0, len(ticks), size)]
    for part in parts:
        part.flags.writeable = False
    return parts


class Columnar:
    """domain.market.bars over a whole round."""

    def __init__(
        self, ticks: np.ndarray, size: int, fold: Walker | None, *, known: bool = True
    ) -> None:
        self._parts, self._ids = batches(ticks, size), np.unique(ticks["listing"])
        self._known, self._walker = known, fold
        self.fold_s: list[float] = []
        self.close_s: list[float] = []

    def run(self) -> np.ndarray:
        bars = MinuteBars(self._walker)
        now_ns = OPENS_NS - 1 if self._known else OPENS_NS
        bars.begin(SESSION, now_ns)
        bars.add(self._ids, now_ns)
        began = time.process_time()
        for part in self._parts:
            bars.fold(part)
        folded = time.process_time()
        made: np.ndarray = bars.close(OPENS_NS + MINUTES * NS_PER_MINUTE + GRACE_NS).bars
        self.fold_s.append(folded - began)
        self.close_s.append(time.process_time() - folded)
        return made


class Dictionaries:
    """The same bars a tick at a time, in dictionaries."""

    def __init__(self, ticks: np.ndarray) -> None:
        names = ("listing", "ts_ns", "ltp", "volume")
        self._ticks = list(zip(*(ticks[name].tolist() for name in names), strict=True))

    def run(self) -> list[dict[str, Any]]:
        bars: dict[tuple[int, int], dict[str, Any]] = {}
        baselines: dict[int, int] = {}
        for listing, ts, ltp, cum in self._ticks:
            key = (listing, ts - ts % NS_PER_MINUTE)
            delta = max(cum - baselines.get(listing, 0), 0)
            baselines[listing] = cum
            bar = bars.get(key)
            if bar is None:
                bars[key] = {"open": ltp, "high": ltp, "low": ltp, "close": ltp, "volume": delta}
                continue
            bar["high"] = max(bar["high"], ltp)
            bar["low"] = min(bar["low"], ltp)
            bar["close"] = ltp
            bar["volume"] += delta
        sums: dict[int, list[float]] = {}
        for (listing, _minute), bar in sorted(bars.items(), key=lambda item: item[0][1]):
            of = sums.setdefault(listing, [0.0, 0.0])
            of[0] += (bar["high"] + bar["low"] + bar["close"]) / 3 * bar["volume"]
            of[1] += bar["volume"]
            bar["vwap"] = of[0] / of[1] if of[1] else None
        return list(bars.values())


def agree(ours: np.ndarray, theirs: list[dict[str, Any]]) -> None:
    """Raises AssertionError when the two made other bars."""
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    for name in ("open", "high", "low", "close", "volume", "vwap"):
        mine, other = np.sort(ours[name]), np.sort([bar[name] for bar in theirs])
        assert np.allclose(mine, other, rtol=1e-9, equal_nan=True), name


def main() -> None:
    """Measures and prints."""
    parser = options(__doc__)
    parser.add_argument("--symbols", type=int, default=25_000)
    parser.add_argument("--batch", type=int, default=500)
    asked = parser.parse_args()
    in_turn, at_random = (market(asked.symbols, name) for name in ("in turn", "at random"))
    odd = market(asked.symbols, "1 in 50 odd")
    ours: dict[str, Columnar] = {}
    for kind, fold in (("machine code", walker), ("numpy", None)):
        ours |= {
            f"{kind}, in turn": Columnar(in_turn, asked.batch, fold),
            f"{kind}, at random": Columnar(at_random, asked.batch, fold),
            f"{kind}, in turn, batches of 4,096": Columnar(in_turn, 4_096, fold),
            f"{kind}, first minute": Columnar(in_turn, asked.batch, fold, known=False),
            f"{kind}, 1 in 50 odd": Columnar(odd, asked.batch, fold),
        }
    peer = Dictionaries(in_turn)
    for kind in GOALS:
        agree(ours[f"{kind}, in turn"].run(), peer.run())
    took_s = medians_s({"dict": peer.run} | {name: one.run for name, one in ours.items()})
    total = len(in_turn)
    rates = {name: total / value for name, value in took_s.items()}
    rows = [("what", "million ticks/s", "times dict", "fold us a batch", "closing ms a minute",
             "goal M/s")]  # fmt: skip
    for name, rate in rates.items():
        one = ours.get(name)
        size = 4_096 if "4,096" in name else asked.batch
        fold_us = np.median(one.fold_s) / (total / size) * 1e6 if one else 0.0
        close_ms = np.median(one.close_s) / MINUTES * 1e3 if one else 0.0
        told = (f"{fold_us:.1f}", f"{close_ms:.1f}") if one else ("", "")
        kind, _, market_kind = name.partition(", ")
        goal = f"{GOALS[kind]}" if market_kind == "in turn" else ""
        rows.append((name, f"{rate / 1e6:.2f}", f"{rate / rates['dict']:.1f}", *told, goal))
    table(f"Bars with VWAP, {asked.symbols} symbols, batches of {asked.batch}", rows)
    tell({f"{name}, ticks/s": rate for name, rate in rates.items()}, machine("numpy"), asked.json)


if __name__ == "__main__":
    main()
