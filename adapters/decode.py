"""A broker's market data frames as text, for support and for comparing with other decoders.

    python -m adapters.decode BROKER < frames > rows

A line of hex a frame in, a JSON line a packet out, with every field by the names of
`broker_protocols.md` 0.4: prices as exact decimals, times in UTC, null for what a packet lacks.
Beside them stand `kind` (which of the broker's layouts), `segment`, `sequence`, `last_trade_raw`
and, of a server's notice, `reason`. Exit code 0; 1 when a line or a packet was refused (said on
stderr, the rest goes on); 2 when the broker is unknown.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TextIO

import numpy as np

import adapters.dhan.mapping as dhan
import adapters.kite.mapping as kite
import adapters.smartapi.mapping as smartapi
from adapters.dhan.depth import ASK_CODE, BID_CODE, HEADER, LEVELS_OF_KIND, decode_depth
from adapters.packets import (
    ABSENT,
    MODE_OF_KIND,
    PRICE_FIELDS,
    Batch,
    Notice,
    PacketKind,
)

MICROSECOND_NS = 1_000
FIELDS = (
    "last_price", "last_qty", "avg_price", "volume", "buy_qty", "sell_qty", "open", "high", "low",
    "close", "oi", "oi_high", "oi_low", "last_trade_ts", "exchange_ts", "received_ts", "bids",
    "asks", "upper_circuit", "lower_circuit", "high_52w", "low_52w", "prev_oi", "sequence",
    "last_trade_raw",
)  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = {
    "last_trade_ts": "last_trade_ns",
    "exchange_ts": "exchange_ns",
    "received_ts": "received_ns",
}
DHAN_DEPTH_CODES = (BID_CODE, ASK_CODE, dhan.DISCONNECT_CODE)


@dataclass(frozen=True, slots=True)
class Door:
    """How one broker's frames are read; `token` spells a token as the broker does."""

    decode: Callable[[bytes], Batch]
    exchanges: dict[int, str]
    token: Callable[[int], int | str]


def _dhan_frame(frame: bytes) -> Batch:
    """Dhan's three sockets have headers that cannot be taken for each other: the first byte is a
    code of the live feed, or the third one of the depth feeds, whose lengths begin otherwise."""
    is_depth = len(frame) >= HEADER.itemsize and frame[2] in DHAN_DEPTH_CODES
    if not is_depth or frame[0] in (*dhan.WIRE, dhan.INDEX_CODE):
        return dhan.decode([frame])
    usual = HEADER.itemsize + 16 * LEVELS_OF_KIND[PacketKind.DEPTH20]
    is_20 = int.from_bytes(frame[:2], "little") == usual
    return decode_depth([frame], PacketKind.DEPTH20 if is_20 else PacketKind.DEPTH200)


DOORS = {
    kite.BROKER: Door(lambda frame: kite.decode([frame]), kite.EXCHANGES, int),
    smartapi.BROKER: Door(lambda frame: smartapi.decode([frame]), smartapi.EXCHANGES, str),
    dhan.BROKER: Door(_dhan_frame, dhan.EXCHANGES, int),
}


def rows(broker: str, batch: Batch) -> Iterator[dict[str, Any]]:
    """A batch's notices and packets as JSON-ready rows; prices are Decimals."""
    for notice in batch.notices:
        yield _notice_row(broker, notice)
    for place, packet in enumerate(batch.packets):
        levels = batch.levels[batch.levels["packet"] == place]
        yield _packet_row(broker, packet, levels)


def _notice_row(broker: str, notice: Notice) -> dict[str, Any]:
    exchange = DOORS[broker].exchanges.get(notice.segment)
    return {
        "broker": broker, "kind": notice.kind, "exchange": exchange, "segment": notice.segment,
        "reason": notice.reason,
    }  # fmt: skip


def _packet_row(broker: str, packet: np.void, levels: np.ndarray) -> dict[str, Any]:
    door, kind = DOORS[broker], PacketKind(int(packet["kind"]))
    divisor, segment = int(packet["divisor"]), int(packet["segment"])
    row: dict[str, Any] = {
        "broker": broker,
        "exchange": door.exchanges.get(segment),
        "token": door.token(int(packet["token"])),
        "mode": MODE_OF_KIND.get(kind),
    }
    sides = {"bids": packet["bids"], "asks": packet["asks"]}
    if len(levels):
        sides = {"bids": levels[~levels["is_ask"]], "asks": levels[levels["is_ask"]]}
    for name in FIELDS:
        if name in sides:
            row[name] = _side(sides[name], divisor) or None
        elif name in TIMES:
            row[name] = _moment(int(packet[TIMES[name]]))
        elif name in PRICE_FIELDS:
            row[name] = _price(int(packet[name]), divisor)
        else:
            row[name] = _or_none(int(packet[name]))
    return row | {"kind": kind.name.lower(), "segment": segment}


def _side(levels: np.ndarray, divisor: int) -> list[dict[str, Any]]:
    return [
        {
            "price": _price(int(level["price"]), divisor),
            "qty": int(level["quantity"]),
            "orders": int(level["orders"]),
        }
        for level in levels
        if level["quantity"] != ABSENT
    ]


def _price(number: int, divisor: int) -> Decimal | None:
    return None if number == ABSENT else Decimal(number) / divisor


def _or_none(number: int) -> int | None:
    return None if number == ABSENT else number


def _moment(moment_ns: int) -> str | None:
    if moment_ns == ABSENT:
        return None
    return (EPOCH + timedelta(microseconds=moment_ns // MICROSECOND_NS)).isoformat()


def to_json(value: Any) -> str:
    """JSON in which a Decimal stands with all its digits, as a float could not hold it."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)}: {to_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(to_json, value))}]"
    return json.dumps(value)


def run(broker: str, lines: Iterable[str], out: TextIO, err: TextIO) -> int:
    """Decodes line by line and returns the exit code; an empty line is passed over."""
    if broker not in DOORS:
        err.write(f"Broker {broker!r} is unknown: it must be one of {', '.join(DOORS)}.\n")
        return 2
    refused = False
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        try:
            frame = bytes.fromhex(text)
        except ValueError:
            rule = "a frame must be pairs of hexadecimal digits, one frame a line"
            err.write(f"Line {number} is not decoded: {rule}; it begins {text[:32]!r}.\n")
            refused = True
            continue
        batch = DOORS[broker].decode(frame)
        for row in rows(broker, batch):
            out.write(to_json(row) + "\n")
        for sentence in batch.samples:
            err.write(f"Line {number}, a packet is skipped. {sentence}\n")
        for reason, count in batch.doubted.items():
            err.write(f"Line {number}, {count} values are doubtful: {reason}.\n")
        refused |= bool(batch.refused)
    return int(refused)


def main() -> int:
    """The command line."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"Usage: python -m adapters.decode {'|'.join(DOORS)} < frames > rows\n")
        return 2
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a byte that is no text is no hex either
    return run(sys.argv[1], sys.stdin, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
