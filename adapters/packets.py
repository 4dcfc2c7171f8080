"""What every binary market data decoder gives: packets as columns, and what was refused.

One row a packet, whatever its kind; a field that the packet's kind lacks is ABSENT, never 0. Prices
are whole numbers of 1/`divisor` rupee, so nothing is rounded. Depth beyond five levels comes as
rows of its own (LEVEL_DTYPE). `row` is the instrument's number in every columnar batch of the day
(listing_id), UNKNOWN_ROW where the token stands in no table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

ABSENT = np.iinfo(np.int64).min
UNKNOWN_ROW = -1
SAMPLES_MAX = 16  # refusals told in words a call; all are counted
HEAD_BYTES = 16  # of a refused packet, shown in hex
_NS_MAX = int(np.iinfo(np.int64).max)
MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
PRICE_FIELDS = (
    "last_price", "avg_price", "open", "high", "low", "close", "upper_circuit", "lower_circuit",
    "high_52w", "low_52w",
)  # fmt: skip


class PacketKind(IntEnum):
    """Which of a broker's layouts a packet had."""

    LTP = 1
    QUOTE = 2
    FULL = 3
    INDEX_QUOTE = 4
    INDEX_FULL = 5
    MARKET_DEPTH = 6  # a last price and five levels, no more
    DEPTH20 = 7
    DEPTH200 = 8
    OPEN_INTEREST = 9
    PREVIOUS_CLOSE = 10


# `broker_protocols.md` 0.1: a kind that belongs to no mode is left out.
MODE_OF_KIND = {
    PacketKind.LTP: "LTP",
    PacketKind.QUOTE: "QUOTE",
    PacketKind.INDEX_QUOTE: "QUOTE",
    PacketKind.FULL: "FULL",
    PacketKind.INDEX_FULL: "FULL",
    PacketKind.DEPTH20: "DEPTH20",
    PacketKind.DEPTH200: "DEPTH200",
}

BEST_DTYPE = np.dtype([("quantity", "<i8"), ("price", "<i8"), ("orders", "<i8")])

# From `token` to `asks` the order is that of Kite's full packet, so that one copy fills it.
PACKET_DTYPE = np.dtype(
    [
        ("row", "<i4"),
        ("kind", "<u2"),  # PacketKind
        ("segment", "<u2"),  # the broker's own number
        ("divisor", "<i8"),
        ("received_ns", "<i8"),
        ("token", "<i8"),
        ("last_price", "<i8"),
        ("last_qty", "<i8"),
        ("avg_price", "<i8"),
        ("volume", "<i8"),
        ("buy_qty", "<i8"),
        ("sell_qty", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),  # of the previous day
        ("last_trade_ns", "<i8"),
        ("oi", "<i8"),
        ("oi_high", "<i8"),
        ("oi_low", "<i8"),
        ("exchange_ns", "<i8"),
        ("bids", BEST_DTYPE, (5,)),
        ("asks", BEST_DTYPE, (5,)),
        ("upper_circuit", "<i8"),
        ("lower_circuit", "<i8"),
        ("high_52w", "<i8"),
        ("low_52w", "<i8"),
        ("prev_oi", "<i8"),
        ("sequence", "<i8"),
        ("last_trade_raw", "<i8"),  # as the wire had it, where it may be shifted
    ]
)
LEVEL_DTYPE = np.dtype(
    [
        ("packet", "<i4"),  # its row in the batch's packets
        ("is_ask", "?"),
        ("level", "<u2"),  # 0 is the best
        ("price", "<i8"),
        ("quantity", "<i8"),
        ("orders", "<i8"),
    ]
)
WORDS = PACKET_DTYPE.itemsize // 8


def word_of(name: str) -> int:
    """Where a field begins in a packet's row of 8-byte words."""
    return PACKET_DTYPE.fields[name][1] // 8  # type: ignore[index]


def words(packets: np.ndarray) -> np.ndarray:
    """The same memory as (n, WORDS) integers; word 0 holds row, kind and segment together."""
    return packets.view("<i8").reshape(len(packets), WORDS)


