"""A fixed part of the kill matrix on the default tree as it is shipped: kill -9 at a named step.

`make bench-kill` kills every process of it. Here are the exchange itself and the whole
process group.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.kill_cases import SMALL, WHOLE, case_named, kills, tree_of, whole_cases
from tests.kit.kill_run import run_case
from tests.kit.whole_tree import WholeTree

pytestmark = pytest.mark.timeout(900)
CASES = [
    "answer_unwritten.1/sandbox_exchange/SIGKILL/IRON_CONDOR",
    "fill_untold.1/group/SIGKILL/IRON_CONDOR",
]


@pytest.fixture(scope="module")
def tree() -> Iterator[WholeTree]:
    """The default tree with crash points; each case leaves it whole."""
    running = WholeTree(Path(tempfile.mkdtemp(prefix="tomic-test-")))
    try:
        running.start()
        yield running
    finally:
        running.end()


@pytest.mark.parametrize(("number", "name"), list(enumerate(CASES, 1)))
def test_the_whole_tree_loses_and_doubles_no_order_when_killed_at(
    tree: WholeTree, number: int, name: str
) -> None:
    outcome = run_case(tree, case_named(name), number)
    assert outcome.verdict.is_good, (outcome.verdict, outcome.told)
    assert outcome.struck


def test_every_node_of_both_topologies_is_a_victim() -> None:
    for path, cases in ((SMALL, kills()), (WHOLE, whole_cases())):
        nodes = {node.name for node in tree_of(path).walk()}
        assert nodes <= {case.victim for case in cases}


def test_a_case_is_repeated_by_its_name() -> None:
    for case in (*kills(), *whole_cases()):
        assert case_named(case.name) == case
