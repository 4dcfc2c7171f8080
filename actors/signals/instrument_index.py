"""The day's listings, as the master in the database has them; blocks, so call it through work.

Part of regime_agent, sniper_agent and volatility_agent.
"""

from __future__ import annotations

from actors.runtime import Runtime
from domain.instruments import InstrumentIndex
from persistence.database import open_engine
from persistence.instruments import InstrumentStore


def read_index(runtime: Runtime) -> InstrumentIndex:
    """All listings of the day; empty before the first master was loaded."""
    engine = open_engine(runtime.database_url)
    try:
        return InstrumentStore(engine).load_index()
    finally:
        engine.dispose()


def benchmark_of(underlyings: list[str]) -> str:
    """The first of NIFTY and BANKNIFTY among the underlyings, else the first of them; "" for
    none."""
    return next((name for name in ("NIFTY", "BANKNIFTY") if name in underlyings), "") or next(
        iter(underlyings), ""
    )
