"""Dhan's books of 20 and 200 levels as columns (`broker_protocols.md` 3.5). Pure.

Each side of a book is a packet: 12 bytes of header, then levels of 16. A message holds a bid and
an ask packet, in either order. Nothing in the bytes tells 20 from 200 surely: the socket does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adapters.dhan.mapping import BROKER, DISCONNECT_CODE
from adapters.dhan.prices import scaled
from adapters.packets import (
    ABSENT,
    LEVEL_DTYPE,
    UNKNOWN_ROW,
    Batch,
    Notice,
    PacketKind,
    Tally,
    blank,
)
from adapters.token_table import TokenTable

HEADER = np.dtype(
    [("length", "<i2"), ("code", "u1"), ("segment", "u1"), ("token", "<i4"), ("count", "<u4")]
)
LEVEL = np.dtype([("price", "<f8"), ("quantity", "<u4"), ("orders", "<u4")])
BID_CODE, ASK_CODE = 41, 51
LEVELS_OF_KIND = {PacketKind.DEPTH20: 20, PacketKind.DEPTH200: 200}
DISCONNECT_BYTES = HEADER.itemsize + 2


def decode_depth(
    messages: Sequence[bytes],
    kind: PacketKind,
    tokens: TokenTable | None = None,
    received_ns: int = ABSENT,
) -> Batch:
    """Every complete side of a book; `kind` is DEPTH20 or DEPTH200. Prices stand in the batch's
    levels. Skipped and counted: `short_packet`, `truncated`, `bad_length`, `unknown_code`."""
    tally = Tally(BROKER)
    found = [
        (message, at, header) for message in messages for at, header in _walk(message, kind, tally)
    ]
    packets = blank(len(found))
    packets["kind"], packets["received_ns"] = kind, received_ns
    levels = [np.empty(0, LEVEL_DTYPE)]
    for place, (message, at, header) in enumerate(found):
        packet = packets[place : place + 1]
        packet["segment"], packet["token"] = header["segment"], header["token"]
        if kind == PacketKind.DEPTH20:
            packet["sequence"], count = header["count"], LEVELS_OF_KIND[kind]
        else:
            count = int(header["count"])
        wire = np.frombuffer(message, LEVEL, count, at + HEADER.itemsize)
        levels.append(_levels(wire, place, header["code"] == ASK_CODE, packet, tally))
    if tokens is not None:
        packets["row"] = tokens.rows_of(packets["segment"], packets["token"])
    return tally.batch(packets, np.concatenate(levels))


def _walk(message: bytes, kind: PacketKind, tally: Tally) -> list[tuple[int, np.void]]:
    """(place, header) of each usable side; a disconnect becomes a notice."""
    found, at = [], 0
    while at < len(message):
        left = len(message) - at
        if left < HEADER.itemsize:
            rule = f"{left} bytes where a header has {HEADER.itemsize}"
            tally.refuse("short_packet", rule, message, at)
            break
        header = np.frombuffer(message, HEADER, 1, at)[0]
        size, code = int(header["length"]), int(header["code"])
        if size < HEADER.itemsize:
            rule = f"it tells a length of {size}, less than its header"
            tally.refuse("bad_length", rule, message, at)
            break  # nothing says where the next packet begins
        if size > left:
            tally.refuse("truncated", f"{size} bytes are told, here are {left}", message, at)
        elif code == DISCONNECT_CODE and size >= DISCONNECT_BYTES:
            reason = int.from_bytes(message[at + 12 : at + 14], "little", signed=True)
            tally.notices.append(Notice("disconnect", int(header["segment"]), reason))
        elif code not in (BID_CODE, ASK_CODE):
            tally.refuse("unknown_code", f"code {code} is neither bid nor ask", message, at)
        elif _has_levels(header, kind):
            found.append((at, header))
        else:
            rule = f"{size} bytes do not hold the levels of {kind.name}"
            tally.refuse("bad_length", rule, message, at)
        at += size
    return found


def _has_levels(header: np.void, kind: PacketKind) -> bool:
    room = int(header["length"]) - HEADER.itemsize
    most = LEVELS_OF_KIND[kind]
    if kind == PacketKind.DEPTH20:
        return room == most * LEVEL.itemsize
    return int(header["count"]) <= most and int(header["count"]) * LEVEL.itemsize <= room


def _levels(
    wire: np.ndarray, place: int, is_ask: bool, packet: np.ndarray, tally: Tally
) -> np.ndarray:
    """One side's levels; sets the packet's divisor, which they share."""
    levels = np.empty(len(wire), LEVEL_DTYPE)
    numbers, divisors, bad = scaled(np.ascontiguousarray(wire["price"]).reshape(1, -1))
    tally.doubt("bad_price", bad)
    packet["divisor"], packet["row"] = divisors, UNKNOWN_ROW
    levels["packet"], levels["is_ask"], levels["level"] = place, is_ask, np.arange(len(wire))
    levels["price"] = numbers[0]
    levels["quantity"], levels["orders"] = wire["quantity"], wire["orders"]
    return levels
