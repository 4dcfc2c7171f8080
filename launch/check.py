"""`--check`: the faults of a topology file, or its tree."""

from __future__ import annotations

from pathlib import Path

from rich.tree import Tree

from domain.supervision.topology import Node, TopologyFaults


def fault_lines(path: Path, faults: TopologyFaults) -> list[str]:
    """`file:line: reason` for each fault, in order of line."""
    return [f"{path}:{fault.line}: {fault.text}" for fault in faults.faults]


def picture(node: Node) -> Tree:
    """The tree as the terminal prints it."""
    made = Tree(_label(node))
    for child in node.children:
        _grow(made, child)
    return made


def _grow(parent: Tree, node: Node) -> None:
    branch = parent.add(_label(node))
    for child in node.children:
        _grow(branch, child)


def _label(node: Node) -> str:
    if node.actor:
        return f"{node.name}  [dim]{node.actor.rpartition('.')[2]}[/dim]"
    return f"[bold]{node.name}[/bold]  [dim]{node.strategy}[/dim]"
