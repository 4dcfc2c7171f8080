"""A fixed part of the kill matrix: each step of an order's life with kill -9 at it, once.

`make bench-kill` runs the whole of it. The two steps after which nobody knows for 30 s whether the
order arrived stand there alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.crashing_actors import POINTS
from tests.kit.kill_cases import case_named
from tests.kit.kill_run import CaseRun
from tests.kit.order_tree import OrderTree, order_tree

pytestmark = pytest.mark.timeout(150)
SLOW = ("marked_sending", "half_sent")
STEPS = [
    f"{point}.{times}/itself/SIGKILL/BULL_PUT_SPREAD"
    for point, times in POINTS.items()
    if point not in SLOW
]
OTHERS = [
    "fill_unfolded.1/everything/SIGKILL/BULL_PUT_SPREAD",
    "answer_unwritten.3/execution/SIGKILL/IRON_CONDOR",
    "fill_unwritten.2/root/SIGKILL/BULL_PUT_SPREAD",
    "close_at_gate.1/itself+execution_agent/SIGKILL/BULL_PUT_SPREAD",
    "legs_handed.2/itself/SIGSTOP/BULL_PUT_SPREAD",
    "gate_asked.1/itself/SIGSEGV/BULL_PUT_SPREAD",
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderTree]:
    """One small tree with a broker of its own; each case leaves it whole."""
    folder: Path = tmp_path_factory.mktemp("kill")
    with order_tree(folder) as running:
        yield running


@pytest.mark.parametrize(("number", "name"), list(enumerate(STEPS + OTHERS, 1)))
def test_no_order_is_lost_or_doubled_and_no_short_unguarded_when_killed_at(
    tree: OrderTree, number: int, name: str
) -> None:
    outcome = CaseRun(tree, case_named(name), number).run()
    assert outcome.verdict.is_good, (outcome.verdict, outcome.told)
    assert outcome.verdict.waiting == []
    assert outcome.struck
