"""By when a process must have answered, or it is taken for wedged and killed."""

from __future__ import annotations

from dataclasses import dataclass

from domain.supervision.restarts import NS_PER_S
from domain.supervision.topology import Node

MISSED_HEARTBEATS_MAX = 2
HELLO_S, HELLO_IN_A_CROWD_S = 2.0, 5.0  # from the fork; a crowd is the whole tree starting at once
# A leaf's `start()` reads back what must not be forgotten, and that may take a while. Where orders
# are in hand nobody can wait so long.
START_S, START_WITH_ORDERS_S = 60.0, 20.0
FORKING_S = 10.0  # a supervisor that starts forks all its children, on a machine that starts more


@dataclass(frozen=True)
class Signs:
    """What is seen of a process. `beat_ns` is 0 before its first sign of life."""

    forked_ns: int
    beat_ns: int
    starting: bool
    tree_stands: bool
    has_orders: bool


def answer_due(node: Node, signs: Signs) -> tuple[int, str]:
    """When the process of `node` is overdue if no other sign comes, and what it then did wrong."""
    if signs.beat_ns == 0:
        within_s = HELLO_S if signs.tree_stands else HELLO_IN_A_CROWD_S
        return _after(signs.forked_ns, within_s), "was silent after its fork"
    if signs.starting and not node.children:
        within_s = START_WITH_ORDERS_S if signs.has_orders else START_S
        return _after(signs.forked_ns, within_s), "did not finish starting"
    within_s = MISSED_HEARTBEATS_MAX * node.heartbeat_s
    if signs.starting:
        within_s = max(within_s, FORKING_S)
    return _after(signs.beat_ns, within_s), f"missed {MISSED_HEARTBEATS_MAX} heartbeats"


def _after(then_ns: int, within_s: float) -> int:
    return then_ns + round(within_s * NS_PER_S)
