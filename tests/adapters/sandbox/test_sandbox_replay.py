"""A recorded session behind the wire: by steps, and on its own."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
import websocket

from adapters.sandbox.config import SandboxConfig
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.server import SandboxServer
from domain.clock import NS_PER_MINUTE, epoch_ns
from tests.kit.recorded_session import EXPIRIES, START, write_session
from tests.kit.sandbox_bench import KEY, call, instance

START_NS = epoch_ns(START)
DEADLINE_S = 10.0


def config(path: Path, **settings: object) -> SandboxConfig:
    return SandboxConfig(instances=(instance(),), replay=path, **settings)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_session(tmp_path / "nifty.csv", minutes=3)


def test_steps_let_out_the_recorded_rows_at_their_own_times_and_the_end_is_told(
    recording: Path,
) -> None:
    with SandboxServer(config(recording, stepped=True)) as server:
        control = SandboxControl(server.control_port)
        report = control.status()
        assert (report["now_ns"], report["next_ns"]) == (START_NS, START_NS)
        wire = websocket.create_connection(
            server.addresses["zerodha"].websocket_url, timeout=DEADLINE_S
        )
        for message in (
            {"action": "authenticate", "api_key": KEY},
            {"action": "subscribe_steps"},
            {"action": "subscribe", "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1},
        ):
            wire.send(json.dumps(message))
            assert json.loads(wire.recv())["status"] == "success"
        stamps = []
        for _ in range(3):
            report = control.advance(report["next_ns"])
            tick, mark = json.loads(wire.recv()), json.loads(wire.recv())
            stamps.append(tick["data"]["timestamp"] * 1_000_000)
            assert (mark["type"], mark["step"]) == ("step", report["step"])
        wire.close()
        assert stamps == [START_NS + minute * NS_PER_MINUTE for minute in range(3)]
        assert (report["ended"], report["next_ns"]) == (True, None)
        control.close()


def test_one_long_step_fills_as_many_short_ones_do(recording: Path) -> None:
    def fills(steps: list[int]) -> list[tuple[str, float, str]]:
        with SandboxServer(config(recording, stepped=True)) as server:
            control = SandboxControl(server.control_port)
            base = server.addresses["zerodha"].rest_url
            control.advance(START_NS)
            body = {"apikey": KEY, "underlying": "NIFTY", "exchange": "NSE_INDEX"}
            expiry = f"{EXPIRIES[0]:%d%b%y}".upper()
            chain = call(base, "optionchain", {**body, "expiry_date": expiry})[1]["chain"]
            for leg in (row[kind] for row in chain for kind in ("ce", "pe")):
                order = {
                    "apikey": KEY, "strategy": "t", "symbol": leg["symbol"],
                    "exchange": "NFO", "action": "BUY", "quantity": leg["lotsize"],
                    "product": "NRML", "pricetype": "LIMIT", "price": leg["ltp"] - 0.05,
                }  # fmt: skip
                assert call(base, "placeorder", order)[0] == 200
            for to_ns in steps:
                control.advance(to_ns)
            control.close()
            trades = call(base, "tradebook", {"apikey": KEY})[1]["data"]
            return [(row["symbol"], row["price"], row["timestamp"]) for row in trades]

    end_ns = START_NS + 2 * NS_PER_MINUTE
    whole = fills([end_ns])
    # The spot rises by 12 points in the first minute: every put trades lower in it.
    assert {stamp for _, _, stamp in whole} == {f"{START + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}"}
    assert whole == fills([START_NS + NS_PER_MINUTE, end_ns])


def test_a_replay_on_its_own_runs_to_its_end_and_goes_on_answering(recording: Path) -> None:
    with SandboxServer(config(recording, speed=0.0)) as server:
        control = SandboxControl(server.control_port)
        deadline = time.monotonic() + DEADLINE_S
        while not control.status()["ended"]:
            assert time.monotonic() < deadline
        assert control.status()["now_ns"] == START_NS + 2 * NS_PER_MINUTE
        base = server.addresses["zerodha"].rest_url
        body = {"apikey": KEY, "symbol": "NIFTY", "exchange": "NSE_INDEX"}
        assert call(base, "quotes", body)[0] == 200
        assert server.is_serving
        control.close()
    assert not server.is_serving
