"""A runtime with two brokers, a tree and a database for the actors of risk."""

from __future__ import annotations

import pytest

from domain.brokers import BrokerEndpoint
from domain.supervision.topology import Node
from persistence.database import MainBase, open_engine
from tests.kit.recording_context import make_runtime
from tests.kit.risk_makers import breaker_nodes


@pytest.fixture
def runtime(tmp_path):
    import persistence.order_tables  # noqa: F401  its tables are read by risk

    found = make_runtime(
        tmp_path,
        tree=Node("root", children=breaker_nodes()),
        brokers=tuple(
            BrokerEndpoint(name, "", "", feed=True, executes=True, label=name)
            for name in ("alpha", "beta")
        ),
    )
    engine = open_engine(found.database_url)
    MainBase.metadata.create_all(engine)
    yield found
    engine.dispose()
