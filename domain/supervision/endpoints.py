"""Where each broker is reached, and with which key: its row of `brokers:`, and what the environment
names instead (`tomic.md` 2.1-2.2, `multibroker.md` 2).

A broker has two roles. Orders, books and money are at its execution endpoint; ticks, history and
the instrument master at its feed endpoint. Either may be another server, the other our sandbox.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from domain.brokers import FEED_KEY, BrokerEndpoint
from domain.errors import ConfigurationFault
from domain.settings import Settings
from domain.supervision.topology import Topology
from domain.supervision.values import derived_websocket_url, is_url, rest_of_websocket

PRIMARY_WS, FALLBACK_WS = "TOMIC_FEED_PRIMARY_WS", "TOMIC_FEED_FALLBACK_WS"
ANALYTICS, EXECUTION = "TOMIC_ANALYTICS_REST", "TOMIC_EXECUTION_REST"
INSTANCE_KEYS = (
    "FLASK_PORT", "WEBSOCKET_HOST", "WEBSOCKET_PORT", "WEBSOCKET_URL", "HOST_SERVER",
)  # fmt: skip
Rows = dict[str, BrokerEndpoint]


@dataclass(frozen=True)
class Endpoints:
    """A row of each broker for each role, the feeds that may stand in for each other, and keys.

    `keys` has a broker's execution key under its name and that of its feed under FEED_KEY + name;
    servers of our own sandbox have none here. `notes` are sentences a person should read.
    """

    brokers: tuple[BrokerEndpoint, ...]
    feeds: tuple[BrokerEndpoint, ...]
    feed_sequence: tuple[str, ...]
    keys: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()


def read_endpoints(
    topology: Topology,
    settings: Settings,
    environment: Mapping[str, str],
    execution_broker: str,
) -> Endpoints:
    """Both roles of each broker. Raises ConfigurationFault, naming the key, for what cannot
    work."""
    rows = {row.name: row for row in topology.brokers}
    orders, data = dict(rows), dict(rows)
    instance = _instance(environment)
    if execution_broker:
        row = rows[execution_broker]
        rest = settings.execution_rest or (instance[0] if instance and row.sandbox else "")
        if rest:
            orders[execution_broker] = dataclasses.replace(row, rest_url=rest, sandbox=False)
    sequence = topology.feed_sequence
    primary = sequence[0] if sequence else ""
    named = _named_feeds(rows, settings, environment, sequence)
    if instance and primary and primary not in named and rows[primary].sandbox:
        data[primary] = _moved(rows[primary], *instance)
    for name, (variable, websocket) in named.items():
        reads = settings.analytics_rest if name == primary else ""
        reads = reads or _reads_beside(websocket, rows[name], orders.get(execution_broker), rows)
        if not reads:
            raise ConfigurationFault(
                f"{variable}={websocket}: its port does not tell where that server's REST is, from "
                f"which history and the instrument master are read; name it in {ANALYTICS}"
                if name == primary
                else f"{variable}={websocket}: its port does not tell where that server's REST is; "
                f"name it in {_prefix(name)}URL"
            )
        data[name] = _moved(rows[name], reads, websocket)
    if settings.analytics_rest and primary:
        if data[primary].sandbox:
            raise ConfigurationFault(
                f"{ANALYTICS} names another server, but the feed {primary} is our own sandbox; "
                f"set {PRIMARY_WS} as well"
            )
        data[primary] = dataclasses.replace(data[primary], rest_url=settings.analytics_rest)
    for name, row in rows.items():
        if not row.executes:
            orders[name] = data[name]
    _check_prices(settings, orders.get(execution_broker), data.get(primary))
    believed, notes = _believed(settings, data, sequence, orders.get(execution_broker))
    keys = _Keys(topology, settings, environment, execution_broker)
    return Endpoints(
        tuple(orders.values()), tuple(data.values()), believed, keys.of(orders, data), notes
    )


def _prefix(name: str) -> str:
    return f"MULTI_BROKER_{name.upper()}_"


def _moved(row: BrokerEndpoint, rest: str, websocket: str) -> BrokerEndpoint:
    return dataclasses.replace(
        row, rest_url=rest, websocket_url=websocket, feed_adapter="", sandbox=False
    )


def _instance(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """(REST, WebSocket) of the OpenAlgo instance whose own variables are set; None when none is."""
    if not any(environment.get(key) for key in INSTANCE_KEYS):
        return None
    flask = int(environment.get("FLASK_PORT") or 5000)
    host = environment.get("WEBSOCKET_HOST") or "127.0.0.1"
    port = environment.get("WEBSOCKET_PORT") or 8765 + max(0, flask - 5000)
    websocket = environment.get("WEBSOCKET_URL") or f"ws://{host}:{port}"
    if websocket.startswith("http"):
        websocket = "ws" + websocket.removeprefix("http")
    rest = environment.get("HOST_SERVER") or f"http://127.0.0.1:{flask}"
    return rest.rstrip("/"), websocket.rstrip("/")


def _checked(key: str, url: str, schemes: tuple[str, ...]) -> str:
    if not is_url(url, schemes):
        raise ConfigurationFault(f"{key}={url!r}: must be a URL of {' or '.join(schemes)}")
    return url.rstrip("/")


def _named_feeds(
    rows: Rows, settings: Settings, environment: Mapping[str, str], sequence: tuple[str, ...]
) -> dict[str, tuple[str, str]]:
    """(variable, WebSocket) of each broker whose feed alone is pointed at another server."""
    named: dict[str, tuple[str, str]] = {}
    for row in rows.values():
        variable = _prefix(row.name) + "WS_URL"
        if row.sandbox and environment.get(variable):
            url = _checked(variable, environment[variable], ("ws", "wss"))
            named[row.name] = (variable, url)
    wanted = ((PRIMARY_WS, settings.feed_primary_ws), (FALLBACK_WS, settings.feed_fallback_ws))
    for position, (variable, url) in enumerate(wanted):
        if url and position >= len(sequence):
            raise ConfigurationFault(
                f"{variable}={url}: feed_auto_sequence names no broker for that feed"
            )
        if url:
            named[sequence[position]] = (variable, url)
    return named


def _reads_beside(
    websocket: str, own: BrokerEndpoint, execution: BrokerEndpoint | None, rows: Rows
) -> str:
    """REST of the server behind a WebSocket; empty when nothing tells it.

    A server known by both is certain; then the usual pairs of ports; then the REST that the
    broker's row or the execution names, as option analytics default to it (`tomic.md` 2.1).
    """
    known = [(row.rest_url, row.websocket_url) for row in rows.values() if not row.sandbox]
    trades_at = execution.rest_url if execution and not execution.sandbox else ""
    if trades_at:
        known.append((trades_at, derived_websocket_url(trades_at)))
    certain = next((rest for rest, socket in known if socket == websocket), "")
    own_rest = "" if own.sandbox else own.rest_url
    return certain or rest_of_websocket(websocket) or own_rest or trades_at


def _check_prices(
    settings: Settings, execution: BrokerEndpoint | None, feed: BrokerEndpoint | None
) -> None:
    """No real order on prices that we made up ourselves."""
    if settings.mode == "sandbox" or execution is None or feed is None:
        return
    if feed.sandbox and not execution.sandbox:
        raise ConfigurationFault(
            f"TOMIC_MODE={settings.mode}: orders would go to {execution.rest_url} on the made-up "
            f"prices of our own sandbox; set {PRIMARY_WS} or {_prefix(feed.name)}URL"
        )


def _believed(
    settings: Settings,
    data: Rows,
    sequence: tuple[str, ...],
    execution: BrokerEndpoint | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The feeds that show the primary's market, and sentences on what is of another one."""
    if not sequence:
        return sequence, ()
    first = data[sequence[0]]
    if settings.feed_fallback_ws and first.sandbox:
        raise ConfigurationFault(
            f"{FALLBACK_WS}={settings.feed_fallback_ws}: the primary feed {first.name} is our own "
            f"sandbox, whose prices are of another market; set {PRIMARY_WS} as well"
        )
    believed = tuple(name for name in sequence if data[name].sandbox == first.sandbox)
    notes = [
        f"feed {name} stands aside: it and {first.name} show different markets, one of them "
        f"made up by our sandbox"
        for name in sequence
        if name not in believed
    ]
    if execution and execution.sandbox != first.sandbox:
        notes.append(
            f"orders go to {execution.rest_url} and prices come from {first.websocket_url}: "
            f"one of the two is our sandbox, so fills and prices are of different markets"
        )
    return believed, tuple(notes)


