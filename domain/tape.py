"""Tape: one run of the runtime as it was lived, so that it can be run again: ticks as received,
the instrument master, bars and volatilities of before, what people asked, what was decided.

A tape is a log of records, each with the hash of itself and of the one before it, and beside it a
file of blocks that records point into (`design.md` 2, `tomic.md` 9.5). Here are the values and
their bytes; files are persistence.tape's.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from domain.errors import BrokenTape
from domain.instruments import Kind, Listing
from domain.prices import BAR_DTYPE, TICK_DTYPE

SCHEMA = 1
GENESIS = "0" * 64
PACK_LEVEL = 1  # 16 bytes a tick at 0.4 us; level 6 makes 15 of it at twice the time

BEGIN, END = "begin", "end"
TICKS, BARS, LISTINGS, VOLATILITIES, FACT, LOST = (
    "ticks", "bars", "listings", "volatilities", "fact", "lost",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log. `body` is JSON-ready; `digest` covers it and all before it."""

    kind: str
    at_ns: int
    body: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class TapedFact:
    """A fact of the journal as the tape has it: class name, stamp, fields as plain values."""

    message_id: str
    cause: str
    kind: str
    at_ns: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class TapedRun:
    """A whole run, read back. Times are epoch nanoseconds of the clock that the agents saw.

    `ticks` are TICK_DTYPE rows in the order in which they were published, `listing` as in
    `listings`; `bars` BAR_DTYPE rows by timeframe (1m, 15m, 1D), the newest word on each bar;
    `volatilities` (underlying, day, at-the-money volatility as a decimal a year). `head` says what
    decided: launch, fingerprint, hours. `lost` has a sentence for each gap.
    """

    name: str
    head: Mapping[str, Any]
    begin_ns: int
    end_ns: int
    ended: bool  # by a record of its own, not by a kill
    listings: tuple[Listing, ...]
    ticks: np.ndarray
    bars: Mapping[str, np.ndarray] = field(default_factory=dict)
    volatilities: tuple[tuple[str, date, float], ...] = ()
    facts: tuple[TapedFact, ...] = ()
    lost: tuple[str, ...] = ()


def record_after(previous: str, kind: str, at_ns: int, body: Mapping[str, Any]) -> Record:
    """The record that follows the digest `previous`."""
    text = _canonical([kind, at_ns, body])
    return Record(kind, at_ns, body, hashlib.sha256((previous + text).encode()).hexdigest())


def to_line(record: Record) -> bytes:
    """A record as its line of the log, with the line's end."""
    return _canonical([record.kind, record.at_ns, record.body, record.digest]).encode() + b"\n"


def read_log(data: bytes) -> tuple[list[Record], int]:
    """The records of a log and the bytes they take; a last line without an end was cut short by a
    kill and does not count. Raises BrokenTape, naming the record, for any other change.
    """
    records: list[Record] = []
    previous, length = GENESIS, 0
    *lines, _torn = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            kind, at_ns, body, digest = json.loads(line)
            record = record_after(previous, kind, at_ns, body)
        except (ValueError, TypeError) as fault:
            raise BrokenTape(number, "it cannot be read") from fault
        if record.digest != digest:
            raise BrokenTape(number, "it, or one before it, is not what was written")
        records.append(record)
        previous = digest
        length += len(line) + 1
    return records, length


def pack(columns: np.ndarray) -> bytes:
    """The rows of a structured array, compressed: by column, and of each column first all first
    bytes, then all second ones. Like stands beside like, a fifth of the rows' own size."""
    parts = []
    for name in columns.dtype.names or ():
        numbers = np.ascontiguousarray(columns[name]).view(np.uint8)
        parts.append(numbers.reshape(len(columns), columns.dtype[name].itemsize).T.tobytes())
    return zlib.compress(b"".join(parts), PACK_LEVEL)


def unpack(data: bytes, dtype: np.dtype, rows: int) -> np.ndarray:
    """What `pack` made of `rows` rows. Raises ValueError when it is none of that."""
    raw, columns, at = zlib.decompress(data), np.zeros(rows, dtype), 0
    if len(raw) != rows * dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes are not {rows} rows")
    for name in dtype.names or ():
        width = dtype[name].itemsize
        numbers = np.frombuffer(raw, np.uint8, rows * width, at).reshape(width, rows).T
        columns[name] = np.ascontiguousarray(numbers).view(dtype[name])[:, 0]
        at += rows * width
    return columns


