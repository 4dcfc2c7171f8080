"""`GET /tomic/signals/quality?run_scan=true`: from the request to the last byte of the answer.

    python bench/signal_quality.py [--requests N] [--json FILE]

The default tree on the sandbox; every request scans anew (the pause of five seconds between two
scans is set to none), one after the other. Milliseconds by the wall; the goal of the 99th
percentile is 150. `without` asks for the last scan, `in the tree` is the processor time of the
whole tree a scan.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.kit import machine, options, quantile, table, tell
from tests.kit.default_system import DefaultSystem, default_system, wait_for

EVERY_SCAN = {"settings: {scanners: [": "settings: {dry_scan_every_s: 0, scanners: ["}
PATH = "/tomic/signals/quality?run_scan="
GOAL_MS = 150.0
REQUESTS = 200


def scanned(system: DefaultSystem) -> dict[str, Any]:
    """One scan's answer; a cached one is no measurement."""
    status, answer = system.get(f"{PATH}true")
    data: dict[str, Any] = answer["data"]
    if status != 200 or data.get("cached") or data.get("message"):
        raise SystemExit(f"no scan was run: {status} {data.get('message', 'cached')}")
    return data


def is_warm(system: DefaultSystem) -> bool:
    """The agents know the market: each has something to say of each underlying."""
    _, answer = system.get(f"{PATH}true")
    data = answer["data"]
    return not data.get("cached") and bool(data.get("regime", {}).get("version"))


def timed(call: Callable[[], Any], count: int) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for _ in range(count):
        began = time.monotonic()
        call()
        taken.append((time.monotonic() - began) * 1e3)
    return taken


def main() -> None:
    """Starts the tree, asks, prints."""
    parser = options(__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    given = parser.parse_args()
    with default_system(changes=EVERY_SCAN) as system:
        system.start()
        wait_for(lambda: is_warm(system), "the regime is known")
        idle = system.processor_s()
        began = time.monotonic()
        scans = timed(lambda: scanned(system), given.requests)
        spent_s, lasted_s = system.processor_s() - idle, time.monotonic() - began
        without = timed(lambda: system.get(f"{PATH}false"), given.requests)
    rows = [("request", "count", "p50 ms", "p99 ms", "worst ms", "goal p99 ms")]
    figures = {}
    for name, taken, goal in (("run_scan=true", scans, f"{GOAL_MS:g}"), ("without", without, "")):
        p50, p99, worst = (quantile(taken, share) for share in (0.5, 0.99, 1.0))
        rows.append((name, str(len(taken)), f"{p50:.1f}", f"{p99:.1f}", f"{worst:.1f}", goal))
        figures[name] = {"p50_ms": p50, "p99_ms": p99, "worst_ms": worst}
    table("signal quality over HTTP, whole tree", rows)
    each_ms = spent_s / given.requests * 1e3
    print(f"  in the tree: {each_ms:.1f} ms of processor time a scan, {lasted_s:.1f} s in all")
    figures["tree"] = {"processor_ms_a_scan": each_ms}
    tell(figures, machine("fastapi", "thespian"), given.json)


if __name__ == "__main__":
    main()
