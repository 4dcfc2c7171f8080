"""Implied volatility and greeks of every live option once a second, as the chain keeper does it.

    python bench/chains.py [--underlyings N] [--json FILE]

The real actor on a context that records: by default 25 underlyings with five expiries of a hundred
strikes, 25,000 options. A second is a tick of each option in batches of 500, then the pricing of
every chain, its batch for the bus and its summary. `memory` is this process', with all chains and
bars of as many symbols beside them (what one consumer that did both would take).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil

from actors.market.chain_keeper import ChainKeeper, ChainSettings
from adapters.machine_bars import walker
from bench.kit import REPEATS, machine, options, table, tell
from domain.calendar import TradingSession
from domain.clock import seconds
from domain.instruments import OPTION_KINDS, Kind, Listing, option_symbol
from domain.market.bars import MinuteBars
from domain.prices import TICK_DTYPE
from domain.settings import Settings
from persistence.database import MainBase, MarketBase, open_engine
from persistence.instruments import InstrumentStore
from tests.kit.market_makers import CALENDAR, DAY, at
from tests.kit.recording_context import RecordingContext, make_runtime

SPOT, STEP, STRIKES, EXPIRIES = 10_000, 50, 100, 5
BATCH, NOW_NS, VOLATILITY = 500, at(10, 0), 0.2
GOAL_MS, GOAL_MB = 1_000.0, 120.0  # more than a second a second would fall behind; of PSS


def listings(names: list[str]) -> list[Listing]:
    """Each underlying with its options."""
    tick = Decimal("0.05")
    days = [DAY + timedelta(days=4 + 7 * week) for week in range(EXPIRIES)]
    strikes = range(SPOT - STEP * STRIKES // 2, SPOT + STEP * STRIKES // 2, STEP)
    rows = [Listing(0, "NSE_INDEX", name, name, Kind.INDEX, 1, tick, 0) for name in names]
    for name in names:
        rows += [
            Listing(0, "NFO", option_symbol(name, day, Decimal(strike), kind), name, kind, 65, tick,
                    1_800, day, Decimal(strike))
            for day in days for strike in strikes for kind in OPTION_KINDS
        ]  # fmt: skip
    return rows


def make_market(folder: Path, names: list[str]) -> tuple[Any, Any]:
    """A runtime with these listings as its master, and their index."""
    keys = Settings(
        feed_underlyings=tuple(("NSE_INDEX", name) for name in names),
        option_auto_expiry_count=EXPIRIES,
    )
    runtime = make_runtime(folder, sandbox=False, calendars={"NFO": CALENDAR}, settings=keys)
    for base, url in ((MainBase, runtime.database_url), (MarketBase, runtime.market_url)):
        engine = open_engine(url)
        base.metadata.create_all(engine)
        engine.dispose()
    engine = open_engine(runtime.database_url)
    store = InstrumentStore(engine)
    store.load(listings(names), "alpha", DAY)
    index = store.load_index()
    engine.dispose()
    return runtime, index


def ticks_of(rows: list[Listing], now_ns: int) -> np.ndarray:
    """A tick of each: the index at SPOT, an option near its worth."""
    ticks = np.zeros(len(rows), TICK_DTYPE)
    ticks["listing"] = [row.listing_id for row in rows]
    ticks["mode"], ticks["volume"], ticks["open_interest"] = 3, 1, 1
    ticks["ts_ns"] = ticks["received_ns"] = now_ns
    ticks["iv"] = np.nan
    years = np.array([(row.expiry - DAY).days / 365 if row.expiry else 1.0 for row in rows])
    strikes = np.array([float(row.strike) for row in rows])
    sign = np.array([1 if row.kind is Kind.CALL else -1 for row in rows])
    worth = np.maximum(sign * (SPOT - strikes), 0) + 0.4 * SPOT * VOLATILITY * np.sqrt(
        years
    ) * np.exp(-(((strikes - SPOT) / (SPOT * VOLATILITY * np.sqrt(years))) ** 2) / 2)
    ticks["ltp"] = np.where(strikes > 0, worth.round(2) + 0.05, SPOT)
    ticks["bid"], ticks["ask"] = ticks["ltp"] - 0.05, ticks["ltp"] + 0.05
    return ticks


def a_second(context: RecordingContext, ticks: np.ndarray) -> tuple[float, float, int]:
    """(ms of the ticks, ms of the pricing, options told) of one second, processor time."""
    context.clear()
    ticks["received_ns"] = ticks["ts_ns"] = context.now_ns()
    ticks["ltp"] += 0.05
    began = time.process_time()
    for first in range(0, len(ticks), BATCH):
        context.feed("ticks.alpha", ticks[first : first + BATCH])
    heard = time.process_time()
    context.advance(1)
    told = time.process_time()
    rows = sum(len(columns) for topic, columns, _ in context.published if len(columns))
    return (heard - began) * 1e3, (told - heard) * 1e3, rows


def main() -> None:
    """Measures and prints."""
    parser = options(__doc__)
    parser.add_argument("--underlyings", type=int, default=25)
    asked = parser.parse_args()
    names = [f"U{number}X" for number in range(asked.underlyings)]
    with tempfile.TemporaryDirectory() as path:
        runtime, index = make_market(Path(path), names)
        context = RecordingContext("chain_keeper", SimpleNamespace(**vars(runtime)), now_ns=NOW_NS)
        sides = STRIKES // 2
        keeper = ChainKeeper(
            context, ChainSettings(strikes_each_side=sides, strikes_each_side_max=sides)
        )
        keeper.start()
        rows = list(index.by_id.values())
        ticks = ticks_of(rows, NOW_NS)
        bars = MinuteBars(walker)
        opens_ns = NOW_NS - seconds(600)
        bars.begin(
            TradingSession(date(2026, 11, 20), opens_ns, NOW_NS + seconds(600), 0, 0), NOW_NS
        )
        bars.add(ticks["listing"], NOW_NS)
        bars.fold(ticks)
        a_second(context, ticks)
        runs = [a_second(context, ticks) for _ in range(REPEATS)]
        pss_mb = psutil.Process().memory_full_info().pss / 1e6
    heard_ms, priced_ms, told = map(statistics.median, zip(*runs, strict=True))
    figures = {
        "options told a second": told, "ticks heard, ms": heard_ms, "chains priced, ms": priced_ms,
        "memory, MB of PSS": pss_mb,
    }  # fmt: skip
    rows_told = [("what", "median", "goal"),
                 ("options told a second", f"{told:,.0f}", f"{len(rows) - len(names):,}"),
                 ("processor ms a second: ticks heard", f"{heard_ms:.1f}", ""),
                 ("processor ms a second: chains priced", f"{priced_ms:.1f}", f"< {GOAL_MS:.0f}"),
                 ("memory, MB of PSS", f"{pss_mb:.0f}", f"{GOAL_MB:.0f}")]  # fmt: skip
    table(f"Chains of {len(names)} underlyings, medians of {REPEATS} seconds", rows_told)
    tell(figures, machine("numpy"), asked.json)


if __name__ == "__main__":
    main()