def pack_listings(listings: Sequence[Listing]) -> bytes:
    """An instrument master."""
    rows = [
        [
            row.listing_id, row.exchange, row.symbol, row.name, row.kind.value, row.lot_size,
            str(row.tick_size), row.freeze_quantity, row.expiry.isoformat() if row.expiry else "",
            str(row.strike), row.token,
        ]
        for row in listings
    ]  # fmt: skip
    return zlib.compress(json.dumps(rows).encode(), PACK_LEVEL)


def unpack_listings(data: bytes) -> tuple[Listing, ...]:
    """What `pack_listings` made."""
    return tuple(
        Listing(
            listing_id=listing_id,
            exchange=exchange,
            symbol=symbol,
            name=name,
            kind=Kind(kind),
            lot_size=lot_size,
            tick_size=Decimal(tick_size),
            freeze_quantity=freeze,
            expiry=date.fromisoformat(expiry) if expiry else None,
            strike=Decimal(strike),
            token=token,
        )
        for (
            listing_id, exchange, symbol, name, kind, lot_size, tick_size, freeze, expiry, strike,
            token,
        ) in json.loads(zlib.decompress(data))
    )  # fmt: skip


def run_of(name: str, records: Sequence[Record], blocks: Mapping[int, bytes]) -> TapedRun:
    """A run from its records and its blocks (by the record's place). Raises BrokenTape when the
    log does not begin with its head, or a block is none."""
    if not records or records[0].kind != BEGIN:
        raise BrokenTape(1, "a run begins with its head")
    head = records[0].body
    if head["schema"] != SCHEMA:
        raise BrokenTape(1, f"it is of form {head['schema']}; this version reads form {SCHEMA}")
    ticks, bars = [np.zeros(0, TICK_DTYPE)], dict[str, list[np.ndarray]]()
    listings: tuple[Listing, ...] = ()
    volatilities: tuple[tuple[str, date, float], ...] = ()
    facts, lost = [], []
    for place, record in enumerate(records):
        body = record.body
        try:
            if record.kind == TICKS:
                ticks.append(unpack(blocks[place], TICK_DTYPE, body["rows"]))
            elif record.kind == BARS:
                rows = unpack(blocks[place], BAR_DTYPE, body["rows"])
                bars.setdefault(body["timeframe"], []).append(rows)
            elif record.kind == LISTINGS:
                listings = unpack_listings(blocks[place])
            elif record.kind == VOLATILITIES:
                volatilities = tuple((n, date.fromisoformat(d), v) for n, d, v in body["rows"])
            elif record.kind == FACT:
                stamp = (body["message_id"], body["cause"], body["kind"])
                facts.append(TapedFact(*stamp, record.at_ns, body["body"]))
            elif record.kind == LOST:
                lost.append(str(body["text"]))
        except (KeyError, ValueError, TypeError, zlib.error) as fault:
            raise BrokenTape(place + 1, f"its block cannot be read: {fault}") from fault
    last = records[-1]
    return TapedRun(
        name=name,
        head=head,
        begin_ns=records[0].at_ns,
        end_ns=max(record.at_ns for record in records),
        ended=last.kind == END,
        listings=listings,
        ticks=np.concatenate(ticks),
        bars={timeframe: _newest(rows) for timeframe, rows in bars.items()},
        volatilities=volatilities,
        facts=tuple(facts),
        lost=tuple(lost),
    )


def _newest(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """One row a bar, the last that was written; by listing and start."""
    rows = np.concatenate(pieces)
    rows = rows[np.lexsort((np.arange(len(rows)), rows["start_ns"], rows["listing"]))]
    is_last = np.ones(len(rows), dtype=bool)
    same = (rows["listing"][1:] == rows["listing"][:-1]) & (
        rows["start_ns"][1:] == rows["start_ns"][:-1]
    )
    is_last[:-1] = ~same
    result: np.ndarray = rows[is_last]
    return result


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True)
