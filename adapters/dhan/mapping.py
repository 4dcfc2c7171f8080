"""Dhan's binary market data as columns (`broker_protocols.md` 3.5). Pure: bytes in, columns out.

A message holds one packet or a few, little-endian; a code tells the kind. The sockets for deeper
books have another header: adapters.dhan.depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from adapters.dhan.prices import USUAL_DECIMALS, scaled, usual
from adapters.packets import (
    ABSENT,
    PACKET_DTYPE,
    SECOND_NS,
    UNKNOWN_ROW,
    Batch,
    Notice,
    PacketKind,
    Stack,
    Tally,
    in_wire_order,
    stack,
    times_ns,
    windows,
    word_of,
    words,
)
from adapters.token_table import TokenTable
from domain.instruments import Listing

BROKER = "dhan"
HEADER_BYTES = 8
INDEX_CODE, STATUS_CODE, FULL_CODE, DISCONNECT_CODE = 1, 7, 8, 50
EXCHANGES = {1: "NSE", 2: "NFO", 3: "CDS", 4: "BSE", 5: "MCX", 7: "BCD", 8: "BFO"}
INDEX_SEGMENT = 0
SEGMENTS = {name: number for number, name in EXCHANGES.items()} | {
    "NSE_INDEX": INDEX_SEGMENT, "BSE_INDEX": INDEX_SEGMENT, "MCX_INDEX": INDEX_SEGMENT,
}  # fmt: skip
IST_SHIFT_S = 19_800
SHIFT_WITHIN_S = 60

_HEAD = [("code", "u1"), ("length", "<u2"), ("segment", "u1"), ("token", "<i4")]
_TRADE = [
    ("last_price", "<f4"), ("last_qty", "<u2"), ("last_trade", "<u4"), ("avg_price", "<f4"),
    ("volume", "<u4"), ("sell_qty", "<u4"), ("buy_qty", "<u4"),
]  # fmt: skip
_DAY = [("open", "<f4"), ("close", "<f4"), ("high", "<f4"), ("low", "<f4")]
_OI = [("oi", "<u4"), ("oi_high", "<u4"), ("oi_low", "<u4")]
_BOOK = [("book", "<u4", (5, 5))]  # bid and ask quantity, both orders, bid and ask price
WIRE = {
    2: np.dtype([*_HEAD, ("last_price", "<f4"), ("last_trade", "<u4")]),
    3: np.dtype([*_HEAD, ("last_price", "<f4"), *_BOOK]),
    4: np.dtype([*_HEAD, *_TRADE, *_DAY]),
    5: np.dtype([*_HEAD, ("oi", "<u4")]),
    6: np.dtype([*_HEAD, ("close", "<f4"), ("prev_oi", "<u4")]),
    STATUS_CODE: np.dtype(_HEAD),
    8: np.dtype([*_HEAD, *_TRADE, *_OI, *_DAY, *_BOOK]),
    DISCONNECT_CODE: np.dtype([*_HEAD, ("reason", "<i2")]),
}
KINDS = {
    2: PacketKind.LTP,
    3: PacketKind.MARKET_DEPTH,
    4: PacketKind.QUOTE,
    5: PacketKind.OPEN_INTEREST,
    6: PacketKind.PREVIOUS_CLOSE,
    8: PacketKind.FULL,
}
_SIZES = np.full(256, -1)
_SIZES[list(WIRE)] = [dtype.itemsize for dtype in WIRE.values()]
_PRICES = {
    code: [name for name in dtype.names or () if name != "book" and dtype[name].kind == "f"]
    for code, dtype in WIRE.items()
}
_COUNTS = {
    code: [name for name in dtype.names or () if name in PACKET_DTYPE.names and name not in
           ("segment", "token", *_PRICES[code])]
    for code, dtype in WIRE.items()
}  # fmt: skip
_BOOK_CODES = [code for code, dtype in WIRE.items() if "book" in (dtype.names or ())]
_ORDERS_WORD = 4  # of 16 bits, in a row of the book
_BIDS, _ASKS = word_of("bids"), word_of("asks")
_AFTER_BOOK = word_of("upper_circuit")


def token_table(listings: Iterable[Listing]) -> TokenTable:
    """Rows by segment and security id, which is unique in its segment only; listings of an
    exchange that the feed does not carry are left out."""
    rows = [
        (SEGMENTS[listing.exchange], int(listing.token), listing.listing_id)
        for listing in listings
        if listing.exchange in SEGMENTS
    ]
    return TokenTable(*np.array(rows, np.int64).reshape(-1, 3).T)


def shift_seen(packets: np.ndarray, received_ns: int) -> bool | None:
    """Whether these packets prove that last trade times are Indian wall time taken for UTC: True
    when one lies within 60 s of 5 h 30 min ahead of `received_ns`, where no honest time can; False
    when one lies within 60 s of it, which an old shifted time may do, too; None when none tells."""
    raw = packets["last_trade_raw"]
    ahead = raw[raw != ABSENT] - received_ns // SECOND_NS
    if (np.abs(ahead - IST_SHIFT_S) <= SHIFT_WITHIN_S).any():
        return True
    return False if (np.abs(ahead) <= SHIFT_WITHIN_S).any() else None


def decode(
    messages: Sequence[bytes],
    tokens: TokenTable | None = None,
    received_ns: int = ABSENT,
    is_shifted: bool = False,
) -> Batch:
    """Every complete packet of these binary messages. What cannot be used is skipped and counted:
    `short_packet`, `truncated`, `bad_length`, `unknown_code`, `index_packet`. `is_shifted` says
    that last trade times are 5 h 30 min ahead (`shift_seen`)."""
    tally = Tally(BROKER)
    stacked = stack(messages)
    at = _told(stacked.wire, _starts(stacked, messages, tally), tally)
    codes = stacked.wire[at]
    parts = []
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        places = np.flatnonzero(codes == code)
        wire = windows(stacked.wire, at[places], WIRE[code])
        parts.append((places, _packets(wire, code, IST_SHIFT_S * is_shifted, tally)))
    packets = in_wire_order(len(at), parts)
    packets["received_ns"] = received_ns
    if tokens is not None:
        packets["row"] = tokens.rows_of(packets["segment"], packets["token"])
    return tally.batch(packets)


def _starts(stacked: Stack, messages: Sequence[bytes], tally: Tally) -> np.ndarray:
    """Where usable packets begin. A message that is one packet costs no loop."""
    whole = np.flatnonzero(stacked.lengths >= HEADER_BYTES)
    at = stacked.starts[whole]
    sizes = _SIZES[stacked.wire[at]]
    declared = stacked.wire[at + 1] | stacked.wire[at + 2].astype(np.intp) << 8
    plain = sizes == stacked.lengths[whole]
    plain &= (declared == sizes) | (declared < HEADER_BYTES)
    if len(whole) == len(messages) and plain.all():
        return at
    others = np.setdiff1d(np.arange(len(messages)), whole[plain])
    walked = [
        stacked.starts[place] + offset
        for place in others.tolist()
        for offset in _walk(messages[place], tally)
    ]
    return np.sort(np.concatenate([at[plain], np.array(walked, np.intp)]))


def _walk(message: bytes, tally: Tally) -> list[int]:
    """As `_starts` for one message, packet by packet, with a word for all that is wrong."""
    found, at = [], 0
    while at < len(message):
        left = len(message) - at
        if left < HEADER_BYTES:
            rule = f"{left} bytes where a header has {HEADER_BYTES}"
            tally.refuse("short_packet", rule, message, at)
            break
        code = message[at]
        declared = int.from_bytes(message[at + 1 : at + 3], "little")
        size = int(_SIZES[code])
        step = declared if declared >= HEADER_BYTES else size
        if size < 0:
            reason = "index_packet" if code == INDEX_CODE else "unknown_code"
            tally.refuse(reason, f"code {code} has no layout that is published", message, at)
            if step < 0:
                break  # nothing says where the next packet begins
        elif step > left:
            rule = f"a packet of code {code} has {step} bytes, here are {left}"
            tally.refuse("truncated", rule, message, at)
        elif step != size:
            rule = f"a packet of code {code} has {size} bytes and tells {declared}"
            tally.refuse("bad_length", rule, message, at)
        else:
            found.append(at)
        at += step
    return found


def _told(wire: np.ndarray, at: np.ndarray, tally: Tally) -> np.ndarray:
    """The packets that speak of an instrument; the others become notices."""
    codes = wire[at]
    apart = (codes == STATUS_CODE) | (codes == DISCONNECT_CODE)
    if not apart.any():
        return at
    for start in at[apart].tolist():
        segment = int(wire[start + 3])
        if wire[start] == STATUS_CODE:
            tally.notices.append(Notice("market_status", segment))
        else:
            reason = windows(wire, np.array([start]), WIRE[DISCONNECT_CODE])["reason"][0]
            tally.notices.append(Notice("disconnect", segment, int(reason)))
    return at[~apart]


def _packets(wire: np.ndarray, code: int, shift_s: int, tally: Tally) -> np.ndarray:
    """Packets of one code."""
    packets = np.empty(len(wire), PACKET_DTYPE)
    rows = words(packets)
    if code == FULL_CODE:
        rows[:, _AFTER_BOOK:] = ABSENT
        packets["exchange_ns"] = ABSENT
    else:
        rows[:] = ABSENT
    packets["row"], packets["kind"], packets["segment"] = UNKNOWN_ROW, KINDS[code], wire["segment"]
    packets["token"] = wire["token"]
    for name in _COUNTS[code]:
        packets[name] = wire[name]
    if "last_trade" in wire.dtype.names:
        raw = wire["last_trade"].astype(np.int64)
        packets["last_trade_raw"] = raw
        packets["last_trade_ns"] = times_ns(
            np.where(raw, raw - shift_s, 0) if shift_s else raw, SECOND_NS, tally
        )
    _fill_prices(packets, wire, code, tally)
    return packets


def _fill_prices(packets: np.ndarray, wire: np.ndarray, code: int, tally: Tally) -> None:
    """Prices, the divisor, and the book with its quantities and orders."""
    count, names, has_book = len(wire), _PRICES[code], code in _BOOK_CODES
    # First the single prices, a column each, then the book's bids and asks, five rows a packet.
    prices = np.empty(count * (len(names) + 10 * has_book), np.float32)
    singles = prices[: count * len(names)].reshape(len(names), count)
    for column, name in enumerate(names):
        singles[column] = wire[name]
    if has_book:
        book = np.ascontiguousarray(wire["book"]).reshape(-1, 5)
        deep = prices[singles.size :].reshape(2, len(book))
        deep[:] = book.view("<f4")[:, 3:].T
    whole = usual(prices)
    packets["divisor"] = 10**USUAL_DECIMALS
    if whole is None:
        whole, packets["divisor"] = _exactly(prices, len(names), count, tally)
    for column, name in enumerate(names):
        packets[name] = whole[column * count : (column + 1) * count]
    if has_book:
        _fill_book(words(packets), book, whole[singles.size :].reshape(2, len(book)))


def _fill_book(rows: np.ndarray, book: np.ndarray, prices: np.ndarray) -> None:
    """Bids and asks of (5 n, 5) rows of the wire and their (2, 5 n) whole prices."""
    for side, first in enumerate((_BIDS, _ASKS)):
        levels = np.empty((len(book), 3), np.int64)
        levels[:, 0], levels[:, 1] = book[:, side], prices[side]
        levels[:, 2] = book.view("<u2")[:, _ORDERS_WORD + side]
        rows[:, first : first + 15] = levels.reshape(len(rows), 15)


def _exactly(
    prices: np.ndarray, singles: int, count: int, tally: Tally
) -> tuple[np.ndarray, np.ndarray]:
    """`scaled` of the prices of `count` packets that lie as `_fill_prices` laid them; what is no
    price is counted."""
    book = np.split(prices[singles * count :], 2)
    columns = [prices[: singles * count].reshape(singles, count).T]
    columns += [side.reshape(count, 5) for side in book if side.size]
    numbers, divisors, bad = scaled(np.concatenate(columns, axis=1))
    tally.doubt("bad_price", bad)
    parts = [numbers[:, :singles].T, *np.split(numbers[:, singles:], 2, axis=1)]
    return np.concatenate([part.ravel() for part in parts]), divisors
