"""The status actor's own part: what it shows of the tree while trading is stopped."""

from __future__ import annotations

from typing import Any

import pytest

from actors.desk.status_board import StatusBoard
from domain.supervision.topology import Node
from messages.lifecycle import TreeReported
from messages.trading import TradingModeChanged
from tests.kit.recording_context import RecordingContext, make_runtime

NODES = {"signal_loop": True, "risk_agent": True, "position_manager": False}


class NoServer:
    """Stands where the web server would."""

    def __init__(self, *_gateway_and_runtime: Any) -> None:
        self.is_running = False

    def start(self) -> None:
        self.is_running = True


def mode(killed: bool) -> TradingModeChanged:
    return TradingModeChanged(
        mode="halted" if killed else "active", killed=killed, reason="", since_ns=1
    )


def shown(board: StatusBoard) -> dict[str, str]:
    part = board.tree()
    assert part is not None
    return {node["name"]: node["state"] for node in (part.body, *part.body["children"])}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr("actors.desk.status_board.WebServer", NoServer)
    nodes = tuple(Node(name, actor="x", pause_on_kill=pauses) for name, pauses in NODES.items())
    tree = Node("root", strategy="one_for_one", children=nodes)
    context = RecordingContext("status_board", make_runtime(tmp_path, tree=tree))
    board = StatusBoard(context, None)
    board.start()
    yield board, context
    board._inner.close()
    board._outer.close()


def report(board, context, **states):
    rows = [{"name": n, "state": states.get(n, "running"), "children": []} for n in NODES]
    told = TreeReported(tree={"name": "root", "state": "running", "children": rows})
    context.deliver(board, told)


def test_who_pauses_on_a_kill_is_shown_paused_until_trading_is_resumed(desk):
    board, context = desk
    report(board, context)
    running = dict.fromkeys(("root", *NODES), "running")
    assert shown(board) == running
    context.deliver(board, mode(killed=True))
    assert shown(board) == running | {"signal_loop": "paused", "risk_agent": "paused"}
    report(board, context)
    assert shown(board)["risk_agent"] == "paused"
    context.deliver(board, mode(killed=False))
    assert shown(board) == running


def test_who_is_down_is_not_shown_as_paused(desk):
    board, context = desk
    report(board, context, risk_agent="waiting")
    context.deliver(board, mode(killed=True))
    assert shown(board)["risk_agent"] == "waiting"
