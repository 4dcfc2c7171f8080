"""Kite's packets: against the official parser, by bytes worked out by hand, and through garbage."""

from __future__ import annotations

import random
import struct
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.decode import rows
from adapters.kite.mapping import decode, token_table
from adapters.packets import ABSENT, UNKNOWN_ROW, PacketKind
from domain.instruments import Kind, Listing
from tests.kit.official_parsers import kite_ticker
from tests.kit.wire_frames import KITE_LENGTHS, kite_message, kite_packet

PRICES = {"last_price": "last_price", "avg_price": "average_traded_price"}
COUNTS = {
    "last_qty": "last_traded_quantity", "volume": "volume_traded", "buy_qty": "total_buy_quantity",
    "sell_qty": "total_sell_quantity", "oi": "oi", "oi_high": "oi_day_high", "oi_low": "oi_day_low",
}  # fmt: skip
FULL_WORDS = [
    408065, 159025, 75, 158950, 1_234_567, 90_000, 80_000, 158000, 160000, 157500, 158500,
    1_700_000_000, 11, 22, 10, 1_700_000_001,
]  # fmt: skip


def hand_made_full() -> bytes:
    """INFY of the NSE at 1590.25, with a book of 1590.20 down and 1590.30 up."""
    packet = struct.pack(">16I", *FULL_WORDS)
    for level in range(5):
        packet += struct.pack(">IIHH", 100 + level, 159020 - 5 * level, 3 + level, 0xFFFF)
    for level in range(5):
        packet += struct.pack(">IIHH", 200 + level, 159030 + 5 * level, 7 + level, 0xABCD)
    return packet


def same(price: Decimal | None, theirs: float | None) -> bool:
    return (None if price is None else float(price)) == theirs


def compare(ours: dict, theirs: dict) -> None:
    """Every field that the official parser gives, and that we give no more than it."""
    assert ours["token"] == theirs["instrument_token"]
    assert ours["mode"] == theirs["mode"].upper()
    for name, official in PRICES.items():
        assert same(ours[name], theirs.get(official)), name
    for name in ("open", "high", "low", "close"):
        assert same(ours[name], theirs.get("ohlc", {}).get(name)), name
    for name, official in COUNTS.items():
        assert ours[name] == theirs.get(official), name
    for name, official in (("last_trade_ts", "last_trade_time"), ("exchange_ts",) * 2):
        moment = theirs.get("exchange_timestamp" if name == official else official)
        told = None if moment is None or not moment.timestamp() else moment.timestamp()
        assert (ours[name] and np.datetime64(ours[name][:19]).astype(int)) == told, name
    depth = theirs.get("depth", {"buy": None, "sell": None})
    for name, side in (("bids", "buy"), ("asks", "sell")):
        levels = depth[side] and [
            {"price": row["price"], "qty": row["quantity"], "orders": row["orders"]}
            for row in depth[side]
        ]
        mine = ours[name] and [row | {"price": float(row["price"])} for row in ours[name]]
        assert mine == levels, name


@pytest.mark.parametrize(
    "lengths", [*((length,) for length in KITE_LENGTHS), KITE_LENGTHS], ids=str
)
def test_every_field_is_that_of_the_official_parser(lengths: tuple[int, ...]) -> None:
    rng = random.Random(11)
    for _ in range(40):
        message = kite_message([kite_packet(rng, length) for length in rng.choices(lengths, k=60)])
        batch = decode([message])
        assert batch.refused == {}
        official = kite_ticker()._parse_binary(message)
        assert len(batch.packets) == len(official) == 60
        for ours, theirs in zip(rows("kite", batch), official, strict=True):
            compare(ours, theirs)


def test_a_full_packet_worked_out_by_hand() -> None:
    (row,) = rows("kite", decode([kite_message([hand_made_full()])]))
    assert row["exchange"] == "NSE"
    assert row["kind"] == "full"
    assert row["last_price"] == Decimal("1590.25")
    assert row["avg_price"] == Decimal("1589.5")
    assert [row[name] for name in ("open", "high", "low", "close")] == [1580, 1600, 1575, 1585]
    assert [row[name] for name in ("oi", "oi_high", "oi_low")] == [11, 22, 10]
    assert row["last_trade_ts"] == "2023-11-14T22:13:20+00:00"
    assert row["exchange_ts"] == "2023-11-14T22:13:21+00:00"
    assert row["bids"][4] == {"price": 1590, "qty": 104, "orders": 7}
    assert row["asks"][0] == {"price": Decimal("1590.3"), "qty": 200, "orders": 7}
    assert row["upper_circuit"] is None


def test_an_index_has_high_and_low_before_open() -> None:
    packet = struct.pack(">8I", 256265, 2_435_035, 2_450_000, 2_400_000, 2_410_000, 2_420_000, 7, 0)
    (row,) = rows("kite", decode([kite_message([packet])]))
    assert [row[name] for name in ("open", "high", "low", "close")] == [24100, 24500, 24000, 24200]
    assert row["last_price"] == Decimal("24350.35")
    assert (row["exchange_ts"], row["volume"], row["exchange"]) == (None, None, None)


