"""SmartAPI's binary market data as columns (`broker_protocols.md` 2.8). Pure.

One packet a message, little-endian; mode byte and length together tell the kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from adapters.packets import (
    ABSENT,
    LEVEL_DTYPE,
    MILLISECOND_NS,
    PACKET_DTYPE,
    SECOND_NS,
    UNKNOWN_ROW,
    Batch,
    PacketKind,
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

BROKER = "smartapi"
SIZES = {1: 51, 2: 123, 3: 379, 4: 443}  # by mode
KINDS = {1: PacketKind.LTP, 2: PacketKind.QUOTE, 3: PacketKind.FULL, 4: PacketKind.DEPTH20}
EXCHANGES = {1: "NSE", 2: "NFO", 3: "BSE", 4: "BFO", 5: "MCX", 7: "NCDEX", 13: "CDS"}
EXCHANGE_TYPES = {name: number for number, name in EXCHANGES.items()} | {
    "NSE_INDEX": 1, "BSE_INDEX": 3, "MCX_INDEX": 5,
}  # fmt: skip
_SIZE_OF_MODE = np.full(256, -1)
_SIZE_OF_MODE[list(SIZES)] = list(SIZES.values())
DIVISORS = np.full(256, 100, np.int64)
DIVISORS[13] = 10_000_000
TOKEN_DIGITS_MAX = 18  # what 64 bits hold whatever the digits
EXACT_MAX = 2**53  # whole floats beyond it may have lost their last digit
BUY, SELL = 1, 0

_HEAD = [("mode", "u1"), ("exchange", "u1"), ("token", "u1", (25,))]
_BEST_WIRE = np.dtype([("flag", "<u2"), ("quantity", "<i8"), ("price", "<i8"), ("orders", "<u2")])
_LEVEL_WIRE = np.dtype([("quantity", "<i4"), ("price", "<i4"), ("orders", "<i2")])
# After the token every field but the depth is a word of 8 bytes, in our order from last_price on.
_WIRE = {
    1: np.dtype([*_HEAD, ("times", "<i8", (2,)), ("values", "<i8", (1,))]),
    2: np.dtype([*_HEAD, ("times", "<i8", (2,)), ("values", "<i8", (10,))]),
    3: np.dtype(
        [
            *_HEAD,
            ("times", "<i8", (2,)),
            ("values", "<i8", (12,)),
            ("oi_change", "V8"),  # not to be trusted
            ("best", f"V{10 * _BEST_WIRE.itemsize}"),
            ("limits", "<i8", (4,)),
        ]
    ),
    4: np.dtype([*_HEAD, ("times", "<i8", (2,)), ("levels", _LEVEL_WIRE, (2, 20))]),
}
_FIRST, _LIMITS, _DEPTH = word_of("last_price"), word_of("upper_circuit"), word_of("bids")
_QUOTE, _SNAP_QUOTE, _DEPTH20 = 2, 3, 4
_BUY_QUANTITY = word_of("buy_qty")
_TOTALS = slice(_BUY_QUANTITY - _FIRST, _BUY_QUANTITY - _FIRST + 2)
_USUAL_FLAGS = np.repeat(np.array([BUY, SELL], np.uint16), 5)


_ONE, _ZERO = np.uint64(1), np.uint64(ord("0"))
_ONES, _SIXES, _THREES, _TOP_BITS, _HIGH = (
    np.uint64(0x0101010101010101 * byte) for byte in (0x01, 0x06, 0x33, 0x80, 0xF0)
)
_JOINS = [  # of one digit, two, four: what to keep, times ten to that power and one, how far
    (np.uint64(keep), np.uint64((10**digits << 8 * digits) + 1), np.uint64(8 * digits))
    for keep, digits in (
        (0x0F0F0F0F0F0F0F0F, 1), (0x00FF00FF00FF00FF, 2), (0x0000FFFF0000FFFF, 4),
    )
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Packets of one mode as the wire has them: their places among all, and their tokens."""

    mode: int
    places: np.ndarray
    wire: np.ndarray
    tokens: np.ndarray


def token_table(listings: Iterable[Listing]) -> TokenTable:
    """Rows by exchange type and token; listings of an exchange that the feed does not carry are
    left out."""
    rows = [
        (EXCHANGE_TYPES[listing.exchange], int(listing.token), listing.listing_id)
        for listing in listings
        if listing.exchange in EXCHANGE_TYPES
    ]
    return TokenTable(*np.array(rows, np.int64).reshape(-1, 3).T)


