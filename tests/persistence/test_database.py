"""How long a writer waits for another: never so long that it is killed for its silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.supervision.answering import MISSED_HEARTBEATS_MAX
from launch.topology_file import load_topology
from persistence.database import PROMPT_WAIT_MS, WAIT_MS, open_engine
from tests.kit.default_system import ROOT

MS_PER_S = 1000


@pytest.mark.parametrize(
    ("how", "wait_ms"),
    [({}, WAIT_MS), ({"durable": True}, PROMPT_WAIT_MS), ({"prompt": True}, PROMPT_WAIT_MS)],
)
def test_who_has_orders_in_hand_waits_shortly(
    tmp_path: Path, how: dict[str, bool], wait_ms: int
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'x.db'}", **how)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == wait_ms
    engine.dispose()


def test_one_wait_ends_before_the_silence_of_any_actor_kills_it() -> None:
    """A heartbeat may be a whole period old when the wait begins."""
    for node in load_topology(ROOT / "topology.yaml", {}).tree.walk():
        wait_ms = PROMPT_WAIT_MS if node.heartbeat_s <= 1 else WAIT_MS
        left_s = (MISSED_HEARTBEATS_MAX - 1) * node.heartbeat_s
        assert wait_ms <= left_s * MS_PER_S, node.name
