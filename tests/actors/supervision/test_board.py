"""The shared figures, as people see them."""

from __future__ import annotations

from typing import Any

import pytest

from actors.hosting import board as states
from actors.hosting.board import Board
from domain.supervision.topology import Node
from web_status.trace_shapes import TreeNode

LEAF = Node(name="executor", actor="x")
TREE = Node(name="root", strategy="one_for_one", children=(Node("orders", children=(LEAF,)),))


def shown(board: Board) -> dict[str, Any]:
    """State by name, of a tree that has the shape which the web promises."""
    view = board.view(0)
    TreeNode.model_validate(view)
    orders = view["children"][0]
    return {row["name"]: row["state"] for row in (view, orders, orders["children"][0])}


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (states.DOWN, "starting"),
        (states.STARTING, "starting"),
        (states.RUNNING, "running"),
        (states.STOPPING, "running"),
        (states.WAITING, "backing_off"),
        (states.STOPPED, "stopped"),
        (states.GAVE_UP, "failed"),
    ],
)
def test_a_state_is_shown_in_the_words_of_the_contract(state: int, word: str) -> None:
    board = Board(TREE)
    board.put("executor", state=state)
    assert shown(board)["executor"] == word


def test_what_is_below_a_supervisor_that_is_away_is_away_with_it() -> None:
    board = Board(TREE)
    board.put("root", state=states.RUNNING)
    board.put("orders", state=states.WAITING)
    board.put("executor", state=states.RUNNING)
    assert shown(board) == {"root": "running", "orders": "backing_off", "executor": "backing_off"}
    board.put("orders", state=states.RUNNING)
    assert shown(board)["executor"] == "running"