def decode(
    messages: Sequence[bytes], tokens: TokenTable | None = None, received_ns: int = ABSENT
) -> Batch:
    """The packets of these binary messages. What cannot be used is skipped and counted:
    `unknown_mode`, `bad_length`, `short_packet`, `bad_token`."""
    tally = Tally(BROKER)
    parts, levels = [], []
    groups = _grouped(messages, tally)
    for group in groups:
        packets = _packets(group, tally)
        if group.mode == _SNAP_QUOTE:
            _fill_best(packets, np.ascontiguousarray(group.wire["best"]), tally)
        elif group.mode == _DEPTH20:
            levels.append(_levels(group.wire["levels"], group.places))
        parts.append((group.places, packets))
    packets = in_wire_order(sum(len(group.places) for group in groups), parts)
    packets["received_ns"] = received_ns
    if tokens is not None:
        packets["row"] = tokens.rows_of(packets["segment"], packets["token"])
    return tally.batch(packets, np.concatenate(levels) if levels else None)


def _grouped(messages: Sequence[bytes], tally: Tally) -> list[Group]:
    """The usable packets by mode, with places counted among them."""
    stacked = stack(messages)
    modes = np.zeros(len(messages), np.uint8)
    if stacked.lengths.all():
        modes = stacked.wire[stacked.starts]
    else:
        held = stacked.lengths.nonzero()[0]
        modes[held] = stacked.wire[stacked.starts[held]]
    fits = stacked.lengths == _SIZE_OF_MODE[modes]
    all_fit = bool(fits.all())
    if not all_fit:
        for place in np.flatnonzero(~fits).tolist():
            _refuse(messages[place], tally)
    groups = []
    for mode in np.bincount(modes[fits]).nonzero()[0].tolist():
        places = (fits & (modes == mode)).nonzero()[0]
        wire = windows(stacked.wire, stacked.starts[places], _WIRE[mode])
        groups.append(Group(mode, places, wire, _tokens(wire["token"])))
    if all_fit and all(group.tokens.min() >= 0 for group in groups):
        return groups
    return _ranked(groups, messages, tally)


def _refuse(message: bytes, tally: Tally) -> None:
    mode = message[0] if message else None
    size = SIZES.get(mode) if mode is not None else None
    if size is None:
        rule = f"mode {mode}; those known are {', '.join(map(str, SIZES))}"
        tally.refuse("unknown_mode", rule, message)
    else:
        reason = "short_packet" if len(message) < size else "bad_length"
        tally.refuse(reason, f"a packet of mode {mode} has {size} bytes", message)


def _ranked(groups: list[Group], messages: Sequence[bytes], tally: Tally) -> list[Group]:
    """The groups without bad tokens, and with places counted among what is left."""
    used = np.zeros(len(messages), bool)
    for group in groups:
        for bad in group.places[group.tokens < 0].tolist():
            rule = "a token is a number without leading zeros that ends in a zero byte"
            tally.refuse("bad_token", rule, messages[bad])
        used[group.places[group.tokens >= 0]] = True
    rank = np.cumsum(used) - 1
    return [
        Group(group.mode, rank[group.places[good]], group.wire[good], group.tokens[good])
        for group in groups
        if (good := group.tokens >= 0).any()
    ]


def _packets(group: Group, tally: Tally) -> np.ndarray:
    """Everything but the depth."""
    mode, wire = group.mode, group.wire
    packets = np.empty(len(wire), PACKET_DTYPE)
    rows = words(packets)
    if mode == _SNAP_QUOTE:
        for name in ("oi_high", "oi_low", "prev_oi", "last_trade_raw"):
            packets[name] = ABSENT
    else:
        rows[:] = ABSENT
    packets["row"], packets["kind"], packets["segment"] = UNKNOWN_ROW, KINDS[mode], wire["exchange"]
    packets["token"] = group.tokens
    packets["divisor"] = DIVISORS[wire["exchange"]]
    packets["exchange_ns"] = times_ns(wire["times"][:, 1], MILLISECOND_NS, tally)
    if mode != _DEPTH20:
        packets["sequence"] = wire["times"][:, 0]
        values = wire["values"]
        rows[:, _FIRST : _FIRST + values.shape[1]] = values
    if mode in (_QUOTE, _SNAP_QUOTE):
        floats = np.ascontiguousarray(values[:, _TOTALS]).view("<f8")
        rows[:, _BUY_QUANTITY : _BUY_QUANTITY + 2] = _whole(floats, tally)
    if mode == _SNAP_QUOTE:
        packets["last_trade_ns"] = times_ns(packets["last_trade_ns"], SECOND_NS, tally)
        rows[:, _LIMITS : _LIMITS + 4] = wire["limits"]
    return packets


