"""The last-price table: what a read, a sweep of 25,000 rows and a batch's write cost.

    python bench/price_table.py [--symbols N] [--json FILE]

Reads are timed twice, while nobody writes and while a process of its own writes batches of 500 as
fast as it can; `floor` is what the bare steps of a read take in this interpreter: three items of a
memory view, one unpacking of a record, one tuple. `dict` is a dictionary of tuples in the
reader's own process, which nobody else could write. Writes are of batches that hold each symbol
once, in turn, and of such that hold some twice.
"""

from __future__ import annotations

import multiprocessing
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from adapters.price_table import Price, PriceReader, PriceWriter, table_path
from bench.kit import machine, medians_s, options, quantile, table, tell
from domain.prices import TICK_DTYPE

BATCH = 500
READS = 20_000


def batches(symbols: int, *, drawn: bool) -> list[np.ndarray]:
    """All symbols, in turn or drawn, with every field told but the volatility."""
    rng = np.random.default_rng(5)
    ids = np.sort(rng.permutation(symbols * 10)[:symbols])
    order = rng.choice(ids, symbols) if drawn else ids
    ticks = np.zeros(symbols, TICK_DTYPE)
    ticks["listing"], ticks["ltp"], ticks["iv"] = order, 100.0, np.nan
    return [ticks[at : at + BATCH].copy() for at in range(0, symbols, BATCH)]


def hammer(path: Path, parts: list[np.ndarray], ready: multiprocessing.Event) -> None:  # type: ignore[valid-type]
    """Writes until it is killed."""
    writer = PriceWriter(path)
    while True:
        for part in parts:
            writer.write(part)
        ready.set()  # type: ignore[attr-defined]


def read_all(reader: PriceReader, ids: list[int]) -> Callable[[], None]:
    """READS reads, over all rows."""
    wanted = (ids * (READS // len(ids) + 1))[:READS]

    def run() -> None:
        read = reader.read
        for listing in wanted:
            read(listing)

    return run


def floor(ids: list[int]) -> Callable[[], None]:
    """The same number of times the bare steps."""
    numbers = memoryview(np.zeros(max(ids) + 1, np.int64))
    record = memoryview(bytes(TICK_DTYPE.itemsize))
    unpack, make = struct.Struct("<IBqqdddqqqqd").unpack_from, Price._make
    wanted = (ids * (READS // len(ids) + 1))[:READS]

    def run() -> None:
        for listing in wanted:
            numbers[listing], numbers[listing], numbers[listing]
            make(unpack(record, 0))

    return run


def plain(ids: list[int]) -> Callable[[], None]:
    """The same number of reads of a dictionary."""
    prices = {listing: tuple(range(12)) for listing in ids}
    wanted = (ids * (READS // len(ids) + 1))[:READS]

    def run() -> None:
        read = prices.get
        for listing in wanted:
            read(listing)

    return run


def single_ns(reader: PriceReader, ids: list[int]) -> list[float]:
    """Each read by itself, the clock's own cost taken off."""
    clock, took = time.perf_counter_ns, []
    empty = min(-clock() + clock() for _ in range(1_000))
    for listing in (ids * (READS // len(ids) + 1))[:READS]:
        began = clock()
        reader.read(listing)
        took.append(float(max(clock() - began - empty, 0)))
    return took


def main() -> None:
    """Measures and prints."""
    parser = options(__doc__)
    parser.add_argument("--symbols", type=int, default=25_000)
    asked = parser.parse_args()
    in_turn, drawn = batches(asked.symbols, drawn=False), batches(asked.symbols, drawn=True)
    ids = np.concatenate([part["listing"] for part in in_turn])
    names = np.random.default_rng(1).permutation(ids).tolist()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = table_path(Path(folder), "bench")
        writer = PriceWriter(path)
        for part in in_turn:
            writer.write(part)
        reader = PriceReader(path)
        took = medians_s({
            "read": read_all(reader, names), "floor": floor(names), "dict": plain(names),
            "sweep": lambda: reader.read_many(ids),
            "in turn": lambda: [writer.write(part) for part in in_turn],
            "drawn": lambda: [writer.write(part) for part in drawn],
        })  # fmt: skip
        quiet = single_ns(reader, names)
        writer.close()
        fork = multiprocessing.get_context("fork")
        ready = fork.Event()
        process = fork.Process(target=hammer, args=(path, in_turn, ready), daemon=True)
        process.start()
        ready.wait()
        busy = single_ns(reader, names)
        process.kill()
        process.join()
    for name in ("read", "floor", "dict"):
        figures[f"{name}, ns"] = took[name] / READS * 1e9
    for name, values in (("nobody writes", quiet), ("a writer hammers", busy)):
        figures |= {f"one read, {name}, p{p}, ns": quantile(values, p / 100) for p in (50, 99)}
    figures["sweep of all rows, us"] = took["sweep"] * 1e6
    for name in ("in turn", "drawn"):
        figures[f"write of {BATCH}, {name}, us"] = took[name] / len(in_turn) * 1e6
        figures[f"written, {name}, million ticks/s"] = asked.symbols / took[name] / 1e6
    rows = [("what", "figure"), *((name, f"{value:,.1f}") for name, value in figures.items())]
    table(f"Last-price table, {asked.symbols} symbols", rows)
    tell(figures, machine("numpy"), asked.json)


if __name__ == "__main__":
    main()
