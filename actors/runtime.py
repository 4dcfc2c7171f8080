"""Runtime: what the launcher knows and every actor inherits with the fork. Keys are here and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from domain.brokers import BrokerEndpoint
from domain.calendar import ExchangeCalendar
from domain.settings import Settings
from domain.supervision.topology import Node


@dataclass(frozen=True)
class ReplayPlan:
    """A recorded session to trade (`design.md` 2). `speed` 0 means as fast as it goes."""

    file: Path
    history: Path | None
    speed: float
    report: Path | None
    interval_ns: int  # usual time between two rows: so long does a recorded price stand


@dataclass(frozen=True)
class Runtime:
    """Everything joined by system.py before the first fork; read-only ever after.

    `run_dir` is a private folder (mode 0700, short path) for the bus's sockets. `control_port` is
    the sandbox exchange's, 0 where there is none.
    """

    settings: Settings
    tree: Node
    brokers: tuple[BrokerEndpoint, ...]
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
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    def broker(self, name: str) -> BrokerEndpoint:
        """The endpoint of that name; KeyError for a name that stands in no `brokers:` row."""
        return next((row for row in self.brokers if row.name == name), None) or self._unknown(name)

    @staticmethod
    def _unknown(name: str) -> BrokerEndpoint:
        raise KeyError(f"no broker {name!r} in the brokers block")
