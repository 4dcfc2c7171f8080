"""Kite's binary market data as columns (`broker_protocols.md` 1.6). Pure: bytes in, columns out.

A message holds many packets of mixed length, big-endian; the length tells the kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from adapters.packets import (
    ABSENT,
    PACKET_DTYPE,
    SECOND_NS,
    UNKNOWN_ROW,
    Batch,
    PacketKind,
    Tally,
    windows,
    word_of,
    words,
)
from adapters.token_table import TokenTable
from domain.instruments import Listing

BROKER = "kite"
HEADER_BYTES = 2  # how many packets
LENGTH_BYTES = 2  # before each packet
HEARTBEAT_BYTES = 1
FULL_BYTES = 184
SEGMENT_BITS = 8  # the lowest of a token
KINDS = {
    8: PacketKind.LTP,
    28: PacketKind.INDEX_QUOTE,
    32: PacketKind.INDEX_FULL,
    44: PacketKind.QUOTE,
    184: PacketKind.FULL,
}
EXCHANGES = {1: "NSE", 2: "NFO", 3: "CDS", 4: "BSE", 5: "BFO", 6: "BCD", 7: "MCX", 12: "NCO"}
DIVISORS = np.full(256, 100, np.int64)
DIVISORS[3] = 10_000_000
DIVISORS[[6, 12]] = 10_000

_KIND_OF_LENGTH = np.zeros(256, np.uint16)
_KIND_OF_LENGTH[list(KINDS)] = list(KINDS.values())
_WIRE = {length: np.dtype(("<u4", (length // 4,))) for length in KINDS}
_FIRST, _AFTER = word_of("token"), word_of("upper_circuit")
_DEPTH_WIRE = 16  # words before the depth of a full packet
_PRICES = [(wire, _FIRST + wire) for wire in (1, 3, 7, 8, 9, 10, *range(17, 46, 3))]
# The words of an index: high, low, open, close; its price change is not to be trusted.
_INDEX_PRICES = list(
    enumerate(map(word_of, ("last_price", "high", "low", "open", "close")), start=1)
)
_INDEX_WIDTHS = (7, 8)
_TIMES: dict[int, list[tuple[int, int]]] = {
    2: [],
    7: [],
    8: [(7, word_of("exchange_ns"))],
    11: [],
    46: [(11, word_of("last_trade_ns")), (15, word_of("exchange_ns"))],
}


def token_table(listings: Iterable[Listing]) -> TokenTable:
    """Rows by Kite's instrument tokens, which hold the segment in their lowest byte."""
    rows = [(int(listing.token), listing.listing_id) for listing in listings]
    tokens, ids = np.array(rows, np.int64).reshape(-1, 2).T
    return TokenTable(tokens & 0xFF, tokens >> SEGMENT_BITS, ids, SEGMENT_BITS)


def decode(
    messages: Sequence[bytes], tokens: TokenTable | None = None, received_ns: int = ABSENT
) -> Batch:
    """Every complete packet of these binary messages. What cannot be used is skipped and counted:
    `truncated`, `unknown_length`, `trailing_bytes`. A heartbeat holds nothing."""
    tally = Tally(BROKER)
    offsets, start = [], 0
    for message in messages:
        found = _walk(message, tally)
        offsets.append(found + start if start else found)
        start += len(message)
    joined = messages[0] if len(messages) == 1 else b"".join(messages)
    at = np.concatenate(offsets) if len(offsets) > 1 else (offsets or [np.empty(0, np.intp)])[0]
    packets = _packets(np.frombuffer(joined, np.uint8), at, tally)
    packets["received_ns"] = received_ns
    if tokens is not None:
        packets["row"] = tokens.rows_of(packets["segment"], packets["token"] >> SEGMENT_BITS)
    return tally.batch(packets)


