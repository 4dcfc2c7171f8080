"""Markets: which price source a configuration means."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from adapters.sandbox.config import SandboxConfig

if TYPE_CHECKING:
    from adapters.sandbox.price_source import PriceSource


def build_source(config: SandboxConfig) -> PriceSource:
    """The source handed in, the recording, or prices generated from the seed.

    Raises BadMarketData or ConfigurationFault when a recording cannot be used.
    """
    if config.source is not None:
        return config.source
    if config.replay is not None:
        from adapters.sandbox.recorded import RecordedMarket

        return RecordedMarket(
            config.replay, calendars=config.calendars, history_dir=config.history_dir
        )
    from adapters.sandbox.generator import GeneratedMarket

    return GeneratedMarket(
        config.seed,
        config.start_ns or time.time_ns(),
        tick_interval_s=config.tick_interval_s,
        history_dir=config.history_dir,
        scenario=config.scenario,
        always_open=config.always_open,
        calendars=config.calendars,
    )
