"""Checks the parsed topology.yaml and gives the tree of nodes; every fault at once, with its line.

Pure: system.py parses the file (values and the line of each key) and tells, through `schema_of`,
which settings an actor's class takes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from domain.brokers import BrokerEndpoint
from domain.supervision.values import derived_websocket_url, is_int, is_url, value_fault
from domain.supervision.whole import feed_faults, tree_faults

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
GROUPS = ("brokers", "exec_brokers", "feed_brokers")
_NAME = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$")
NODE_KEYS = frozenset({
    "name", "actor", "strategy", "children", "count", "for_each", "restart", "max_restarts",
    "window_s", "backoff_s", "shutdown_s", "heartbeat_s", "max_handler_s", "mailbox_max",
    "pause_on_kill", "requires",
    "effect_if_down", "settings", "handles_orders", "requires_sandbox",
})  # fmt: skip
DEFAULT_KEYS = frozenset({
    "restart", "max_restarts", "window_s", "backoff_s", "shutdown_s", "heartbeat_s",
    "max_handler_s", "mailbox_max", "pause_on_kill",
})  # fmt: skip
FLAG_KEYS = frozenset({"handles_orders", "requires_sandbox"})
TOP_KEYS = frozenset({"brokers", "feed_auto_sequence", "defaults", "tree"})
BROKER_KEYS = frozenset(
    {"rest", "ws", "feed", "exec", "label", "adapter", "feed_adapter", "api_key_env", "sandbox"}
)


@dataclass(frozen=True)
class Node:
    """One node as it runs, after `count` and `for_each` are spread out (`design.md` 4).

    A node has either `actor` (dotted path of its class) or `strategy` and `children`.
    """

    name: str
    actor: str = ""
    strategy: str = ""
    children: tuple[Node, ...] = ()
    instance: str = ""
    restart: str = "permanent"
    max_restarts: int = 3
    window_s: float = 120.0
    backoff_s: tuple[float, float] = (0.0, 10.0)
    shutdown_s: float = 5.0
    heartbeat_s: float = 5.0
    max_handler_s: float = 2.0
    mailbox_max: int = 1000
    pause_on_kill: bool = False
    handles_orders: bool = False
    requires: str = ""
    requires_sandbox: bool = False
    effect_if_down: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def walk(self) -> list[Node]:
        """This node and all below it, top down, in start order."""
        return [self] + [node for child in self.children for node in child.walk()]

    def find(self, name: str) -> Node | None:
        """The node of that name at or below this one."""
        return next((node for node in self.walk() if node.name == name), None)


@dataclass(frozen=True)
class Topology:
    """A checked file."""

    tree: Node
    brokers: tuple[BrokerEndpoint, ...]
    key_variables: Mapping[str, str]
    feed_sequence: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong, for people: the line (1-based, 0 unknown) and the rule it breaks."""

    line: int
    text: str


class Mapped(dict[str, Any]):
    """A parsed mapping that knows its own line and that of each key."""

    line: int = 0
    key_lines: dict[str, int]
    repeated: list[tuple[str, int]]


SettingsCheck = Callable[[str, Mapping[str, Any]], list[str]]


