"""Joins command line, environment, topology, calendars and folders into the Runtime every actor
inherits.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import secrets
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

from actors.runtime import CLOCK_BRANCH, ReplayPlan, Runtime
from adapters.catalogue import check_adapters, feed_capabilities
from domain.brokers import FEED_KEY
from domain.calendar import ExchangeCalendar, calendar_from
from domain.errors import ConfigurationFault
from domain.events import EventCalendar, events_from
from domain.setting_notes import setting_notes
from domain.setting_table import API_KEY, DATA_DIR, TELEGRAM_TOKEN
from domain.settings import Settings, read_settings
from domain.supervision.endpoints import Endpoints, read_endpoints
from domain.supervision.topology import Node, Topology
from launch import environment as env
from launch.configuration import DEFAULT_FOLDER
from launch.folder import count_launch, prepare, sandbox_keys
from launch.taped import launch_of, recorded_notes, replay_plan, taped_notes
from launch.topology_file import load_topology
from persistence.migrate import migrate

ROOT = Path(__file__).resolve().parent.parent
EXECUTION_NODE = "execution_agent"
FREE_PORTS = range(20_000, 32_000)
_spoken_for: set[int] = set()  # the launcher's: what it gave out, and what its settings name
SANDBOX_ADAPTER = "openalgo"  # what the embedded exchange speaks
EVENTS_FILE = "events.json"
DATABASES = {"main": "tomic.db", "journal": "journal.db", "market": "market.db"}


@dataclasses.dataclass(frozen=True)
class Built:
    """The runtime, and what the terminal shows once."""

    runtime: Runtime
    new_api_key: str
    notes: tuple[str, ...] = ()


def build_runtime(arguments: argparse.Namespace, data_dir: Path, run_dir: Path) -> Built:
    """Everything the tree needs, checked before the first fork; `data_dir` is `data_folder`'s,
    locked, `run_dir` a private folder of this life.

    Raises ConfigurationFault or TopologyFaults.
    """
    env_file = Path(arguments.env_file)
    variables = env.read_environment(env_file)
    settings = read_settings(variables)
    if arguments.http_port:
        settings = dataclasses.replace(settings, http_port=arguments.http_port)
    topology = load_topology(Path(arguments.topology), variables)
    plan = replay_plan(arguments)
    _spoken_for.add(settings.http_port)
    new_api_key = env.ensure_api_key(variables, env_file)
    execution_broker = execution_broker_of(topology)
    if plan:
        places = _replayed(topology)
        if _taken("127.0.0.1", settings.http_port):
            settings = dataclasses.replace(settings, http_port=free_port())
    else:
        places = read_endpoints(topology, settings, variables, execution_broker)
    sandbox = any(row.sandbox for row in (*places.brokers, *places.feeds))
    keys = places.keys | _sandbox_keys(data_dir, places)
    keys["http"] = variables[API_KEY]
    if variables.get(TELEGRAM_TOKEN):
        keys["telegram"] = variables[TELEGRAM_TOKEN].strip()
    _check_adapters(places, topology.tree)
    _check_ports(places, settings)
    urls = {
        group: settings.database_url or f"sqlite:///{data_dir / file}"
        for group, file in DATABASES.items()
    }
    migrate(urls)
    launch = count_launch(data_dir)
    runtime = Runtime(
        settings=_starting(settings, places, execution_broker),
        tree=_tree(topology.tree, sandbox, plan),
        brokers=places.brokers,
        feeds=places.feeds,
        feed_sequence=places.feed_sequence,
        calendars=read_calendars(ROOT / "calendars"),
        events=read_events(ROOT / "calendars", data_dir),
        data_dir=data_dir,
        run_dir=run_dir,
        database_url=urls["main"],
        journal_url=urls["journal"],
        market_url=urls["market"],
        sandbox=sandbox,
        launch=launch_of(plan) or launch,
        control_port=free_port() if sandbox else 0,
        replay=plan,
        keys=keys,
    )
    notes = (*setting_notes(variables, topology.key_variables), *places.notes)
    notes = (*notes, *recorded_notes(plan, settings), *taped_notes(runtime))
    return Built(runtime, new_api_key, notes)


def data_folder(arguments: argparse.Namespace) -> Path:
    """The data folder, made and proven writable; the lock of the second-start guard lies in its
    `run`.

    A replay gets an empty one of its own, so that no two runs differ by the past. Raises
    ConfigurationFault naming the folder.
    """
    variables = env.read_environment(Path(arguments.env_file))
    folder = Path(arguments.data_dir or variables.get(DATA_DIR) or DEFAULT_FOLDER).resolve()
    if arguments.replay:
        stem = Path(arguments.replay).name.split(".")[0]
        folder = folder / "replay" / f"{stem}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
    prepare(folder)
    return folder


def execution_broker_of(topology: Topology) -> str:
    """Where the topology sends orders. Raises ConfigurationFault when no broker is there."""
    node = topology.tree.find(EXECUTION_NODE)
    name = str(node.settings.get("broker", "")) if node else ""
    if node and name not in {row.name for row in topology.brokers if row.executes}:
        raise ConfigurationFault(f"{EXECUTION_NODE}: broker {name!r} is no broker with exec: true")
    return name


def _replayed(topology: Topology) -> Endpoints:
    """A replay trades on our own exchange alone, wherever the environment points, and runs beside
    a live system: on free ports."""
    rows = tuple(
        dataclasses.replace(
            row,
            rest_url=f"http://127.0.0.1:{free_port()}",
            websocket_url=f"ws://127.0.0.1:{free_port()}",
            sandbox=True,
            adapter=SANDBOX_ADAPTER,
            feed_adapter="",
        )
        for row in topology.brokers
    )
    return Endpoints(rows, rows, topology.feed_sequence)


def _starting(settings: Settings, places: Endpoints, execution_broker: str) -> Settings:
    """On the sandbox the runtime starts trading by itself (`design.md` 9); in a live mode only what
    executes there counts."""
    counted = places.brokers
    if settings.mode != "sandbox":
        counted = tuple(row for row in counted if row.name == execution_broker)
    by_itself = any(row.sandbox for row in counted)
    return dataclasses.replace(settings, auto_start=True) if by_itself else settings


def _tree(root: Node, sandbox: bool, plan: ReplayPlan | None) -> Node:
    """The tree as it runs: no sandbox without its brokers, and a stepper in a replay."""
    kept = []
    for child in root.children:
        if child.children:
            child = _tree(child, sandbox, None)
            if not child.children:
                continue
        elif child.requires_sandbox and not sandbox:
            continue
        kept.append(child)
    if plan:
        branch = Node(name=CLOCK_BRANCH, strategy="one_for_one", children=_clock_nodes(plan))
        kept.insert(1, branch)
    return dataclasses.replace(root, children=tuple(kept))


def _clock_nodes(plan: ReplayPlan) -> tuple[Node, ...]:
    """What moves a replay; of a journaled run also who asks what people asked then."""
    stepper = Node(
        name="stepper",
        actor="actors.supervision.stepper.Stepper",
        effect_if_down="The recorded clock stands still.",
    )
    prompter = Node(
        name="prompter",
        actor="actors.supervision.prompter.Prompter",
        effect_if_down="What people asked in the recorded run is not asked again.",
    )
    return (stepper, prompter) if plan.taped else (stepper,)


def _sandbox_keys(data_dir: Path, places: Endpoints) -> dict[str, str]:
    """Keys of our own instances, for each role that is there."""
    roles = {row.name: row.name for row in places.brokers if row.sandbox}
    roles |= {FEED_KEY + row.name: row.name for row in places.feeds if row.sandbox}
    kept = sandbox_keys(data_dir, roles.values())
    return {role: kept[name] for role, name in roles.items()}


def _check_adapters(places: Endpoints, tree: Node) -> None:
    """Each broker is spoken to in a way we know. A socket more than it allows is refused by it, or
    ends another of ours."""
    for row in (*places.brokers, *places.feeds):
        check_adapters(row)
    for row in places.feeds:
        branch = tree.find(f"shards.{row.name}")
        shards, most = len(branch.children) if branch else 0, feed_capabilities(row).sockets
        if shards > most:
            raise ConfigurationFault(
                f"feed {row.name} has {shards} shards, and {row.label} allows {most} sockets; "
                f"lower `count` of node shard in the topology"
            )


def _check_ports(places: Endpoints, settings: Settings) -> None:
    if _taken("127.0.0.1", settings.http_port):
        raise ConfigurationFault(
            f"port {settings.http_port} is in use; --http-port or TOMIC_HTTP_PORT picks another"
        )
    for row in dict.fromkeys((*places.brokers, *places.feeds)):
        for url in (row.rest_url, row.websocket_url) if row.sandbox else ():
            port = urlsplit(url).port or 0
            _spoken_for.add(port)
            if port == settings.http_port:
                raise ConfigurationFault(
                    f"port {port} of the sandbox instance {row.name} is that of the pages, too; "
                    f"--http-port or TOMIC_HTTP_PORT picks another"
                )
            if _taken("127.0.0.1", port):
                raise ConfigurationFault(
                    f"port {port} of the sandbox instance {row.name} is in use; "
                    f"change its row under brokers in the topology"
                )


def read_calendars(folder: Path) -> dict[str, ExchangeCalendar]:
    """The calendar of each exchange with a file in `folder`."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        found[path.stem] = calendar_from(json.loads(path.read_text(encoding="utf-8")))
    return found


def read_events(folder: Path, data_dir: Path) -> EventCalendar:
    """The events that are shipped in `folder` and the operator's own in the data folder. Raises
    ConfigurationFault that names the file."""
    found = EventCalendar()
    for path in (folder / "events" / EVENTS_FILE, data_dir / EVENTS_FILE):
        if not path.is_file():
            continue
        try:
            parsed = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as fault:
            raise ConfigurationFault(f"{path}: this is no JSON ({fault})") from None
        found = found.joined(events_from(parsed, str(path)))
    return found


def free_port() -> int:
    """A port that nobody holds and nothing of this process will take, below those the kernel gives
    to outgoing connections: one of these could be taken again between this look and its use.
    """
    while True:
        port = secrets.choice(FREE_PORTS)
        if port not in _spoken_for and not _taken("127.0.0.1", port):
            _spoken_for.add(port)
            return port


def _taken(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
