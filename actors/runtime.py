"""Runtime: what the launcher knows and every actor inherits with the fork. Keys are here and
nowhere else.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.brokers import FEED_KEY, BrokerEndpoint
from domain.calendar import ExchangeCalendar
from domain.events import EventCalendar
from domain.settings import Settings
from domain.supervision.topology import Node
from domain.tape import TapedRun

CLOCK_BRANCH = "recorded_clock"  # of a replay; no other run has it
# Where things are, and who is told: nothing is decided by them.
PLACES = (
    "http_port", "database_url", "feed_primary_ws", "feed_fallback_ws", "execution_rest",
    "analytics_rest", "telegram_alerts", "telegram_chat_id",
)  # fmt: skip


@dataclass(frozen=True)
class ReplayPlan:
    """A recorded session to trade (`design.md` 2): a file or a folder of files, of the `recorded`
    underlyings, or a journaled run as `taped`. `speed` 0 means as fast as it goes; `expect`
    compares the decisions with the taped ones."""

    file: Path
    history: Path | None
    speed: float
    report: Path | None
    interval_ns: int  # usual time between two rows: so long does a recorded price stand
    taped: TapedRun | None = None
    expect: bool = False
    recorded: tuple[str, ...] = ()

    @property
    def is_of_real_time(self) -> bool:
        """True for a run that no replay made: its slow beats had jitter."""
        return self.taped is not None and not self.taped.head["stepped"]

    @property
    def always_open(self) -> bool:
        """True when the run was one of a sandbox that never closes."""
        return self.taped is not None and bool(self.taped.head["always_open"])


@dataclass(frozen=True)
class Runtime:
    """Everything joined by system.py before the first fork; read-only ever after.

    `brokers` has where each broker's orders go, `feeds` where its market data comes from. `run_dir`
    is a private folder (mode 0700, short path) for the bus's sockets. `control_port` is the sandbox
    exchange's, 0 where there is none.
    """

    settings: Settings
    tree: Node
    brokers: tuple[BrokerEndpoint, ...]
    feeds: tuple[BrokerEndpoint, ...]
    feed_sequence: tuple[str, ...]
    calendars: Mapping[str, ExchangeCalendar]
    data_dir: Path
    run_dir: Path
    database_url: str
    journal_url: str
    market_url: str
    sandbox: bool
    launch: int = 1  # how many times this data folder has been started: ids of messages carry it
    control_port: int = 0
    replay: ReplayPlan | None = None
    events: EventCalendar = field(default_factory=EventCalendar)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def installation(self) -> str:
        """This machine and data folder, as the owner of the control lease."""
        return f"{platform.node()}:{self.data_dir}"

    @property
    def is_on_paper(self) -> bool:
        """True while no order of ours can be one of real money."""
        return self.sandbox or self.settings.mode == "sandbox"

    def broker(self, name: str) -> BrokerEndpoint:
        """Where its orders, books and money are; `keys[name]` opens it. KeyError for a name that
        stands in no `brokers:` row."""
        return _row(self.brokers, name)

    def feed(self, name: str) -> BrokerEndpoint:
        """Where its ticks, history and instrument master come from; KeyError as above."""
        return _row(self.feeds, name)

    def feed_key(self, name: str) -> str:
        """What opens the socket of its feed; empty when there is none."""
        return self.keys.get(FEED_KEY + name, "")

    def reading_key(self, name: str) -> str:
        """What opens the REST of its feed: on a server that also takes orders, the key for them."""
        rest_url = self.feed(name).rest_url
        trades = next((row.name for row in self.brokers if row.rest_url == rest_url), "")
        return self.keys.get(trades, "") or self.feed_key(name)

    def sandbox_instances(self) -> dict[str, tuple[BrokerEndpoint, str]]:
        """(endpoint, key) of each broker that the embedded exchange serves in one role or both."""
        feeds = {row.name: (row, self.feed_key(row.name)) for row in self.feeds if row.sandbox}
        orders = {
            row.name: (row, self.keys.get(row.name, "")) for row in self.brokers if row.sandbox
        }
        return feeds | orders


def _row(rows: tuple[BrokerEndpoint, ...], name: str) -> BrokerEndpoint:
    for row in rows:
        if row.name == name:
            return row
    raise KeyError(f"no broker {name!r} in the brokers block")


def is_always_open(runtime: Runtime) -> bool:
    """True on a sandbox that never closes; a replay keeps its recorded day's hours."""
    if runtime.replay is not None:
        return runtime.replay.always_open
    exchange = runtime.tree.find("sandbox_exchange") if runtime.tree else None
    open_by_default = exchange is None or exchange.settings.get("always_open", True) is True
    return runtime.sandbox and open_by_default


def fingerprint(runtime: Runtime) -> dict[str, Any]:
    """What decides besides the market, JSON-ready: settings, nodes and their settings, feeds."""
    settings = dataclasses.asdict(runtime.settings)
    branch = runtime.tree.find(CLOCK_BRANCH) if runtime.tree else None
    of_the_clock = {node.name for node in branch.walk()} if branch else set()
    nodes = {
        node.name: {"actor": node.actor, "settings": dict(node.settings)}
        for node in (runtime.tree.walk() if runtime.tree else ())
        if node.actor and node.name not in of_the_clock
    }
    found = {
        "settings": {name: value for name, value in settings.items() if name not in PLACES},
        "nodes": nodes,
        "feed sequence": list(runtime.feed_sequence),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str, sort_keys=True))
    return plain
