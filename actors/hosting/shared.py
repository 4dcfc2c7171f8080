"""Shared: what the launcher puts together once and every host inherits by the fork."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.actor import Actor
from actors.hosting.board import Board
from actors.hosting.nursery import Nursery
from actors.hosting.wire import Address, Drain, Transport
from actors.runtime import Runtime
from domain.supervision.stopping import order_path
from domain.supervision.topology import Node

SUPERVISOR = "actors.supervision.supervisor.Supervisor"


@dataclass(frozen=True)
class Shared:
    """Classes and settings by node name; `control` is the root's line to the launcher."""

    runtime: Runtime
    board: Board
    classes: Mapping[str, type[Actor]]
    settings: Mapping[str, Any]
    launcher_pid: int
    control: socket.socket
    nodes: dict[str, Node] = field(init=False)
    parents: dict[str, str] = field(init=False)
    hearers: dict[str, tuple[str, ...]] = field(init=False)
    hear_all: tuple[str, ...] = field(init=False)
    stepped: frozenset[str] = field(init=False)
    order_path: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        nodes = {node.name: node for node in self.runtime.tree.walk()}
        hearers: dict[str, list[str]] = {}
        for name in nodes:
            for kind in self.classes[name].heard():
                hearers.setdefault(kind, []).append(name)
        replay = self.runtime.replay is not None
        made = {
            "nodes": nodes,
            "parents": {
                below.name: node.name for node in nodes.values() for below in node.children
            },
            "hearers": {kind: tuple(names) for kind, names in hearers.items()},
            "hear_all": tuple(name for name in nodes if self.classes[name].HEARS_ALL),
            "order_path": order_path(self.runtime.tree),
            "stepped": frozenset(name for name in nodes if replay and self.classes[name].STEPPED),
        }
        for key, value in made.items():
            object.__setattr__(self, key, value)

    @property
    def root(self) -> str:
        """Name of the topmost node."""
        return self.runtime.tree.name

    def goes_first(self, name: str) -> bool:
        """Whether a node handles orders that a market waits for: in a replay none does, nor their
        supervisors, whose children would inherit it."""
        return self.runtime.replay is None and name in self.order_path

    def publishers(self, topic: str) -> list[str]:
        """Nodes that may publish topics beginning with `topic`."""
        word = topic.partition(".")[0]
        return [
            name
            for name in self.nodes
            if any(first == word or not word for first in self.classes[name].PUBLISHES)
        ]


@dataclass(frozen=True)
class Plumbing:
    """What only the actors of supervision may touch: frames, children, the shared figures."""

    shared: Shared
    transport: Transport
    nursery: Nursery
    parent: Address | None
    directory: Callable[[], Address | None]
    ready: Callable[[], None]
    give_up: Callable[[str], None]
    drain_asked: Callable[[], Drain | None]
