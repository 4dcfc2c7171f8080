"""From a signal posted over HTTP to the first byte of its first order at the broker.

    python bench/order_path.py [--signals N] [--json FILE]

The broker is the tree's own sandbox exchange, reached through a relay as another server is, that
notes when the first byte of a placing call arrives, by the kernel's own stamp: when the relay gets
its turn to read it is no part of our way. On the way lie the injection's row, leg resolution, the
margin query, sizing, the command's and the orders' rows (synchronous FULL), the gate with every
breaker, and the SENDING mark. `relay alone` is the same call straight to the relay: what HTTP costs
here.
N signals are one run, of five; the figures are the runs' medians, and beside them the worst of all.
The first signal of the tree's life is told apart. Nobody looks while an order is on its way: who
asks takes part in what is measured. Between the last order and the next signal lies a rest: a
client sends eight orders a second, and who has just closed four legs waits for that, not for us.
"""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import statistics
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.kit import REPEATS, machine, options, quantile, table, tell
from domain.clock import NS_PER_S
from tests.kit.default_system import DefaultSystem, default_system
from tests.kit.trading_system import (
    BETWEEN_SIGNALS_S,
    BROKER,
    REST_PORT,
    ROOM_FOR_DRILLS,
    TradingSystem,
    condor,
    wait_for,
)

PLACING = b"/placeorder"
GOAL_P99_MS = 20
REST_S = 1.5  # until the pace of orders allows one at once
SO_TIMESTAMPNS, STAMP = 35, struct.Struct("@ll")  # socket(7): seconds, nanoseconds
STAMP_SPACE = socket.CMSG_SPACE(STAMP.size)


def arrival_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    """When the kernel got the newest of what was just read (wall clock)."""
    [stamp] = [data for _, kind, data in ancillary if kind == SO_TIMESTAMPNS]
    whole_s, rest_ns = STAMP.unpack(stamp)
    return int(whole_s * NS_PER_S + rest_ns)


class Relay:
    """Hands bytes to the broker's port and notes when a placing call begins to arrive."""

    def __init__(self) -> None:
        self.placed_ns: list[int] = []
        self.target = 0  # the broker's port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # each connection has it
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed at the end
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except ConnectionRefusedError:  # the exchange is not up yet, and its client asks again
                near.close()
                continue
            for end in (near, far):  # else what it relays waits for acknowledgements
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while True:
                data, ancillary, *_ = source.recvmsg(65_536, STAMP_SPACE)
                if PLACING in data[:200]:
                    self.placed_ns.append(arrival_ns(ancillary))
                if not data:
                    break
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()

    def close(self) -> None:
        """No more connections."""
        self._listener.close()


def lead(system: DefaultSystem, relay: Relay) -> None:
    """Before the start: orders go by the relay, to the tree's own instance of that broker."""
    key = secrets.token_hex(32)
    keys = system.folder / "var" / "sandbox" / "keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text(json.dumps({BROKER: key}), encoding="utf-8")
    relay.target = system.ports[REST_PORT]
    system.environment |= {
        "TOMIC_EXECUTION_REST": f"http://127.0.0.1:{relay.port}",
        "TOMIC_EXECUTION_API_KEY": key,
    }


def measure(system: TradingSystem, relay: Relay, signals: int) -> list[float]:
    """Milliseconds of each entry; each structure is closed again before the next."""
    took: list[float] = []
    pause = threading.Event()
    while len(took) < signals:
        pause.wait(REST_S)
        before = len(relay.placed_ns)
        began_ns = time.time_ns()
        correlation_id = system.inject(condor())
        pause.wait(BETWEEN_SIGNALS_S)
        word = wait_for(lambda: system.trace(correlation_id).get("evaluation"), "risk's word")  # noqa: B023
        if word["result"] != "enqueued":
            continue
        wait_for(lambda: len(relay.placed_ns) > before, "an order arrives")  # noqa: B023
        took.append((relay.placed_ns[before] - began_ns) / 1e6)
        strategy_id = system.trace(correlation_id)["command"]["strategy_id"]
        # A short may rest at its limit for minutes; the close ends that, too.
        system.post(f"/tomic/positions/{strategy_id}/close", {"reason": "bench"})
        wait_for(lambda: not system.get("/tomic/positions")[1]["positions"], "flat", 60)
        system.wait_ended(correlation_id)
    return took


def relay_cost_ms(relay: Relay) -> float:
    """Median of a bare call to the relay, to its first byte."""
    took = []
    for _ in range(50):
        before = len(relay.placed_ns)
        began_ns = time.time_ns()
        connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=5)
        connection.request("POST", "/api/v1/placeorder", json.dumps({}))
        connection.getresponse().read()
        connection.close()
        took.append((relay.placed_ns[before] - began_ns) / 1e6)
    return statistics.median(took)


def show(first_ms: float, runs: list[list[float]], bare_ms: float) -> dict[str, Any]:
    """The figures, printed as a table."""
    figures = {
        "signals": sum(len(run) for run in runs),
        "p50_ms": statistics.median(statistics.median(run) for run in runs),
        "p99_ms": statistics.median(quantile(run, 0.99) for run in runs),
        "worst_ms": max(max(run) for run in runs),
        "first_ms": first_ms,
        "relay_alone_ms": bare_ms,
        "goal_p99_ms": GOAL_P99_MS,
    }
    head = ("signals", "p50 ms", "p99 ms", "worst ms", "first of life ms", "relay alone ms", "goal")
    row = [f"{value:.1f}" if isinstance(value, float) else str(value) for value in figures.values()]
    table("Signal injected to first byte at the broker, sandbox", [head, tuple(row)])
    return {**figures, "runs_ms": runs}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--signals", type=int, default=5, help="of one run of five")
    arguments = parser.parse_args()
    relay = Relay()
    try:
        quiet = {"TOMIC_SIGNAL_LOOP_ENABLED": "false"}
        with default_system(quiet, ROOM_FOR_DRILLS, TradingSystem) as system:
            lead(system, relay)
            system.start()
            system.wait_ready_to_trade()
            first_ms = measure(system, relay, 1)[0]
            runs = [measure(system, relay, arguments.signals) for _ in range(REPEATS)]
            bare_ms = relay_cost_ms(relay)
    finally:
        relay.close()
    figures = show(first_ms, runs, bare_ms)
    tell(figures, machine("thespian", "sqlalchemy", "requests", "uvicorn"), arguments.json)


if __name__ == "__main__":
    main()
