"""The catalogue, the one list of brokers: who speaks a broker's protocol and what it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from adapters.dhan.stream import dhan_stream
from adapters.kite.stream import kite_stream
from adapters.openalgo.rest import OpenAlgoBroker
from adapters.openalgo.stream import OpenAlgoStream
from adapters.ports import BrokerPort, FeedStream, Messenger, ReplayMarket
from adapters.sandbox.account_settings import account_settings
from adapters.sandbox.config import InstanceConfig, SandboxConfig
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.hours import shipped_calendars
from adapters.sandbox.recording import interval_ns
from adapters.sandbox.recordings import read_recordings, recording_files
from adapters.sandbox.server import SandboxServer
from adapters.sandbox.taped import TapedMarket
from adapters.smartapi.stream import smartapi_stream
from adapters.telegram import Telegram
from domain.brokers import BrokerEndpoint, Capabilities
from domain.calendar import ExchangeCalendar
from domain.errors import ConfigurationFault
from domain.instruments import InstrumentIndex
from domain.tape import TapedRun


@dataclass(frozen=True, slots=True)
class Adapter:
    """One protocol's classes and what brokers behind it can do. Without `broker` it is a feed
    only."""

    broker: Callable[[BrokerEndpoint, str, Capabilities], BrokerPort] | None
    stream: Callable[..., FeedStream]
    capabilities: Capabilities
    has_steps: bool = False  # its stream can follow a replay


ADAPTERS = {
    "openalgo": Adapter(
        OpenAlgoBroker, OpenAlgoStream, Capabilities(margin_query=True), has_steps=True
    ),
    "kite": Adapter(None, kite_stream, Capabilities(symbols_per_socket=3000, sockets=3)),
    "smartapi": Adapter(None, smartapi_stream, Capabilities(symbols_per_socket=1000, sockets=3)),
    "dhan": Adapter(None, dhan_stream, Capabilities(symbols_per_socket=5000, sockets=5)),
}


def feed_capabilities(endpoint: BrokerEndpoint) -> Capabilities:
    """What this broker's market data socket can do. Raises ConfigurationFault for an adapter that
    does not exist."""
    return _feed_adapter(endpoint).capabilities


def trading_adapters() -> list[str]:
    """Names of those that take orders and tell history, not only prices."""
    return sorted(name for name, adapter in ADAPTERS.items() if adapter.broker)


def check_adapters(endpoint: BrokerEndpoint) -> None:
    """Raises ConfigurationFault for an adapter that does not exist, or that has only a feed where
    orders, history and the instrument master are wanted."""
    _feed_adapter(endpoint)
    if _adapter(endpoint.name, endpoint.adapter).broker is None:
        raise ConfigurationFault(
            f"broker {endpoint.name}: {endpoint.adapter!r} is a feed only: name it in "
            f"feed_adapter; orders, history and the instrument master go by adapter, which may be "
            f"{', '.join(trading_adapters())}"
        )


def open_broker(endpoint: BrokerEndpoint, key: str) -> BrokerPort:
    """Trading and reading at this broker; connects on its first call. Raises as check_adapters."""
    check_adapters(endpoint)
    adapter = _adapter(endpoint.name, endpoint.adapter)
    assert adapter.broker is not None  # checked
    return adapter.broker(endpoint, key, adapter.capabilities)


def open_stream(
    endpoint: BrokerEndpoint,
    key: str,
    index: InstrumentIndex,
    *,
    clock: Callable[[], int],
    steps: bool = False,
) -> FeedStream:
    """A market data socket, not yet open. `steps` asks for the markers of a stepped replay; raises
    ConfigurationFault where there are none."""
    adapter = _feed_adapter(endpoint)
    if steps and not adapter.has_steps:
        raise ConfigurationFault(f"broker {endpoint.name}: its feed has no replay")
    extra = {"steps": True} if steps else {}
    return adapter.stream(endpoint.websocket_url, key, index, clock=clock, **extra)


def open_messenger(url: str, token: str, chat_id: str) -> Messenger:
    """The way to a person: a Telegram bot behind `url`; connects on its first message."""
    return Telegram(url, token, chat_id)


def open_replay_market(control_port: int) -> ReplayMarket:
    """The sandbox exchange's clock."""
    return SandboxControl(control_port)


def open_sandbox(
    brokers: Iterable[BrokerEndpoint],
    keys: Mapping[str, str],
    *,
    control_port: int,
    data_dir: Path | None,
    always_open: bool,
    scenario: str,
    seed: int,
    calendars: Mapping[str, ExchangeCalendar],
    account: Mapping[str, object],
    replay: Path | None = None,
    history: Path | None = None,
    taped: TapedRun | None = None,
) -> SandboxServer:
    """The embedded exchange, bound but not yet serving: an instance a broker, at its endpoint's
    ports.

    `calendars` are the runtime's; a segment it does not trade keeps its shipped one. `account` has
    fields of AccountSettings. A replay, of a file or of a `taped` run, is stepped through the
    control port. Raises ConfigurationFault for a taken port or a wrong setting.
    """
    instances = tuple(
        InstanceConfig(
            row.name,
            urlsplit(row.rest_url).port or 0,
            urlsplit(row.websocket_url).port or 0,
            keys.get(row.name, ""),
        )
        for row in brokers
    )
    config = SandboxConfig(
        instances=instances,
        replay=replay,
        history_dir=history,
        source=TapedMarket(taped) if taped else None,
        stepped=replay is not None or taped is not None,
        always_open=always_open,
        scenario=scenario,
        seed=seed,
        data_dir=data_dir,
        control_port=control_port,
        calendars={**shipped_calendars(), **calendars},
        account=account_settings(account),
    )
    return SandboxServer(config)


def recorded_session(path: Path) -> tuple[int, tuple[str, ...]]:
    """The usual time between two moments of a recorded session, a file or a folder of files, in
    nanoseconds; and its underlyings.

    Raises BadMarketData, naming file and line, for what cannot be replayed.
    """
    found = read_recordings(path)
    return interval_ns(row.recording for row in found), tuple(row.seed.name for row in found)


def holds_recordings(folder: Path) -> bool:
    """True for a folder that a replay can read as a session of several underlyings."""
    return bool(recording_files(folder))


def _feed_adapter(endpoint: BrokerEndpoint) -> Adapter:
    return _adapter(endpoint.name, endpoint.feed_adapter or endpoint.adapter)


def _adapter(broker: str, name: str) -> Adapter:
    adapter = ADAPTERS.get(name)
    if adapter is None:
        raise ConfigurationFault(
            f"broker {broker} names adapter {name!r}; there is {', '.join(sorted(ADAPTERS))}"
        )
    return adapter
