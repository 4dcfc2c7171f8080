"""What the market's actors share: the canonical feed's ticks, and the instrument index."""

from __future__ import annotations

from collections.abc import Callable

from actors.actor import Context
from actors.runtime import Runtime, is_always_open
from adapters.tick_bus import Batch
from domain.calendar import TradingSession
from domain.clock import zone_named
from domain.instruments import InstrumentIndex
from domain.market.sessions import session_of_day
from persistence.database import open_engine
from persistence.instruments import InstrumentStore

SEGMENT = "NFO"


class CanonicalTicks:
    """Hands on the batches of the canonical broker only; others may flow and are not believed."""

    def __init__(self, context: Context, handler: Callable[[Batch], None]) -> None:
        self._context, self._handler = context, handler
        self._subscribed: set[str] = set()
        self.broker = ""

    def follow(self, broker: str) -> None:
        """From now on this broker's ticks count."""
        self.broker = broker
        if broker not in self._subscribed:
            self._subscribed.add(broker)
            self._context.subscribe(f"ticks.{broker}", self._take)

    def _take(self, batch: Batch) -> None:
        if batch.topic == f"ticks.{self.broker}":
            self._handler(batch)


def read_index(runtime: Runtime) -> InstrumentIndex:
    """The current instrument master; empty before the first load."""
    engine = open_engine(runtime.database_url)
    try:
        return InstrumentStore(engine).load_index()
    finally:
        engine.dispose()


def current_session(runtime: Runtime, now_ns: int) -> TradingSession | None:
    """The session of today's date, open or not."""
    return session_of_day(
        runtime.calendars[SEGMENT],
        now_ns,
        always_open=is_always_open(runtime),
        opens=runtime.settings.market_open,
        closes=runtime.settings.market_close,
        zone=zone_named(runtime.settings.market_tz),
    )
