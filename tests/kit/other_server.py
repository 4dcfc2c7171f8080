"""A sandbox exchange in a process of its own: another server, to which a tree may be pointed."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from openalgo import api

from launch.build import free_port
from tests.kit.default_system import ROOT
from tests.kit.recorded_session import write_daily
from tests.kit.trading_system import BROKER, Row, wait_for

OTHER = "dhan"  # the tree's second feed
LEVEL = 20_000.0  # of its NIFTY; the exchange in the tree begins near 24,600


@dataclass(frozen=True)
class OtherServer:
    """A stand-alone exchange that serves BROKER. `other_rest` is where another broker's clients
    ask: the same market, other books."""

    rest: int
    websocket: int
    other_rest: int
    key: str

    def by_broker(self) -> dict[str, str]:
        """The variables that point a broker of topology.yaml at it."""
        prefix = f"MULTI_BROKER_{BROKER.upper()}_"
        return {
            f"{prefix}URL": f"http://127.0.0.1:{self.rest}",
            f"{prefix}WS_URL": f"ws://127.0.0.1:{self.websocket}",
            f"{prefix}OPENALGO_API_KEY": self.key,
        }

    def by_feed(self) -> dict[str, str]:
        """The variables that make it the primary feed, and nothing else."""
        return {
            "TOMIC_FEED_PRIMARY_WS": f"ws://127.0.0.1:{self.websocket}",
            "TOMIC_FEED_PRIMARY_API_KEY": self.key,
            "TOMIC_ANALYTICS_REST": f"http://127.0.0.1:{self.rest}",
        }

    def by_execution(self) -> dict[str, str]:
        """The variables that send orders to it, and nothing else."""
        return {
            "TOMIC_EXECUTION_REST": f"http://127.0.0.1:{self.rest}",
            "TOMIC_EXECUTION_API_KEY": self.key,
        }

    def client(self) -> api:
        """The official client."""
        return api(self.key, host=f"http://127.0.0.1:{self.rest}")

    def orders(self) -> list[Row]:
        """Its order book, oldest first."""
        rows: list[Row] = self.client().orderbook()["data"]["orders"]
        return sorted(rows, key=lambda row: int(row["orderid"]))


@contextlib.contextmanager
def other_server(folder: Path) -> Iterator[OtherServer]:
    """The exchange as `python -m adapters.sandbox` runs it; gone when the block ends."""
    folder.mkdir(exist_ok=True)
    last = date.today() - timedelta(days=10)
    write_daily(folder, "nifty", closes=[LEVEL + 40 * (n % 3) for n in range(300)], last=last)
    server = OtherServer(free_port(), free_port(), free_port(), secrets.token_hex(32))
    variables = {
        f"MULTI_BROKER_{name.upper()}_OPENALGO_API_KEY": server.key for name in (BROKER, OTHER)
    }
    process = subprocess.Popen(
        [
            sys.executable, "-m", "adapters.sandbox", "--always-open", "--scenario", "congestion",
            "--history", str(folder), "--data-dir", str(folder),
            "--instance", f"{BROKER}:{server.rest}:{server.websocket}",
            "--instance", f"{OTHER}:{server.other_rest}:0",
        ],
        cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, **variables},
    )  # fmt: skip
    try:
        wait_for(lambda: is_open(server.rest), "the other server listens")
        yield server
    finally:
        process.terminate()
        assert process.wait(120) == 0
    assert not is_open(server.rest)
    assert not is_open(server.websocket)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
