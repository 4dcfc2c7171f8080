"""Markets: which price source a configuration means."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from adapters.sandbox.config import SandboxConfig
from domain.clock import NS_PER_MINUTE

if TYPE_CHECKING:
    from adapters.sandbox.memory import MarketMemory
    from adapters.sandbox.price_source import PriceSource

MARKET_FILE = "market.sqlite3"
AHEAD_MAX_NS = 5 * NS_PER_MINUTE  # of a saved market before the clock that saved it was wrong


def build_source(config: SandboxConfig) -> PriceSource:
    """The source handed in, the recording, or prices generated from the seed.

    Raises BadMarketData or ConfigurationFault when a recording cannot be used, StorageFailure when
    the file of a generated market cannot.
    """
    if config.source is not None:
        return config.source
    if config.replay is not None:
        from adapters.sandbox.recorded import RecordedMarket

        return RecordedMarket(
            config.replay, calendars=config.calendars, history_dir=config.history_dir
        )
    from adapters.sandbox.generator import GeneratedMarket

    now_ns = config.start_ns or time.time_ns()
    memory = _memory(config, now_ns)
    try:
        return GeneratedMarket(
            config.seed,
            now_ns,
            tick_interval_s=config.tick_interval_s,
            history_dir=config.history_dir,
            scenario=config.scenario,
            always_open=config.always_open,
            calendars=config.calendars,
            memory=memory,
        )
    except Exception:
        if memory is not None:
            memory.close()
        raise


def _memory(config: SandboxConfig, now_ns: int) -> MarketMemory | None:
    """Where the market is kept; a clock that is stepped may have been ahead of this one."""
    from adapters.sandbox.memory import MarketMemory

    if config.data_dir is None:
        return None
    kind = {
        "seed": config.seed,
        "scenario": config.scenario,
        "always_open": config.always_open,
        "history": str(config.history_dir.resolve()) if config.history_dir else "",
    }
    latest_ns = sys.maxsize if config.stepped else now_ns + AHEAD_MAX_NS
    return MarketMemory(config.data_dir / MARKET_FILE, kind, latest_ns)