class TopologyFaults(ValueError):
    """Raised with every fault of a file, in order of line."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = sorted(set(faults))


def read_topology(
    parsed: Any, check_actor: SettingsCheck, overrides: Mapping[str, str] | None = None
) -> Topology:
    """The checked topology. `check_actor(path, settings)` gives sentences for what is wrong with a
    class path or its settings; `overrides` are the MULTI_BROKER_* variables. Raises
    TopologyFaults."""
    reader = _Reader(check_actor)
    if not isinstance(parsed, Mapped):
        raise TopologyFaults(
            [Fault(1, "the file must be a mapping with brokers, defaults and tree")]
        )
    reader.keys(parsed, TOP_KEYS, "the file")
    brokers, variables = reader.brokers(parsed, overrides or {})
    sequence = reader.sequence(parsed, brokers)
    defaults = parsed.get("defaults")
    if defaults is not None and not isinstance(defaults, Mapped):
        reader.fault(parsed, "defaults", "defaults must be a mapping of node keys")
        defaults = None
    if defaults is not None:
        reader.keys(defaults, DEFAULT_KEYS, "defaults")
    groups = {
        "brokers": [row.name for row in brokers],
        "exec_brokers": [row.name for row in brokers if row.executes],
        "feed_brokers": [row.name for row in brokers if row.feed],
    }
    nodes: list[Node] = []
    if not isinstance(parsed.get("tree"), Mapped):
        reader.fault(parsed, "tree", "tree is missing: it holds the root node")
    else:
        nodes = reader.nodes(parsed["tree"], defaults or Mapped(), groups, "", "")
        if parsed["tree"].get("actor"):
            reader.fault(
                parsed["tree"], "actor", "the root must be a supervisor: strategy and children"
            )
        reader.whole(nodes, groups["exec_brokers"])
    if reader.faults:
        raise TopologyFaults(reader.faults)
    return Topology(nodes[0], tuple(brokers), variables, tuple(sequence))


class _Reader:
    """Walks the parsed file, collecting faults instead of stopping at the first."""

    def __init__(self, check_actor: SettingsCheck) -> None:
        self.faults: list[Fault] = []
        self._check_actor = check_actor
        self._row_of: dict[str, Mapped] = {}

    def fault(self, where: Mapped, key: str, text: str) -> None:
        lines = getattr(where, "key_lines", {})
        self.faults.append(Fault(lines.get(key, getattr(where, "line", 0)), text))

    def keys(self, where: Mapped, known: frozenset[str], what: str) -> None:
        for key in where:
            if key not in known:
                self.fault(
                    where, key, f"{what}: unknown key {key!r}; known are {', '.join(sorted(known))}"
                )
        for key, line in getattr(where, "repeated", []):
            self.faults.append(Fault(line, f"{what}: key {key!r} stands twice"))

    # -- brokers --

    def brokers(
        self, parsed: Mapped, overrides: Mapping[str, str]
    ) -> tuple[list[BrokerEndpoint], dict[str, str]]:
        block = parsed.get("brokers")
        if not isinstance(block, Mapped) or not block:
            self.fault(parsed, "brokers", "brokers is missing: it names at least one broker")
            return [], {}
        rows: list[BrokerEndpoint] = []
        variables: dict[str, str] = {}
        used: dict[str, str] = {}
        for name, row in block.items():
            if not _NAME.match(str(name)) or not isinstance(row, Mapped):
                self.fault(block, name, f"broker {name!r} must be a lower-case name with a mapping")
                continue
            self.keys(row, BROKER_KEYS, f"broker {name}")
            endpoint = self._broker(name, row, overrides)
            rows.append(endpoint)
            variables[name] = str(row.get("api_key_env", ""))
            for key, url in (("rest", endpoint.rest_url), ("ws", endpoint.websocket_url)):
                place = urlsplit(url).netloc
                if place and place in used:
                    self.fault(row, key, f"broker {name}: {place} is already {used[place]}'s")
                used[place] = name
        return rows, variables

    def _broker(self, name: str, row: Mapped, overrides: Mapping[str, str]) -> BrokerEndpoint:
        prefix = f"MULTI_BROKER_{name.upper()}_"
        moved, moved_socket = overrides.get(prefix + "URL"), overrides.get(prefix + "WS_URL")
        is_sandbox = row.get("sandbox") is True and not moved
        rest = str(moved or row.get("rest", "")).rstrip("/")
        websocket = str(row.get("ws", "")).rstrip("/")
        if moved_socket and not is_sandbox:
            websocket = moved_socket.rstrip("/")
        elif moved and is_url(rest, ("http", "https")):
            websocket = derived_websocket_url(rest, overrides.get("WEBSOCKET_PORT", ""))
        for key, url, schemes in (
            ("rest", rest, ("http", "https")),
            ("ws", websocket, ("ws", "wss")),
        ):
            if not is_url(url, schemes):
                self.fault(
                    row,
                    key,
                    f"broker {name}: {key} {url!r} must be a URL of {' or '.join(schemes)}",
                )
        for key in ("feed", "exec", "sandbox"):
            if not isinstance(row.get(key, False), bool):
                self.fault(row, key, f"broker {name}: {key} must be true or false")
        return BrokerEndpoint(
            name=name,
            rest_url=rest,
            websocket_url=websocket,
            feed=row.get("feed") is True,
            executes=row.get("exec") is True,
            label=str(row.get("label", name)),
            adapter=str(row.get("adapter", "openalgo")),
            feed_adapter="" if is_sandbox else str(row.get("feed_adapter", "")),
            sandbox=is_sandbox,
        )

    def sequence(self, parsed: Mapped, brokers: list[BrokerEndpoint]) -> list[str]:
        feeds = [row.name for row in brokers if row.feed]
        given = parsed.get("feed_auto_sequence")
        wanted = feeds if given is None else given
        for text in feed_faults(wanted, feeds) if brokers else ():
            self.fault(parsed, "feed_auto_sequence" if feeds else "brokers", text)
        return [str(name) for name in wanted] if isinstance(wanted, list) else []

    # -- nodes --

    def nodes(
        self,
        row: Any,
        defaults: Mapped,
        groups: Mapping[str, list[str]],
        instance: str,
        within: str,
    ) -> list[Node]:
        """The node of a row, once for each instance it stands for."""
        if not isinstance(row, Mapped):
            self.faults.append(
                Fault(0, f"{within or 'tree'}: a child must be a mapping with a name")
            )
            return []
        name = row.get("name")
        if not isinstance(name, str) or not _NAME.match(name):
            self.fault(row, "name", f"name {name!r} must be lower-case words joined by _ or a dot")
            name = f"unnamed_{row.line}"
        self.keys(row, NODE_KEYS, f"node {name}")
        return [
            self._node(row, defaults, groups, found, full)
            for found, full in self._instances(row, name, groups, instance)
        ]

    def whole(self, nodes: list[Node], executing: list[str]) -> None:
        """What only shows when all nodes are known."""
        everyone = [node for root in nodes for node in root.walk()]
        for name, key, text in tree_faults(everyone, executing):
            row = self._row_of[name]
            settings = row.get("settings")
            where = settings if isinstance(settings, Mapped) and key in settings else row
            self.fault(where, key, f"node {name}: {text}")

    def _instances(
        self, row: Mapped, name: str, groups: Mapping[str, list[str]], instance: str
    ) -> list[tuple[str, str]]:
        base = f"{name}.{instance}" if instance else name
        each, count = row.get("for_each"), row.get("count")
        if each is not None and (each not in groups or instance):
            why = (
                "stands inside another for_each"
                if instance
                else f"must be one of {', '.join(GROUPS)}"
            )
            self.fault(row, "for_each", f"node {name}: for_each {each!r} {why}")
            return []
        if each is not None and count is not None:
            self.fault(row, "count", f"node {name}: count and for_each exclude each other")
            return []
        if each is not None:
            return [(found, f"{name}.{found}") for found in groups[each]]
        if count is not None:
            if not is_int(count) or not 1 <= count <= 64:
                self.fault(
                    row,
                    "count",
                    f"node {name}: count {count!r} must be a whole number from 1 to 64",
                )
                return []
            return [(instance, f"{base}.{number}") for number in range(1, count + 1)]
        return [(instance, base)]

    def _node(
        self,
        row: Mapped,
        defaults: Mapped,
        groups: Mapping[str, list[str]],
        instance: str,
        name: str,
    ) -> Node:
        if name in self._row_of:
            first = self._row_of[name].line
            self.fault(row, "name", f"node name {name!r} stands twice, first in line {first}")
        self._row_of.setdefault(name, row)
        actor, strategy, children = row.get("actor"), row.get("strategy"), row.get("children")
        settings = row.get("settings", {})
        if actor and (strategy or children):
            self.fault(row, "actor", f"node {name}: an actor has no strategy and no children")
        elif actor:
            self._check_settings(row, name, str(actor), settings)
        elif strategy not in STRATEGIES:
            self.fault(
                row,
                "strategy",
                f"node {name}: strategy {strategy!r} must be one of {', '.join(STRATEGIES)}",
            )
        elif not isinstance(children, list) or not children:
            self.fault(row, "children", f"node {name}: a supervisor needs a list of children")
        below: list[Node] = []
        if not actor and isinstance(children, list):
            below = [
                node
                for child in children
                for node in self.nodes(child, defaults, groups, instance, name)
            ]
        values = self._values(row, defaults, name)
        return Node(
            name=name,
            actor=str(actor or ""),
            strategy=str(strategy or ""),
            children=tuple(below),
            instance=instance,
            effect_if_down=str(row.get("effect_if_down", "")),
            requires=str(row.get("requires", "")),
            settings=dict(settings) if isinstance(settings, Mapping) else {},
            **values,
        )

    def _check_settings(self, row: Mapped, name: str, actor: str, settings: Any) -> None:
        if not isinstance(settings, Mapping):
            self.fault(row, "settings", f"node {name}: settings must be a mapping")
            return
        for sentence in self._check_actor(actor, settings):
            key = "settings" if settings and "settings" in row else "actor"
            self.fault(row, key, f"node {name}: {sentence}")

    def _values(self, row: Mapped, defaults: Mapped, name: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for fact in dataclasses.fields(Node):
            if fact.name not in DEFAULT_KEYS | FLAG_KEYS:
                continue
            source = row if fact.name in row else defaults
            if fact.name not in source:
                continue
            value = source[fact.name]
            sentence = value_fault(fact.name, value)
            if sentence:
                self.fault(source, fact.name, f"node {name}: {fact.name} {value!r} {sentence}")
                continue
            values[fact.name] = tuple(map(float, value)) if fact.name == "backoff_s" else value
        handler = values.get("max_handler_s", Node.max_handler_s)
        heartbeat = values.get("heartbeat_s", Node.heartbeat_s)
        if "heartbeat_s" in row and handler >= heartbeat and "max_handler_s" not in row:
            # A quicker heartbeat alone tightens the handler with it; both given must fit each
            # other.
            values["max_handler_s"] = heartbeat * 0.8
        elif handler >= heartbeat:
            self.fault(
                row,
                "max_handler_s",
                f"node {name}: max_handler_s {handler} must be below heartbeat_s {heartbeat}",
            )
        return values