@np.errstate(invalid="ignore")  # a NaN is told by its absence
def _whole(floats: np.ndarray, tally: Tally) -> np.ndarray:
    """Quantities that the wire has as floats; one that is no whole number is left out."""
    whole = floats.astype(np.int64)
    good = whole == floats
    if good.all() and whole.min() >= -EXACT_MAX and whole.max() <= EXACT_MAX:
        return whole
    good &= np.abs(floats) <= EXACT_MAX
    tally.doubt("bad_quantity", np.count_nonzero(~good))
    return np.where(good, whole, ABSENT)


def _tokens(text: np.ndarray) -> np.ndarray:
    """(n, 25) ASCII digits that end at the first NUL as numbers; -1 where it is anything else, or
    starts with a zero, since `07` and `7` are two tokens. Eight digits at a time, in one word."""
    word = np.ascontiguousarray(text[:, :8]).view("<u8").reshape(-1)
    ends = (word - _ONES) & ~word & _TOP_BITS  # the lowest bit set marks the first NUL
    mask = ((ends & (~ends + _ONE)) >> np.uint64(7)) - _ONE
    digits = word & mask
    good = (digits & _HIGH | (((digits + _SIXES) & _HIGH) >> np.uint64(4))) == (_THREES & mask)
    good &= (digits & np.uint64(0xFF) != _ZERO) | (mask == np.uint64(0xFF))
    good &= mask != 0
    value = digits << (np.uint64(64) - np.bitwise_count(mask))
    for keep, factor, bits in _JOINS:
        value = ((value & keep) * factor) >> bits
    numbers = value.astype(np.int64)
    longer = (ends == 0) & (text[:, 8] != 0)
    good &= ~longer
    if not good.all():
        numbers[~good] = -1
        for place in np.flatnonzero(longer).tolist():
            numbers[place] = _long_token(text[place].tobytes())
    return numbers


def _long_token(text: bytes) -> int:
    digits, end, _ = text.partition(b"\0")
    is_number = digits.isdigit() and digits[0] != ord("0") and len(digits) <= TOKEN_DIGITS_MAX
    return int(digits) if end and is_number else -1


def _fill_best(packets: np.ndarray, best: np.ndarray, tally: Tally) -> None:
    """Five bids and five offers by their flag, not by their place."""
    count = len(packets)
    flat = best.reshape(-1).view(_BEST_WIRE)
    sorted_rows = np.empty((count * 10, 3), np.int64)
    sorted_rows[:, 0], sorted_rows[:, 1] = flat["quantity"], flat["price"]
    sorted_rows[:, 2] = flat["orders"]
    levels = sorted_rows.reshape(count, 10, 3)
    flags = flat["flag"].reshape(count, 10)
    if not (flags == _USUAL_FLAGS).all():
        levels = _by_flag(levels, flags, tally)
    words(packets)[:, _DEPTH : _DEPTH + 30] = levels.reshape(count, 30)


def _by_flag(levels: np.ndarray, flags: np.ndarray, tally: Tally) -> np.ndarray:
    """(n, 10, 3) with bids in the first five places and offers in the last five; a side keeps its
    first five, and a place without a level is ABSENT."""
    sides = np.where(flags == BUY, 0, np.where(flags == SELL, 1, 2))
    bids, asks = (np.count_nonzero(sides == side, axis=1) for side in (0, 1))
    tally.doubt("side_flag", np.count_nonzero(sides == 2))
    tally.doubt("uneven_depth", np.count_nonzero((bids != 5) | (asks != 5)))
    order = np.argsort(sides, axis=1, kind="stable")
    places = np.arange(5)
    wanted = np.concatenate([np.tile(places, (len(flags), 1)), bids[:, None] + places], axis=1)
    there = np.concatenate([places < bids[:, None], places < asks[:, None]], axis=1)
    chosen = np.take_along_axis(order, np.minimum(wanted, 9), axis=1)
    found = np.take_along_axis(levels, chosen[:, :, None], axis=1)
    return np.where(there[:, :, None], found, ABSENT)


def _levels(wire: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n, 2, 20) levels as rows: bids, then offers."""
    count = len(wire)
    levels = np.empty((count, 2, 20), LEVEL_DTYPE)
    levels["packet"] = places[:, None, None]
    levels["is_ask"] = np.array([False, True])[:, None]
    levels["level"] = np.arange(20)
    for name in ("price", "quantity", "orders"):
        levels[name] = wire[name]
    return levels.reshape(-1)
