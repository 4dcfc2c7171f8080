"""What the benchmarks share: repeats, quantiles, tables, the machine, figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

REPEATS = 5


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


def options(text: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--json FILE`."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


def medians_s(contenders: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of processor time of a call of each, of five. They take turns, so that what
    else the machine does falls on all alike; a first turn warms up and does not count."""
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(REPEATS + 1):
        for name, call in contenders.items():
            began = time.process_time()
            call()
            if turn:
                took[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in took.items()}


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, and the versions of Python and of these packages."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def tell(figures: Mapping[str, Any], where: Mapping[str, Any], path: Path | None) -> None:
    """Prints the machine, and writes it with the figures to `path` when one is given."""
    print("  " + ", ".join(f"{name} {value}" for name, value in where.items()))
    if path:
        told = {"machine": where, "figures": figures}
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
