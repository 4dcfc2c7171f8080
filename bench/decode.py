"""Market data packets decoded a second by one core: ours against each broker's official parser.

    python bench/decode.py [--symbols N] [--json FILE]

Ours begins with the bytes of a wake as a socket gives them, frames and all: a Kite message
of 500 packets, or 500 messages of one packet. By machine code they are decoded where they lie
(adapters/packet_reader.py), in numpy they are first split into messages; both find each packet's
row in the token table. The official parsers take a message that somebody else has split off
already. All decode into every field. Frames walk all symbols, so that no frame is warm in the
cache. Time is the process' own processor time, so a busy machine does not count; the allocator
keeps its pages, as in a shard.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from adapters.dhan.stream import DhanDialect
from adapters.frame_reader import FrameReader
from adapters.kite.stream import KiteDialect
from adapters.machine_code import CODE, keep_pages
from adapters.packet_reader import Decoder, PacketReader
from adapters.smartapi.stream import SmartApiDialect
from adapters.token_table import TokenTable
from bench.kit import REPEATS, machine, options, table, tell
from tests.kit.feed_servers.server import frame
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
NOW_NS = 1_795_200_000 * 10**9
TOKENS = TokenTable(np.array([2]), np.array([7]), np.array([1]))
GOALS = {
    "kite full": 8e6, "kite mixed": 8e6, "dhan full": 15e6, "smartapi snap-quote": 5e6,
}  # fmt: skip

Work = tuple[Sequence[Any], Callable[[Any], object]]  # what one call each takes, and the call


def a_wake_each(packets: list[bytes]) -> list[list[bytes]]:
    return [packets[at : at + A_WAKE] for at in range(0, len(packets), A_WAKE)]


def frames_of(wakes: list[list[bytes]]) -> list[bytes]:
    """Each wake's messages as the socket gives them."""
    return [b"".join(map(frame, messages)) for messages in wakes]


def in_place(dialect: Decoder) -> Callable[[bytes], object]:
    """A wake's bytes into packets by machine code."""
    reader = PacketReader(dialect, 2 * A_WAKE)

    def call(data: bytes) -> object:
        reader.room()[: len(data)] = data
        reader.read(len(data), NOW_NS)
        return reader.take(TOKENS)

    return call


def plainly(dialect: Decoder) -> Callable[[bytes], object]:
    """A wake's bytes into packets in numpy."""
    frames = FrameReader()
    return lambda data: dialect.decode(frames.read(data)[0], TOKENS, NOW_NS)


def cases(symbols: int) -> dict[str, tuple[Work, Work, Work, str]]:
    """By name: our work by machine code and in numpy, the official parser's, and the package that
    holds it. All walk the same packets, `symbols` of them."""
    rng = random.Random(1)
    found: dict[str, tuple[Work, Work, Work, str]] = {}
    for name, lengths in (("full", (184,)), ("mixed", KITE_LENGTHS), ("ltp", (8,))):
        packets = [kite_packet(rng, length) for length in rng.choices(lengths, k=symbols)]
        messages = [kite_message(wake) for wake in a_wake_each(packets)]
        official = messages[:: max(1, len(messages) // OFFICIAL_SHARE)]
        found[f"kite {name}"] = (
            (frames_of([[message] for message in messages]), in_place(KiteDialect(""))),
            (frames_of([[message] for message in messages]), plainly(KiteDialect(""))),
            (official, kite_ticker()._parse_binary),
            "kiteconnect",
        )
    for name, modes in (("snap-quote", (3,)), ("quote", (2,)), ("mixed", (1, 2, 3))):
        packets = [smartapi_packet(rng, mode) for mode in rng.choices(modes, k=symbols)]
        found[f"smartapi {name}"] = (
            (frames_of(a_wake_each(packets)), in_place(SmartApiDialect(""))),
            (frames_of(a_wake_each(packets)), plainly(SmartApiDialect(""))),
            (packets[::OFFICIAL_SHARE], smart_socket()._parse_binary_data),
            "smartapi-python",
        )
    for name, codes in (("full", (8,)), ("quote", (4,)), ("mixed", (2, 4, 5, 8))):
        packets = [dhan_packet(rng, code) for code in rng.choices(codes, k=symbols)]
        found[f"dhan {name}"] = (
            (frames_of(a_wake_each(packets)), in_place(DhanDialect(""))),
            (frames_of(a_wake_each(packets)), plainly(DhanDialect(""))),
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


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--symbols", type=int, default=25_000)
    asked = parser.parse_args()
    keep_pages()
    symbols = max(A_WAKE, asked.symbols // A_WAKE * A_WAKE)
    figures = {}
    for name, (fast, plain, official, package) in cases(symbols).items():
        runs = [
            (rate(fast, symbols), rate(plain, symbols), rate(official, packets_of(official, name)))
            for _ in range(REPEATS)
        ]
        ours, numpy_only, theirs = map(statistics.median, zip(*runs, strict=True))
        figures[name] = {
            "packets_per_s": ours, "plain_packets_per_s": numpy_only,
            "official_packets_per_s": theirs, "ratio": ours / theirs, "official": package,
            "goal_packets_per_s": GOALS.get(name),
        }  # fmt: skip
    show(figures)
    peers = {row["official"] for row in figures.values()}
    tell({"symbols": symbols} | figures, machine("numpy", *sorted(peers)), asked.json)


def show(figures: dict[str, dict[str, Any]]) -> None:
    rows = [("packets", "machine code M/s", "numpy M/s", "official k/s", "times", "goal M/s")]
    for name, row in figures.items():
        goal = row["goal_packets_per_s"]
        rows.append(
            (
                name, f"{row['packets_per_s'] / 1e6:.2f}",
                f"{row['plain_packets_per_s'] / 1e6:.2f}",
                f"{row['official_packets_per_s'] / 1e3:.0f}", f"{row['ratio']:.0f}",
                f"{goal / 1e6:.0f}" if goal else "",
            )
        )  # fmt: skip
    title = f"Packets decoded a second of one core, every field, medians of {REPEATS}"
    table(title if CODE else f"{title} (no machine code for this machine)", rows)


if __name__ == "__main__":
    main()
