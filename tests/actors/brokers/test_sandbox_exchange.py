"""actors.brokers.sandbox_exchange: the exchange runs, answers, and ends with its actor."""

import socket
from datetime import date, time

import pytest

from actors.brokers.sandbox_exchange import ExchangeSettings, SandboxExchange
from adapters.catalogue import open_broker
from domain.brokers import BrokerEndpoint
from domain.calendar import ExchangeCalendar, SessionHours
from domain.errors import NotSent
from tests.kit.recording_context import RecordingContext, make_runtime


def free_ports(count):
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports


@pytest.fixture
def runtime(tmp_path):
    rest, sockets, control = free_ports(3)
    endpoint = BrokerEndpoint(
        "alpha",
        f"http://127.0.0.1:{rest}",
        f"ws://127.0.0.1:{sockets}",
        True,
        True,
        "Alpha",
        sandbox=True,
    )
    key = "c0de" * 16
    return make_runtime(
        tmp_path,
        brokers=(endpoint,),
        sandbox_instances=lambda: {"alpha": (endpoint, key)},
        keys={"alpha": key},
        control_port=control,
    )


def test_a_broker_is_reached_at_its_endpoint_while_the_actor_lives(runtime):
    context = RecordingContext("sandbox_exchange", runtime)
    exchange = SandboxExchange(context, ExchangeSettings())
    exchange.start()
    broker = open_broker(runtime.brokers[0], runtime.keys["alpha"])
    broker._http._wait = lambda _: None
    try:
        assert broker.is_sandbox()
        context.advance(2)
        assert context.reports[-1]["always_open"] is True
        assert list((runtime.data_dir / "sandbox").iterdir())
    finally:
        exchange.stop()
    with pytest.raises(NotSent):
        broker.ping()
    broker.close()


def test_the_exchange_keeps_the_calendars_of_the_runtime(runtime):
    hours = SessionHours(date(2020, 1, 1), time(8, 0), time(12, 0), time(11, 0), time(11, 30))
    runtime.calendars = {"NFO": ExchangeCalendar("NFO", (hours,))}
    exchange = SandboxExchange(RecordingContext("sandbox_exchange", runtime), ExchangeSettings())
    calendars = exchange._server.market.calendars
    exchange.stop()
    assert calendars["NFO"].session(date(2026, 12, 25)) is not None
    assert calendars["MCX"].session(date(2026, 12, 25)) is None


def test_an_exchange_that_does_not_answer_ends_its_actor(runtime):
    context = RecordingContext("sandbox_exchange", runtime)
    exchange = SandboxExchange(context, ExchangeSettings())
    exchange.start()
    exchange._server.stop()
    with pytest.raises(NotSent):
        context.advance(2)
    exchange.stop()
