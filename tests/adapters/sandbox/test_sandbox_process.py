"""The exchange as a process: sudden death, ports that are taken, and the same seed twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import server as server_module
from adapters.sandbox.config import SandboxConfig, parse_instance
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.server import SandboxServer
from domain.errors import ConfigurationFault
from launch.build import free_port
from tests.kit.sandbox_bench import KEY, START_NS, bench, call, instance

ORDER = {
    "apikey": KEY, "strategy": "t", "symbol": "SBIN", "exchange": "NSE", "action": "BUY",
    "quantity": "10", "product": "MIS",
}  # fmt: skip
START_WITHIN_S = 60


@contextmanager
def process(root: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A real `python -m adapters.sandbox`, and the base of its REST port."""
    command = [sys.executable, "-m", "adapters.sandbox", *arguments]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            assert child.stdout is not None
            first = child.stdout.readline()
            assert first.startswith("zerodha: http://"), first + child.stdout.read()
            yield child, first.split()[1]
        finally:
            child.kill()


def books(base: str) -> dict[str, Any]:
    names = ("orderbook", "tradebook", "positionbook", "funds")
    read = {name: call(base, name, {"apikey": KEY})[1]["data"] for name in names}
    # What moves with the market is no part of what must last.
    for row in read["positionbook"]:
        for name in ("ltp", "pnl", "pnlpercent", "unrealized_pnl", "total_pnl_today"):
            del row[name]
    for name in ("m2munrealized", "grossexposure", "totalpnl"):
        del read["funds"][name]
    return read


@pytest.mark.timeout(120)
def test_what_was_answered_survives_a_kill(root: Path, tmp_path: Path) -> None:
    arguments = (
        "--instance", f"zerodha:0:0:{KEY}", "--always-open", "--data-dir", str(tmp_path),
    )  # fmt: skip
    with process(root, *arguments) as (child, base):
        assert call(base, "placeorder", {**ORDER, "pricetype": "MARKET"})[0] == 200
        resting = call(base, "placeorder", {**ORDER, "pricetype": "LIMIT", "price": "1"})
        assert resting[0] == 200
        before = books(base)
        child.send_signal(signal.SIGKILL)
        child.wait(START_WITHIN_S)
    assert len(before["orderbook"]["orders"]) == 2
    with process(root, *arguments) as (child, base):
        assert books(base) == before
        body = {"apikey": KEY, "strategy": "t", "orderid": resting[1]["orderid"]}
        assert call(base, "cancelorder", body)[0] == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(START_WITHIN_S) == 0


def test_a_taken_port_is_named_and_the_exit_is_two(root: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "adapters.sandbox", "--instance", f"zerodha:{port}:0:{KEY}"],
            cwd=root, capture_output=True, text=True, timeout=START_WITHIN_S, check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    assert f"port {port} for the sandbox REST port of zerodha cannot be opened" in ended.stderr
    assert KEY not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_server_that_cannot_bind_leaves_no_other_port_open() -> None:
    taken = free_port()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", taken))
        holder.listen()
        free = free_port()
        with pytest.raises(ConfigurationFault, match=str(taken)):
            bench(instances=(parse_instance(f"zerodha:{free}:{taken}:{KEY}"),))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free))


def test_who_calls_while_the_market_is_built_waits_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refused read is tried again only two seconds later, and a start waits for it."""
    rest, early, build = free_port(), [], server_module.build_source

    def called_meanwhile(config: SandboxConfig) -> Any:
        early.append(socket.create_connection(("127.0.0.1", rest)))
        early[0].sendall(b"GET / HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        return build(config)

    monkeypatch.setattr(server_module, "build_source", called_meanwhile)
    with bench(instances=(parse_instance(f"zerodha:{rest}:0:{KEY}"),)), early[0] as caller:
        caller.settimeout(START_WITHIN_S)
        assert caller.recv(4).startswith(b"HTTP")


def test_ports_are_free_again_after_a_stop_even_with_open_connections() -> None:
    rest, websocket = free_port(), free_port()
    for _ in range(2):
        with bench(instances=(parse_instance(f"zerodha:{rest}:{websocket}:{KEY}"),)) as server:
            assert server.addresses["zerodha"].rest_port == rest
            idle = socket.create_connection(("127.0.0.1", websocket))
            assert call(f"http://127.0.0.1:{rest}", "ping", {"apikey": KEY})[0] == 200
        idle.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"instances": ()},
        {"instances": (instance("a"), instance("a"))},
        {"instances": (parse_instance(f"a:5:5:{KEY}"),)},
        {"instances": (instance("a"),), "speed": -1.0},
        {"instances": (instance("a"),), "scenario": "nosuch"},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationFault):
        SandboxServer(SandboxConfig(**settings))


def test_an_instance_without_a_key_is_refused_and_the_environment_may_give_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variable = "MULTI_BROKER_ZERODHA_OPENALGO_API_KEY"
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigurationFault, match=variable):
        parse_instance("zerodha:5502:8867")
    monkeypatch.setenv(variable, KEY)
    assert parse_instance("zerodha:5502:8867").api_key == KEY
    assert variable in os.environ


@pytest.mark.timeout(120)
def test_the_same_seed_and_steps_give_the_same_ticks_and_fills() -> None:
    def one_run() -> str:
        config = SandboxConfig(
            instances=(instance(),), seed=11, start_ns=START_NS, stepped=True, always_open=True
        )
        with SandboxServer(config) as server:
            control = SandboxControl(server.control_port)
            base = server.addresses["zerodha"].rest_url
            quotes = []
            call(base, "placeorder", {**ORDER, "pricetype": "MARKET"})
            ltp = call(base, "quotes", {"apikey": KEY, "symbol": "SBIN", "exchange": "NSE"})[1]
            near = {"pricetype": "LIMIT", "price": str(round(ltp["data"]["ltp"] - 0.1, 2))}
            call(base, "placeorder", {**ORDER, **near})
            for _ in range(30):
                control.step(1)
                body = {"apikey": KEY, "symbol": "NIFTY", "exchange": "NSE_INDEX"}
                quotes.append(call(base, "quotes", body)[1])
            control.close()
            return json.dumps([books(base), quotes])

    first = one_run()
    assert first == one_run()
    assert json.loads(first)[1][0] != json.loads(first)[1][-1]