@pytest.mark.parametrize(
    ("segment", "price"),
    [(3, "0.0834575"), (6, "83.4575"), (12, "83.4575"), (1, "8345.75"), (7, "8345.75")],
)
def test_the_divisor_is_that_of_the_segment(segment: int, price: str) -> None:
    packet = struct.pack(">II", 77 << 8 | segment, 834_575)
    (row,) = rows("kite", decode([kite_message([packet])]))
    assert row["last_price"] == Decimal(price)


def test_a_price_with_the_highest_bit_is_negative_and_told() -> None:
    words = [*FULL_WORDS]
    words[1], words[4] = 2**32 - 3_763, 2**32 - 1  # crude oil settled at -37.63
    packet = struct.pack(">16I", *words) + hand_made_full()[64:]
    batch = decode([kite_message([packet])])
    (row,) = rows("kite", batch)
    assert row["last_price"] == Decimal("-37.63")
    assert row["volume"] == 2**32 - 1
    assert batch.doubted == {"negative_price": 1}


def test_many_messages_make_one_batch_in_the_order_of_the_wire() -> None:
    rng = random.Random(3)
    packets = [kite_packet(rng, length) for length in rng.choices(KITE_LENGTHS, k=300)]
    one = decode([kite_message(packets)])
    many = decode([kite_message(packets[:100]), b"\0", kite_message(packets[100:])], None, 5)
    assert (many.packets["received_ns"] == 5).all()
    many.packets["received_ns"] = ABSENT
    assert many.packets.tobytes() == one.packets.tobytes()


def test_a_heartbeat_and_an_empty_message_hold_nothing() -> None:
    batch = decode([b"\0", b"", b"\0\0"])
    assert len(batch.packets) == 0
    assert batch.refused == {}
    assert len(decode([]).packets) == 0


@pytest.mark.parametrize("cut", range(3, 3 * 186 + 2))
def test_a_message_cut_short_gives_the_packets_before_the_cut(cut: int) -> None:
    message = kite_message([hand_made_full()] * 3)
    batch = decode([message[:cut]])
    assert len(batch.packets) == (cut - 2) // 186
    assert batch.refused == {"truncated": 1}
    assert f"frame of {cut} bytes" in batch.samples[0]


@pytest.mark.parametrize("length", [0, 1, 7, 45, 183, 185, 256 + 8, 1_000])
def test_an_unknown_length_is_skipped_by_what_it_declares(length: int) -> None:
    batch = decode([kite_message([hand_made_full(), bytes(length), hand_made_full()])])
    assert len(batch.packets) == 2
    assert batch.refused == {"unknown_length": 1}


def test_a_message_whose_size_is_by_chance_that_of_one_kind_is_read_by_its_lengths() -> None:
    packets = [kite_packet(random.Random(1), 28), bytes(24), kite_packet(random.Random(2), 32)]
    batch = decode([kite_message(packets)])
    assert batch.packets["kind"].tolist() == [PacketKind.INDEX_QUOTE, PacketKind.INDEX_FULL]
    assert batch.refused == {"unknown_length": 1}


def test_bytes_after_the_last_packet_are_counted() -> None:
    batch = decode([kite_message([hand_made_full()]) + b"\1\2"])
    assert len(batch.packets) == 1
    assert batch.refused == {"trailing_bytes": 1}


def test_a_bad_message_does_not_disturb_its_neighbours() -> None:
    good = kite_message([hand_made_full()])
    batch = decode([good, b"\0\1\0\x2d", good])
    assert batch.packets["token"].tolist() == [408065, 408065]
    assert batch.refused == {"truncated": 1}


@given(st.lists(st.binary(max_size=400), max_size=6))
def test_garbage_never_raises(messages: list[bytes]) -> None:
    batch = decode(messages)
    assert set(batch.packets["kind"].tolist()) <= {kind.value for kind in PacketKind}
    assert len(list(rows("kite", batch))) == len(batch.packets)


@given(st.integers(0, 2**32), st.integers(0, 1_500), st.integers(0, 255))
def test_a_broken_byte_costs_no_packet_before_it(seed: int, place: int, value: int) -> None:
    rng = random.Random(seed)
    packets = [kite_packet(rng, length) for length in rng.choices(KITE_LENGTHS, k=12)]
    message = bytearray(kite_message(packets))
    place = 2 + place % (len(message) - 2)
    message[place] = value
    ends = np.cumsum([2, *(2 + len(packet) for packet in packets)])
    whole = int(np.count_nonzero(ends[1:] <= place))
    batch = decode([bytes(message)])
    good = decode([kite_message(packets)])
    assert batch.packets[:whole].tobytes() == good.packets[:whole].tobytes()


def test_packets_carry_the_row_of_their_token() -> None:
    tokens = {408065: 7, 256265: 3, 5 << 8 | 2: 9}
    listings = [
        Listing(row, "NSE", f"S{row}", "S", Kind.EQUITY, 1, Decimal("0.05"), 0, token=str(token))
        for token, row in tokens.items()
    ]
    wanted = [408065, 5 << 8 | 2, 5 << 8 | 1, 256265]
    message = kite_message([struct.pack(">II", token, 100) for token in wanted])
    assert decode([message], token_table(listings)).packets["row"].tolist() == [
        7, 9, UNKNOWN_ROW, 3,
    ]  # fmt: skip
