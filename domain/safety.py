"""The breakers that no configuration leaves out (`tomic.md` 10.1): which must stand for an entry.

The check of the topology asks before anything starts, the gate before each entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

BREAKER_PREFIX = "breaker."
CONNECTION_RULE = "connection"
SAFETY_RULES = (
    "daily_max_loss",
    "order_rate",
    "gross_notional",
    "per_underlying",
    "unhedged_exposure",
)


class TreeNode(Protocol):
    """A node of the topology, as far as it matters here."""

    @property
    def name(self) -> str: ...

    @property
    def instance(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class StandingBreaker:
    """A breaker's node: its name, the rule it runs and the broker it serves, if one."""

    name: str
    rule: str
    instance: str = ""


def standing_breakers(nodes: Iterable[TreeNode]) -> frozenset[StandingBreaker]:
    """Every breaker among the nodes of a tree."""
    return frozenset(
        StandingBreaker(node.name, str(node.settings.get("rule", "")), node.instance)
        for node in nodes
        if node.name.startswith(BREAKER_PREFIX)
    )


def missing_breakers(
    standing: frozenset[StandingBreaker], broker: str
) -> tuple[StandingBreaker, ...]:
    """Those an entry at that broker needs and that do not stand, or run another rule."""
    needed = [StandingBreaker(BREAKER_PREFIX + rule, rule) for rule in SAFETY_RULES]
    connection = f"{BREAKER_PREFIX}{CONNECTION_RULE}.{broker}"
    needed.append(StandingBreaker(connection, CONNECTION_RULE, broker))
    return tuple(row for row in needed if row not in standing)
