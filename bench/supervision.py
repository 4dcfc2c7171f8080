"""Start, recovery after kill -9, memory, CPU, and /tomic/status while actors are dead or wedged.

    python bench/supervision.py [--kills N] [--idle-s S] [--json FILE]

Every figure is of the whole default tree on the sandbox. A recovery is from the kill to the
supervisor's own word that the successor is ready (NodeRestarted; for the runtime's own processes
the launcher's line).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.kit import machine, options, quantile, table, tell
from tests.kit.default_system import DefaultSystem, default_system, wait_for

LEAVES = ("regime_agent", "conflict_router", "freshness_keeper", "feed_selector", "session_clock")
RELOADING = ("position_book", "execution_agent", "breaker.daily_max_loss", "risk_agent")
BRANCHES = ("market", "signals", "routing", "journal")
# A node is killed more often than it ever fails: neither intensity nor back-off is measured.
MANY_RESTARTS = {
    "  max_restarts: 3": "  max_restarts: 1000",
    "  backoff_s: [0, 10]": "  backoff_s: [0, 0]",
}
EXCHANGE = "sandbox_exchange.SandboxExchange,"
CLOSED = {EXCHANGE: f"{EXCHANGE} settings: {{always_open: false}},"}
READY = "SELECT min(at_ns) FROM facts WHERE kind = 'NodeRestarted' AND at_ns > ? AND body LIKE ?"
PAUSE = threading.Event()


def restarted_ns(system: DefaultSystem, name: str, after_ns: int) -> int:
    """When the supervisor said that a successor of `name` is ready; 0 while it has not."""
    path = system.folder / "var" / "journal.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        row = database.execute(READY, (after_ns, f'%"name":"{name}"%')).fetchone()
    return int(row[0] or 0)


def recovery_ms(system: DefaultSystem, name: str) -> float:
    pid = wait_for(lambda: living(system, name), f"{name} is told with its living process")
    killed_ns = time.time_ns()
    os.kill(pid, signal.SIGKILL)
    ready_ns = wait_for(lambda: restarted_ns(system, name, killed_ns), f"{name} is back")
    wait_for(lambda: whole(system), "the tree is whole")
    return float(ready_ns - killed_ns) / 1e6


def living(system: DefaultSystem, name: str) -> int:
    """The process of a node; 0 while the tree still tells one that is gone."""
    pid = system.pid(name)
    return pid if psutil.pid_exists(pid) else 0


def whole(system: DefaultSystem) -> bool:
    nodes = system.nodes()
    return bool(nodes) and all(row["state"] == "running" for row in nodes.values())


def runtime_recovery_ms(system: DefaultSystem, which: str) -> float:
    """The root, the admin or the logger: until the launcher says that all nodes are ready again."""
    output = system.folder / "output"
    before = output.read_bytes().count(b"nodes are ready again")
    victim = runtime_process(system, which)
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: output.read_bytes().count(b"nodes are ready again") > before, "made again")
    took = (time.monotonic() - killed) * 1000
    wait_for(lambda: whole(system), "the tree is whole")
    return took


def runtime_process(system: DefaultSystem, which: str) -> int:
    assert system.process is not None
    root = system.pid("root")
    admin = psutil.Process(root).parent()
    assert admin is not None
    if which == "root":
        return root
    if which == "admin":
        return admin.pid
    return next(child.pid for child in admin.children() if child.pid != root)


def recoveries(system: DefaultSystem, kills: int) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("killed", "n", "p50 ms", "p99 ms", "goal p99 ms")]
    jobs: list[tuple[str, tuple[str, ...], Callable[[DefaultSystem, str], float], int, str]] = [
        ("leaf", LEAVES, recovery_ms, kills, "60"),
        ("leaf that reloads from SQLite", RELOADING, recovery_ms, kills, "100"),
        ("branch supervisor", BRANCHES, recovery_ms, kills, "150"),
        ("root", ("root",), runtime_recovery_ms, 3, "1000"),
        ("admin or logger", ("admin", "logger"), runtime_recovery_ms, 4, "1500"),
    ]
    for label, names, kill, count, goal in jobs:
        took = []
        for number in range(count):
            took.append(kill(system, names[number % len(names)]))
            PAUSE.wait(0.5)
        median, worst = statistics.median(took), quantile(took, 0.99)
        rows.append((label, str(count), f"{median:.0f}", f"{worst:.0f}", goal))
    return rows


def proportional_memory_mb(system: DefaultSystem) -> float:
    total = 0
    for process in system.processes():
        with contextlib.suppress(psutil.Error):  # ended meanwhile
            total += process.memory_full_info().pss
    return total / 1e6


def cpu_share(system: DefaultSystem, for_s: float) -> float:
    """CPU seconds of the whole tree a second of wall time."""

    began, before = time.monotonic(), system.processor_s()
    PAUSE.wait(for_s)
    return (system.processor_s() - before) / (time.monotonic() - began)


def status_while_broken(system: DefaultSystem) -> tuple[float, list[int]]:
    """Slowest answer in ms, and all HTTP statuses, with one actor dead and two wedged."""
    for name in ("risk_agent", "chain_keeper"):
        os.kill(system.pid(name), signal.SIGSTOP)
    os.kill(system.pid("signal_loop"), signal.SIGKILL)
    took, codes = [], set()
    for _ in range(40):
        began = time.monotonic()
        code, _body = system.get("/tomic/status")
        took.append(time.monotonic() - began)
        codes.add(code)
    return max(took) * 1000, sorted(codes)


def has_chains(system: DefaultSystem) -> bool:
    code, body = system.get("/tomic/status")
    return code == 200 and body["data"]["market_bridge"].get("option_ticks", 0) > 0


def measure_start(system: DefaultSystem) -> list[tuple[str, ...]]:
    first = system.start()
    again = []
    for _ in range(3):
        system.stop()
        again.append(system.start())
    second = statistics.median(again)
    return [
        ("first start (fresh folder) to all ready, s", f"{first:.2f}", "-"),
        ("second start to all ready, s, median of 3", f"{second:.2f}", "2 (3 at most)"),
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--idle-s", type=float, default=30.0)
    arguments = parser.parse_args()
    rows: list[tuple[str, ...]] = [("what", "measured", "goal")]
    with default_system() as system:
        rows += measure_start(system)
        wait_for(lambda: has_chains(system), "the demo has chains")
        memory, busy = proportional_memory_mb(system), cpu_share(system, 10)
        rows.append(("PSS of launcher and tree, MB", f"{memory:.0f}", "550"))
        rows.append(("CPU under the demo's load, share of a core", f"{busy:.3f}", "-"))
        slowest, codes = status_while_broken(system)
        told = f"{slowest:.0f} {codes}"
        rows.append(("/tomic/status, 1 dead and 2 wedged, slowest ms", told, "1000 [200]"))
    with default_system({}, CLOSED) as system:
        system.start()
        PAUSE.wait(10)
        share = cpu_share(system, arguments.idle_s)
        rows.append(("CPU idle, market closed, share of a core", f"{share:.3f}", "0.04"))
    with default_system({}, MANY_RESTARTS) as system:
        system.start()
        wait_for(lambda: has_chains(system), "the demo has chains")
        system.stop()  # that start had loaded the day's master only after the fork
        system.start()
        wait_for(lambda: has_chains(system), "the demo has chains again")
        killed = recoveries(system, arguments.kills)
    table("Supervision of the default tree", rows)
    table("kill -9 to successor ready, under the demo's load, second start of a day", killed)
    tell({"tree": rows, "recoveries": killed}, machine("thespian", "pyzmq"), arguments.json)


if __name__ == "__main__":
    main()
