"""A market of two indices and a few expiries for the market's actors, on real files."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from persistence.database import MainBase, MarketBase, open_engine
from persistence.instruments import InstrumentStore
from tests.kit.market_makers import CALENDAR, DAY, listings
from tests.kit.recording_context import RecordingContext, make_runtime


@pytest.fixture
def market(tmp_path):
    """A runtime with a loaded master: `runtime`, `index`, and `context(name, now)`."""
    runtime = make_runtime(tmp_path, sandbox=False, calendars={"NFO": CALENDAR})
    for base, url in ((MainBase, runtime.database_url), (MarketBase, runtime.market_url)):
        engine = open_engine(url)
        base.metadata.create_all(engine)
        engine.dispose()
    engine = open_engine(runtime.database_url)
    store = InstrumentStore(engine)
    store.load(listings(), "alpha", DAY)
    index = store.load_index()
    engine.dispose()

    def context(name: str, now_ns: int, *, life: int = 1, **overrides) -> RecordingContext:
        changed = SimpleNamespace(**(vars(runtime) | overrides))
        return RecordingContext(name, changed, now_ns=now_ns, life=life)

    return SimpleNamespace(runtime=runtime, index=index, context=context)