@dataclass(frozen=True, slots=True)
class Notice:
    """What the server says of the connection and not of an instrument: `disconnect` with the
    broker's reason, or `market_status`."""

    kind: str
    segment: int
    reason: int | None = None


@dataclass(slots=True)
class Batch:
    """What one call decoded: packets in the order of the wire (PACKET_DTYPE), deeper levels
    (LEVEL_DTYPE), notices; packets refused and values doubted, counted by reason."""

    packets: np.ndarray
    levels: np.ndarray
    notices: list[Notice] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    doubted: dict[str, int] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)


class Tally:
    """Counts while a call decodes. A refusal costs its packet only, never the rest."""

    def __init__(self, broker: str) -> None:
        self.notices: list[Notice] = []
        self.refused: dict[str, int] = {}
        self.doubted: dict[str, int] = {}
        self.samples: list[str] = []
        self._broker = broker

    def refuse(self, reason: str, rule: str, message: bytes, offset: int = 0) -> None:
        """Counts one packet that was skipped; `rule` says in words what it breaks."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
        if len(self.samples) < SAMPLES_MAX:
            head = message[offset : offset + HEAD_BYTES].hex()
            where = f"{self._broker}: frame of {len(message)} bytes, at byte {offset}"
            self.samples.append(f"{where}: {rule} ({reason}; {head or 'nothing'})")

    def doubt(self, reason: str, count: int = 1) -> None:
        """Counts values that were left out of packets that were kept, or are unlikely."""
        if count:
            self.doubted[reason] = self.doubted.get(reason, 0) + int(count)

    def batch(self, packets: np.ndarray, levels: np.ndarray | None = None) -> Batch:
        """All of it together."""
        levels = np.empty(0, LEVEL_DTYPE) if levels is None else levels
        return Batch(packets, levels, self.notices, self.refused, self.doubted, self.samples)


def blank(count: int) -> np.ndarray:
    """So many packets with every field ABSENT, row UNKNOWN_ROW, kind and segment 0."""
    packets = np.empty(count, PACKET_DTYPE)
    words(packets)[:] = ABSENT
    packets["row"], packets["kind"], packets["segment"] = UNKNOWN_ROW, 0, 0
    return packets


def in_wire_order(count: int, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """`count` packets from parts decoded kind by kind; each part is (its places, packets)."""
    if len(parts) == 1:
        return parts[0][1]
    ordered = np.empty(count, f"V{PACKET_DTYPE.itemsize}")
    for places, packets in parts:
        ordered[places] = packets.view(ordered.dtype)
    return ordered.view(PACKET_DTYPE)


@dataclass(frozen=True, slots=True)
class Stack:
    """Messages laid end to end: their bytes, and where each begins and how long it is."""

    wire: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


def stack(messages: Sequence[bytes]) -> Stack:
    """Many messages as one array of bytes."""
    sizes = list(map(len, messages))
    if sizes and sizes.count(sizes[0]) == len(sizes):
        lengths = np.full(len(sizes), sizes[0])
    else:
        lengths = np.array(sizes, np.intp)
    ends = lengths.cumsum()
    return Stack(np.frombuffer(b"".join(messages), np.uint8), ends - lengths, lengths)


def windows(wire: np.ndarray, starts: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A copy of the bytes from each of these places on, as `dtype`; all must lie inside."""
    size = dtype.itemsize
    every = np.ndarray((len(wire) - size + 1,), f"V{size}", wire, 0, (1,))
    return every[starts].view(dtype)


def times_ns(epochs: np.ndarray, unit_ns: int, tally: Tally) -> np.ndarray:
    """Epochs in units of `unit_ns` as nanoseconds; 0 becomes ABSENT, and so does, counted, what no
    64-bit nanosecond can say."""
    if epochs.size == 0:
        return epochs
    least, most, limit = epochs.min(), epochs.max(), _NS_MAX // unit_ns
    if least > 0 and most <= limit:
        return epochs * unit_ns
    bad = (epochs < 0) | (epochs > limit)
    tally.doubt("bad_time", np.count_nonzero(bad))
    gone = bad | (epochs == 0)
    return np.where(gone, ABSENT, np.where(gone, 0, epochs) * unit_ns)