def _walk(message: bytes, tally: Tally) -> np.ndarray:
    """Where the usable packets' lengths stand. Packets of one kind cost no loop."""
    size = len(message)
    if size <= HEARTBEAT_BYTES:
        return np.empty(0, np.intp)
    count = message[0] << 8 | message[1]
    first = int.from_bytes(message[2:4], "big") + LENGTH_BYTES
    if count and size == HEADER_BYTES + count * first and first - LENGTH_BYTES in KINDS:
        lengths = np.ndarray((count, 2), np.uint8, message, HEADER_BYTES, (first, 1))
        if not lengths[:, 0].any() and (lengths[:, 1] == first - LENGTH_BYTES).all():
            return np.arange(HEADER_BYTES, size, first)
    found: list[int] = []
    add, at = found.append, HEADER_BYTES + 1  # the lower byte of a length says it all, mostly
    try:
        for _ in range(count):
            length = message[at]
            add(at)
            at += length + LENGTH_BYTES
    except IndexError:
        return _walk_with_care(message, tally)
    lows = np.fromiter(found, np.intp, len(found))
    seen = np.frombuffer(message, np.uint8)
    if at != size + 1 or seen[lows - 1].any() or not _KIND_OF_LENGTH[seen[lows]].all():
        return _walk_with_care(message, tally)
    return lows - 1


def _walk_with_care(message: bytes, tally: Tally) -> np.ndarray:
    """As `_walk`, packet by packet, with a word for all that is wrong."""
    found, at = [], HEADER_BYTES
    count = message[0] << 8 | message[1]
    for number in range(1, count + 1):
        length = int.from_bytes(message[at : at + LENGTH_BYTES], "big")
        end = at + LENGTH_BYTES + length
        if len(message) < at + LENGTH_BYTES or len(message) < end:
            rule = f"packet {number} of {count} is cut short"
            tally.refuse("truncated", rule, message, at)
            return np.array(found, np.intp)
        if length in KINDS:
            found.append(at)
        else:
            known = ", ".join(map(str, KINDS))
            rule = f"a packet of {length} bytes; those known have {known}"
            tally.refuse("unknown_length", rule, message, at)
        at = end
    if at < len(message):
        rule = f"{len(message) - at} bytes after the last of {count} packets"
        tally.refuse("trailing_bytes", rule, message, at)
    return np.array(found, np.intp)


def _packets(wire: np.ndarray, at: np.ndarray, tally: Tally) -> np.ndarray:
    """Packets whose lengths stand at these places, in the order of the wire; one pass a kind."""
    packets = np.empty(len(at), PACKET_DTYPE)
    rows = words(packets)
    lengths = wire[at + 1]
    starts = at + LENGTH_BYTES
    present = np.bincount(lengths).nonzero()[0].tolist()
    if present == [FULL_BYTES]:
        rows[:, _AFTER:] = ABSENT
    else:
        rows[:] = ABSENT
    for length in present:
        places: slice | np.ndarray = slice(None)
        if len(present) > 1:
            places = (lengths == length).nonzero()[0]
        values = windows(wire, starts[places], _WIRE[length]).byteswap(inplace=True)
        _fill(rows, places, values, tally)
    packets["kind"] = _KIND_OF_LENGTH[lengths]
    packets["row"] = UNKNOWN_ROW
    segments = packets["token"] & 0xFF
    packets["segment"] = segments
    packets["divisor"] = DIVISORS[segments]
    return packets


def _fill(rows: np.ndarray, places: slice | np.ndarray, values: np.ndarray, tally: Tally) -> None:
    """Puts packets of one kind at their places; `values` are (n, 2 | 7 | 8 | 11 | 46) words."""
    width = values.shape[1]
    is_index = width in _INDEX_WIDTHS
    if width > _DEPTH_WIRE:
        values[:, _DEPTH_WIRE + 2 :: 3] >>= 16  # orders stand before two bytes of padding
    if is_index:
        rows[places, _FIRST] = values[:, 0]
        for wire, word in _INDEX_PRICES:
            rows[places, word] = values[:, wire]
    else:
        rows[places, _FIRST : _FIRST + width] = values
    if values.max() >= 2**31:
        _sign(rows, places, values, tally)
    for wire, word in _TIMES[width]:
        seconds = values[:, wire]
        rows[places, word] = np.where(seconds, seconds.astype(np.int64) * SECOND_NS, ABSENT)


def _sign(rows: np.ndarray, places: slice | np.ndarray, values: np.ndarray, tally: Tally) -> None:
    """Prices of 2^31 and more are negative (crude oil has traded there); quantities never are."""
    width = values.shape[1]
    for wire, word in _INDEX_PRICES if width in _INDEX_WIDTHS else _PRICES:
        if wire < width:
            signed = np.ascontiguousarray(values[:, wire]).view("<i4")
            tally.doubt("negative_price", np.count_nonzero(signed < 0))
            rows[places, word] = signed
