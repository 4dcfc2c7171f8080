"""Market data packets decoded a second by one core: ours against each broker's official parser.

    python bench/decode.py [--symbols N] [--repeats N] [--json FILE]

Both decode the same bytes into every field. Ours takes what a shard finds on its socket at one
wake: a Kite message of 500 packets, or 500 messages of one packet; the official parsers take a
message. Frames walk all symbols, so that no frame is warm in the cache. Time is the process' own
processor time, so a busy machine does not count; the allocator keeps its pages, as in a shard.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from adapters.dhan import mapping as dhan
from adapters.kite import mapping as kite
from adapters.smartapi import mapping as smartapi
from bench.kit import table
from tests.kit.official_parsers import dhan_feed, kite_ticker, smart_socket
from tests.kit.wire_frames import (
    KITE_LENGTHS,
    dhan_packet,
    kite_message,
    kite_packet,
    smartapi_packet,
)

A_WAKE = 500  # packets
OFFICIAL_SHARE = 20  # the official parsers get one packet of so many: they are slow
LEAST_S = 0.5  # of processor time a measurement
GOALS = {
    "kite full": 8e6, "kite mixed": 8e6, "dhan full": 15e6, "smartapi snap-quote": 5e6,
}  # fmt: skip
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # mallopt(3)
KEPT_BYTES = 64 * 2**20

Work = tuple[Sequence[Any], Callable[[Any], object]]  # what one call each takes, and the call


def keep_pages() -> None:
    """Without this glibc gives a large array's pages back and the kernel clears them each time."""
    libc = ctypes.CDLL(None)
    libc.mallopt(MMAP_THRESHOLD, KEPT_BYTES // 2)
    libc.mallopt(TRIM_THRESHOLD, KEPT_BYTES)


def a_wake_each(packets: list[bytes]) -> list[list[bytes]]:
    return [packets[at : at + A_WAKE] for at in range(0, len(packets), A_WAKE)]


def cases(symbols: int) -> dict[str, tuple[Work, Work, str]]:
    """By name: our work, the official parser's, and the package that holds it. Both walk the same
    packets, `symbols` of them."""
    rng = random.Random(1)
    found: dict[str, tuple[Work, Work, str]] = {}
    for name, lengths in (("full", (184,)), ("mixed", KITE_LENGTHS), ("ltp", (8,))):
        packets = [kite_packet(rng, length) for length in rng.choices(lengths, k=symbols)]
        messages = [kite_message(wake) for wake in a_wake_each(packets)]
        official = messages[:: max(1, len(messages) // OFFICIAL_SHARE)]
        found[f"kite {name}"] = (
            ([[message] for message in messages], kite.decode),
            (official, kite_ticker()._parse_binary),
            "kiteconnect",
        )
    for name, modes in (("snap-quote", (3,)), ("quote", (2,)), ("mixed", (1, 2, 3))):
        packets = [smartapi_packet(rng, mode) for mode in rng.choices(modes, k=symbols)]
        found[f"smartapi {name}"] = (
            (a_wake_each(packets), smartapi.decode),
            (packets[::OFFICIAL_SHARE], smart_socket()._parse_binary_data),
            "smartapi-python",
        )
    for name, codes in (("full", (8,)), ("quote", (4,)), ("mixed", (2, 4, 5, 8))):
        packets = [dhan_packet(rng, code) for code in rng.choices(codes, k=symbols)]
        found[f"dhan {name}"] = (
            (a_wake_each(packets), dhan.decode),
            (packets[::OFFICIAL_SHARE], dhan_feed().process_data),
            "dhanhq",
        )
    return found


def rate(work: Work, packets: int) -> float:
    """Packets a second of processor time; the whole work again until LEAST_S is used."""
    inputs, call = work
    rounds, began = 0, time.process_time()
    while (used := time.process_time() - began) < LEAST_S:
        for taken in inputs:
            call(taken)
        rounds += 1
    return packets * rounds / used


def packets_of(work: Work, name: str) -> int:
    """How many packets one round of the official parser's work holds."""
    inputs, _ = work
    return len(inputs) * A_WAKE if name.startswith("kite") else len(inputs)


def machine() -> str:
    """Processor, Python and libraries."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    packages = ("numpy", "kiteconnect", "smartapi-python", "dhanhq")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    cpu = f"{len(names)} x {names[0]}" if names else platform.machine()
    return f"{cpu}; Python {platform.python_version()}, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=25_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    keep_pages()
    symbols = max(A_WAKE, words.symbols // A_WAKE * A_WAKE)
    figures = {}
    for name, (ours, official, package) in cases(symbols).items():
        runs = [
            (rate(ours, symbols), rate(official, packets_of(official, name)))
            for _ in range(words.repeats)
        ]
        mine, theirs = (statistics.median(column) for column in zip(*runs, strict=True))
        figures[name] = {
            "packets_per_s": mine, "official_packets_per_s": theirs, "ratio": mine / theirs,
            "official": f"{package} {version(package)}", "goal_packets_per_s": GOALS.get(name),
        }  # fmt: skip
    show(figures, words.repeats)
    if words.json:
        told = {"machine": machine(), "symbols": symbols, "repeats": words.repeats, "rows": figures}
        words.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def show(figures: dict[str, dict[str, Any]], repeats: int) -> None:
    rows = [("packets", "ours M/s", "official k/s", "times", "goal M/s")]
    for name, row in figures.items():
        goal = row["goal_packets_per_s"]
        rows.append(
            (
                name, f"{row['packets_per_s'] / 1e6:.2f}",
                f"{row['official_packets_per_s'] / 1e3:.0f}", f"{row['ratio']:.0f}",
                f"{goal / 1e6:.0f}" if goal else "",
            )
        )  # fmt: skip
    title = f"Packets decoded a second of one core, every field, medians of {repeats}"
    table(f"{title}\n  {machine()}", rows)


if __name__ == "__main__":
    main()
