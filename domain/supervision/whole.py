"""What a topology must be as a whole: names that exist, feeds to read, breakers where it trades."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from domain.safety import CONNECTION_RULE, TreeNode, missing_breakers, standing_breakers

TRADER, GATE = "execution_agent", "breaker_gate"


class TreeFault(NamedTuple):
    """What is wrong at a node; `key` is the one of its settings that is, if one."""

    node: str
    key: str
    text: str


def feed_faults(wanted: Any, feeds: Sequence[str]) -> list[str]:
    """What is wrong with the order of the feeds, `wanted`, when these brokers can be one."""
    if not feeds:
        return ["no broker has feed: true, so no price could come"]
    if not isinstance(wanted, list) or not wanted:
        return ["feed_auto_sequence must be a list of broker names"]
    faults = [
        f"feed_auto_sequence: {name!r} is no broker with feed: true"
        for name in wanted
        if name not in feeds
    ]
    twice = [name for number, name in enumerate(wanted) if name in wanted[:number]]
    return faults + [f"feed_auto_sequence: {name!r} stands twice" for name in twice]


def tree_faults(nodes: Sequence[TreeNode], executing: Collection[str]) -> list[TreeFault]:
    """What is wrong with the nodes together; `executing` are the brokers that take orders."""
    names = {node.name for node in nodes}
    faults = [fault for node in nodes for fault in _strangers(node, names, executing)]
    trader = next((node for node in nodes if node.name == TRADER), None)
    return faults + (_unsafe(nodes, trader, executing) if trader else [])


def _strangers(
    node: TreeNode, names: Collection[str], executing: Collection[str]
) -> Iterable[TreeFault]:
    scanners = node.settings.get("scanners")
    for scanner in scanners if isinstance(scanners, list) else ():
        if scanner not in names:
            text = f"scanners: {scanner!r} is no node of the tree"
            yield TreeFault(node.name, "scanners", text)
    broker = node.settings.get("broker")
    if broker and broker not in executing:
        yield TreeFault(node.name, "broker", f"broker {broker!r} is no broker with exec: true")


def _unsafe(
    nodes: Sequence[TreeNode], trader: TreeNode, executing: Collection[str]
) -> list[TreeFault]:
    """Orders pass the gate, and the gate asks breakers that no configuration takes away."""
    names = {node.name for node in nodes}
    faults = []
    if GATE not in names:
        faults.append(TreeFault(TRADER, "", f"a tree that trades needs the node {GATE}"))
    broker = str(trader.settings.get("broker", ""))
    for row in missing_breakers(standing_breakers(nodes), broker):
        if row.rule == CONNECTION_RULE and broker not in executing:
            continue
        needs = f"rule {row.rule}" + (f" for broker {row.instance}" if row.instance else "")
        if row.name in names:
            faults.append(TreeFault(row.name, "rule", f"it must run {needs}"))
        else:
            text = f"a tree that trades needs the node {row.name} with {needs}"
            faults.append(TreeFault(TRADER, "", text))
    return faults
