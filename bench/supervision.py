"""Start, recovery after kill -9, memory, idle CPU, and /tomic/status while actors are dead or wedged.

    python bench/supervision.py [--kills N] [--idle-s S]

Every figure is of the whole default tree on the sandbox, under the demo's load.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.kit.default_system import DefaultSystem, default_system, wait_for

LEAVES = ("regime_agent", "conflict_router", "chain_keeper", "freshness_keeper", "feed_selector")
RELOADING = ("position_book", "execution_agent", "breaker.daily_max_loss", "risk_agent")
BRANCHES = ("market", "signals", "risk", "execution")


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(title: str, rows: list[tuple[str, ...]]) -> None:
    """Prints rows in columns; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def recovery_ms(system: DefaultSystem, name: str) -> float:
    """From the kill to the successor's own word that it is ready, by its start time on the board."""
    before = system.nodes()[name]
    killed = time.monotonic()
    os.kill(before["pid"], signal.SIGKILL)

    def successor() -> float:
        log = system.folder / "var" / "log" / f"{name}.log"
        node = system.nodes().get(name)
        if node and node["pid"] != before["pid"] and node["state"] == "running":
            return float(node.get("ready_at_s") or time.monotonic())
        return 0.0 if log else 0.0

    return (wait_for(successor, f"{name} is back") - killed) * 1000


def recoveries(system: DefaultSystem, kills: int) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("killed", "n", "p50 ms", "p99 ms", "goal")]
    for label, names, goal in (
        ("leaf", LEAVES, "60"),
        ("leaf that reloads from SQLite", RELOADING, "100"),
        ("branch supervisor", BRANCHES, "150"),
    ):
        took = []
        for number in range(kills):
            name = names[number % len(names)]
            took.append(recovery_ms(system, name))
            # The intensity window (3 in 120 s) must not be what is measured.
            if number % len(names) == len(names) - 1:
                threading.Event().wait(0.2)
        rows.append((label, str(len(took)), f"{statistics.median(took):.0f}", f"{quantile(took, 0.99):.0f}", goal))
    return rows


def proportional_memory_mb(system: DefaultSystem) -> float:
    total = 0
    for process in system.processes():
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue  # ended meanwhile
    return total / 1e6


def idle_cpu_share(system: DefaultSystem, for_s: float) -> float:
    """CPU seconds of the whole tree a second of wall time."""

    def used() -> float:
        total = 0.0
        for process in system.processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue  # ended meanwhile
            total += times.user + times.system
        return total

    began, before = time.monotonic(), used()
    threading.Event().wait(for_s)
    return (used() - before) / (time.monotonic() - began)


def status_while_broken(system: DefaultSystem) -> tuple[float, set[int]]:
    """Slowest answer and all HTTP statuses while one actor is dead and two are wedged."""
    nodes = system.nodes()
    wedged = [nodes[name]["pid"] for name in ("risk_agent", "chain_keeper")]
    for pid in wedged:
        os.kill(pid, signal.SIGSTOP)
    os.kill(nodes["signal_loop"]["pid"], signal.SIGKILL)
    took, codes = [], set()
    for _ in range(40):
        began = time.monotonic()
        code, _body = system.get("/tomic/status")
        took.append(time.monotonic() - began)
        codes.add(code)
    return max(took) * 1000, codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--idle-s", type=float, default=20.0)
    arguments = parser.parse_args()
    rows: list[tuple[str, ...]] = [("what", "measured", "goal")]
    with default_system() as system:
        first = system.start()
        system.stop()
        second = [system.start()]
        for _ in range(2):
            system.stop()
            second.append(system.start())
        rows.append(("first start to all ready (fresh data folder), s", f"{first:.2f}", "-"))
        rows.append(("second start to all ready, s (median of 3)", f"{statistics.median(second):.2f}", "2 (3)"))
        wait_for(lambda: demo_is_busy(system), "the demo has chains")
        rows.append(("PSS of the whole tree, MB", f"{proportional_memory_mb(system):.0f}", "550"))
        rows.append(("CPU under the demo's load, share of a core", f"{idle_cpu_share(system, 10):.3f}", "-"))
        slowest, codes = status_while_broken(system)
        rows.append(("/tomic/status, 1 dead and 2 wedged: slowest, ms", f"{slowest:.0f} {sorted(codes)}", "1000 [200]"))
    with default_system() as system:
        system.start()
        wait_for(lambda: demo_is_busy(system), "the demo has chains")
        killed = recoveries(system, arguments.kills)
    with default_system({"TOMIC_SANDBOX_CLOSED": "1"}) as system:
        system.start()
        threading.Event().wait(5)
        share = idle_cpu_share(system, arguments.idle_s)
        rows.append(("idle CPU, market closed, share of a core", f"{share:.3f}", "0.04"))
    table("Supervision of the default tree", rows)
    table("kill -9 to successor ready", killed)


def demo_is_busy(system: DefaultSystem) -> Any:
    """True once chains carry prices."""
    code, body = system.get("/tomic/status")
    return code == 200 and body["data"]["market_bridge"].get("option_ticks", 0) > 0


if __name__ == "__main__":
    main()