class _Keys:
    """Which key opens which server. A key given for a role is the nearest where the environment
    names that role's server; else the broker's own is."""

    def __init__(
        self,
        topology: Topology,
        settings: Settings,
        environment: Mapping[str, str],
        execution_broker: str,
    ) -> None:
        self._environment, self._variables = environment, topology.key_variables
        self._execution_broker, self._sequence = execution_broker, topology.feed_sequence
        self._by_url = {
            EXECUTION: bool(settings.execution_rest),
            PRIMARY_WS: bool(settings.feed_primary_ws),
            FALLBACK_WS: bool(settings.feed_fallback_ws),
        }
        self._shared = self._first("OPENALGO_API_KEY", "API_KEY")

    def of(self, orders: Rows, data: Rows) -> dict[str, str]:
        """The keys of all servers that are not ours; absent = none."""
        keys = {}
        for name in orders:
            same_server = orders[name].rest_url == data[name].rest_url
            if not orders[name].sandbox:
                keys[name] = self._execution(name, same_server)
            if not data[name].sandbox:
                # A broker's own server gets no key of another; without one it refuses, and is told.
                own_server = bool(data[name].feed_adapter)
                keys[FEED_KEY + name] = (
                    self._role(name) if own_server else self._feed(name, same_server)
                )
        return {name: key for name, key in keys.items() if key}

    def _execution(self, name: str, same_server: bool) -> str:
        if name != self._execution_broker:
            return self._own(name) or (same_server and self._role(name)) or self._shared
        role = self._first("TOMIC_EXECUTION_API_KEY")
        if self._by_url[EXECUTION]:
            return role or self._own(name) or self._shared
        return self._own(name) or role or self._shared

    def _feed(self, name: str, same_server: bool) -> str:
        is_primary = name == self._sequence[0] if self._sequence else False
        named = (
            name in self._sequence[:2] and self._by_url[PRIMARY_WS if is_primary else FALLBACK_WS]
        )
        role = self._role(name)
        nearest = (role or self._own(name)) if named else (self._own(name) or role)
        return nearest or self._first("TOMIC_EXECUTION_API_KEY") or self._shared

    def _role(self, name: str) -> str:
        """The key given for feeds, of the primary or of those that stand in for it."""
        if name not in self._sequence:
            return ""
        keys = ["TOMIC_FEED_PRIMARY_API_KEY", "TOMIC_FEED_API_KEY"]
        if name != self._sequence[0]:
            keys.insert(0, "TOMIC_FEED_FALLBACK_API_KEY")
        return self._first(*keys)

    def _own(self, name: str) -> str:
        prefix = _prefix(name)
        return self._first(
            prefix + "OPENALGO_API_KEY", prefix + "APIKEY", self._variables.get(name) or ""
        )

    def _first(self, *keys: str) -> str:
        return next((self._environment[key] for key in keys if self._environment.get(key)), "")
