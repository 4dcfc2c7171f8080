"""What a sandbox exchange is started with: instances, price source, clock, accounts.

Checked here, before a port is opened; a broken rule is a ConfigurationFault with a plain sentence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.sandbox.account_settings import AccountSettings
from adapters.sandbox.hours import shipped_calendars
from domain.calendar import ExchangeCalendar
from domain.errors import ConfigurationFault

if TYPE_CHECKING:
    from adapters.sandbox.price_source import PriceSource

KEY_ENVIRONMENT = "MULTI_BROKER_{name}_OPENALGO_API_KEY"


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """One broker's instance: its name, its two ports (0 takes a free one) and its API key."""

    name: str
    rest_port: int
    websocket_port: int
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Calls a second, by endpoint group (`openalgo.md` 1.2)."""

    order_per_s: int = 10
    smart_order_per_s: int = 10
    api_per_s: int = 50


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """A whole sandbox exchange.

    `stepped`: the clock moves only by the control port. `speed`: market seconds a second for a
    replay that runs alone, 0 = as fast as it goes. `data_dir` None keeps the books in memory.
    `control_port` 0 takes a free port. `always_open` ignores hours and square-off. Generated prices
    begin at `start_ns` (0 = now) and behave as `scenario` says; `source` replaces them.
    """

    instances: tuple[InstanceConfig, ...]
    seed: int = 7
    replay: Path | None = None
    history_dir: Path | None = None
    speed: float = 1.0
    stepped: bool = False
    always_open: bool = False
    data_dir: Path | None = None
    control_port: int = 0
    tick_interval_s: float = 1.0
    start_ns: int = 0
    scenario: str = "calm"
    calendars: Mapping[str, ExchangeCalendar] = field(default_factory=shipped_calendars)
    account: AccountSettings = field(default_factory=AccountSettings)
    limits: RateLimits = field(default_factory=RateLimits)
    source: PriceSource | None = None

    def __post_init__(self) -> None:
        names = [row.name for row in self.instances]
        if not names:
            raise ConfigurationFault("the sandbox exchange needs at least one instance")
        if len(set(names)) != len(names):
            raise ConfigurationFault(f"sandbox instances share a name: {', '.join(names)}")
        ports = [port for row in self.instances for port in (row.rest_port, row.websocket_port)]
        used = [port for port in [*ports, self.control_port] if port]
        twice = sorted({port for port in used if used.count(port) > 1})
        if twice:
            raise ConfigurationFault(f"sandbox port {twice[0]} is given to two servers")
        if self.speed < 0:
            raise ConfigurationFault(f"replay speed {self.speed} is below 0")


def parse_instance(text: str) -> InstanceConfig:
    """`zerodha:5502:8867[:KEY]`; without KEY the environment's key is taken.

    Raises ConfigurationFault, never repeating the key.
    """
    parts = text.split(":")
    if len(parts) not in (3, 4) or not parts[0]:
        raise ConfigurationFault("an instance is NAME:REST_PORT:WS_PORT[:KEY]")
    name, rest, websocket = parts[:3]
    if not (_is_port(rest) and _is_port(websocket)):
        raise ConfigurationFault(f"instance {name}: ports must be numbers from 0 to 65535")
    variable = KEY_ENVIRONMENT.format(name=name.upper())
    key = parts[3] if len(parts) == 4 else os.environ.get(variable, "")
    if not key:
        raise ConfigurationFault(
            f"instance {name} has no API key: give {name}:{rest}:{websocket}:KEY or set {variable}"
        )
    return InstanceConfig(name, int(rest), int(websocket), key)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= 65_535
