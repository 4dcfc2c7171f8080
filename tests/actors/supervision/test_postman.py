"""The postman: for whose answer an ending host still waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from actors.hosting import board as states
from actors.hosting.outbox import Letter
from actors.hosting.postman import Postman
from domain.supervision.topology import Node


class OneState:
    """Stands in for the board: every node is in that state."""

    def __init__(self, state: str) -> None:
        self._state = state

    def get(self, _name: str, _field: str) -> Any:
        return self._state


@pytest.mark.parametrize(
    ("state", "for_good", "waits"),
    [
        (states.RUNNING, False, 1),
        (states.WAITING, False, 0),
        (states.RUNNING, True, 1),
        (states.WAITING, True, 1),
        (states.STARTING, True, 0),
    ],
    ids=[
        "restarted, the target lives",
        "restarted, the target is the dead sibling that starts after it",
        "stopped, the target lives",
        "stopped, the target comes back",
        "stopped, the target never came up",
    ],
)
def test_an_ending_host_waits_for_mail_that_can_still_be_handled(
    state: str, for_good: bool, waits: int
) -> None:
    nodes = {"target": Node("target")}
    postman = Postman("sender", 1, OneState(state), SimpleNamespace(), nodes)  # type: ignore[arg-type]
    postman.post("target", Letter("Fact", "said", 0))
    assert postman.waiting_for_living(for_good=for_good) == waits
