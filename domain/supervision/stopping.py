"""How long each branch may take to stop: a wedged one must not use up what the order path needs.

Branches stop one after the other within one deadline. Outside of the order path there is nothing to
finish but mail, so such a branch has a short share; inside it `shutdown_s` rules, and what the
branches after it will need is kept back for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.supervision.topology import Node

QUIET_S, QUIET_LEAF_S = 0.8, 0.05  # a branch off the order path, and more for each further leaf
KEPT_ORDERS_S, KEPT_QUIET_S = 0.3, 0.1  # for each branch that stops later
OWN_PART = 0.1  # of its time a supervisor keeps for itself, to see the last child end


@dataclass(frozen=True)
class Branch:
    """What the shares depend on."""

    shutdown_s: float
    leaves: int
    has_orders: bool

    @property
    def limit_s(self) -> float:
        """The most it may take, whatever the time left."""
        if self.has_orders:
            return self.shutdown_s
        return min(self.shutdown_s, QUIET_S + QUIET_LEAF_S * (self.leaves - 1))

    @property
    def kept_s(self) -> float:
        """What those before it leave for it."""
        return KEPT_ORDERS_S if self.has_orders else KEPT_QUIET_S


def handles_orders(node: Node) -> bool:
    """True when this node or any below it has orders in hand."""
    return any(below.handles_orders for below in node.walk())


def order_path(node: Node, *, within: bool = False) -> frozenset[str]:
    """Names of all nodes that handle orders, or stand in a branch that does."""
    inside = within or node.handles_orders
    own = frozenset({node.name}) if inside else frozenset[str]()
    return own.union(*(order_path(child, within=inside) for child in node.children))


def branch_of(node: Node, parent: Node) -> Branch:
    """The branch `node` under `parent`; all of a branch that handles orders do."""
    leaves = sum(1 for below in node.walk() if not below.children)
    return Branch(node.shutdown_s, leaves, parent.handles_orders or handles_orders(node))


def stop_within_s(branch: Branch, later: Sequence[Branch], left_s: float) -> float:
    """Seconds for `branch` when it stops now and `later` follow, of the `left_s` their supervisor
    has. Where that is too short for what is to be kept back, each has a part by weight.

    >>> quiet, orders = Branch(5.0, 1, False), Branch(5.0, 1, True)
    >>> stop_within_s(quiet, [orders], 4.0), round(stop_within_s(orders, [orders], 3.0), 1)
    (0.8, 2.4)
    """
    left_s *= 1.0 - OWN_PART
    kept_s = sum(other.kept_s for other in later)
    part_s = left_s * (branch.kept_s / (branch.kept_s + kept_s))
    return max(0.0, min(branch.limit_s, max(part_s, left_s - kept_s)))
