"""Shares of the time in which a tree stops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.supervision.stopping import (
    QUIET_S,
    Branch,
    branch_of,
    order_path,
    stop_within_s,
)
from domain.supervision.topology import Node

QUIET = Branch(shutdown_s=5.0, leaves=1, has_orders=False)
ORDERS = Branch(shutdown_s=5.0, leaves=1, has_orders=True)
BRANCHES = st.builds(Branch, st.floats(0.1, 10), st.integers(1, 20), st.booleans())


def test_a_wedged_branch_off_the_order_path_costs_a_fifth_of_the_stop() -> None:
    assert stop_within_s(QUIET, [QUIET, ORDERS, QUIET], 4.0) == QUIET_S


def test_two_wedged_branches_leave_the_order_path_half_of_the_stop() -> None:
    left_s = 4.0
    for _ in range(2):
        left_s -= stop_within_s(QUIET, [ORDERS, QUIET], left_s)
    assert stop_within_s(ORDERS, [QUIET], left_s) >= 2.0


def test_an_order_branch_has_the_time_it_wants_but_what_those_after_it_need() -> None:
    assert stop_within_s(ORDERS, [ORDERS, QUIET, QUIET], 4.0) == pytest.approx(3.1)


def test_an_order_branch_takes_no_longer_than_its_shutdown_s() -> None:
    assert stop_within_s(Branch(1.0, 9, True), [ORDERS], 4.0) == 1.0


def test_a_large_branch_off_the_order_path_has_a_little_more() -> None:
    large = Branch(5.0, 9, False)
    assert QUIET_S < stop_within_s(large, [ORDERS], 4.0) <= 2 * QUIET_S


@given(BRANCHES, st.lists(BRANCHES, max_size=12), st.floats(0.01, 10))
def test_every_branch_has_some_time_and_leaves_some_to_those_after_it_and_to_their_supervisor(
    first: Branch, later: list[Branch], left_s: float
) -> None:
    for place, branch in enumerate([first, *later]):
        share_s = stop_within_s(branch, later[place:], left_s)
        assert 0 < share_s < left_s
        left_s -= share_s


def test_a_leaf_in_a_branch_that_handles_orders_has_orders_itself() -> None:
    leaf = Node(name="execution_agent")
    assert branch_of(leaf, Node(name="execution", handles_orders=True)).has_orders
    assert not branch_of(leaf, Node(name="desk")).has_orders


def test_a_branch_with_one_leaf_that_handles_orders_is_on_the_order_path() -> None:
    leaves = (Node(name="broker_session"), Node(name="account_sync", handles_orders=True))
    made = branch_of(Node(name="brokers", children=leaves), Node(name="root"))
    assert made.has_orders
    assert made.leaves == 2


def test_all_below_a_branch_that_handles_orders_is_on_the_order_path() -> None:
    agent, sync = Node(name="agent"), Node(name="sync", handles_orders=True)
    execution = Node(name="execution", handles_orders=True, children=(agent,))
    brokers = Node(name="brokers", children=(sync, Node(name="session")))
    found = order_path(Node(name="root", children=(execution, brokers)))
    assert found == {"execution", "agent", "sync"}
