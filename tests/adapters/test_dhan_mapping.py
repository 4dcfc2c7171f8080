"""Dhan's packets: against the official parser, by hand-made bytes, and through garbage."""

from __future__ import annotations

import random
import struct
from datetime import datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.decode import rows
from adapters.dhan.depth import decode_depth
from adapters.dhan.mapping import decode, shift_seen, token_table
from adapters.dhan.prices import scaled
from adapters.packets import ABSENT, UNKNOWN_ROW, Notice, PacketKind
from domain.instruments import Kind, Listing
from tests.kit.official_parsers import dhan_depth, dhan_feed
from tests.kit.wire_frames import dhan_packet, dhan_side

PRICES = {
    "last_price": "LTP", "avg_price": "avg_price", "open": "open", "high": "high", "low": "low",
}  # fmt: skip
COUNTS = {
    "last_qty": "LTQ", "volume": "volume", "buy_qty": "total_buy_quantity",
    "sell_qty": "total_sell_quantity", "oi": "OI", "oi_high": "oi_day_high",
    "oi_low": "oi_day_low", "prev_oi": "prev_OI",
}  # fmt: skip
NEVER = ("upper_circuit", "lower_circuit", "high_52w", "low_52w", "exchange_ts", "sequence")
MODES = {2: "LTP", 4: "QUOTE", 8: "FULL"}
TRADE_S = 1_700_000_000


def same(price: Decimal | None, theirs: str | float | None) -> bool:
    if price is None or theirs is None:
        return price is theirs
    return f"{price:.2f}" == (theirs if isinstance(theirs, str) else f"{theirs:.2f}")


def compare(ours: dict, theirs: dict, code: int) -> None:
    """Every field that the official parser gives, and that we give no more than it."""
    assert (ours["token"], ours["segment"]) == (theirs["security_id"], theirs["exchange_segment"])
    assert ours["mode"] == MODES.get(code)
    for name, official in PRICES.items():
        assert same(ours[name], theirs.get(official)), name
    assert same(ours["close"], theirs.get("close", theirs.get("prev_close")))
    for name, official in COUNTS.items():
        assert ours[name] == theirs.get(official), name
    clock = ours["last_trade_ts"] and f"{datetime.fromisoformat(ours['last_trade_ts']):%H:%M:%S}"
    assert clock == theirs.get("LTT")
    depth = theirs.get("depth")
    for name, side in (("bids", "bid"), ("asks", "ask")):
        mine = ours[name] and [row | {"price": f"{row['price']:.2f}"} for row in ours[name]]
        levels = depth and [
            {
                "price": row[f"{side}_price"],
                "qty": row[f"{side}_quantity"],
                "orders": row[f"{side}_orders"],
            }
            for row in depth
        ]
        assert mine == levels, name
    assert [ours[name] for name in NEVER] == [None] * len(NEVER)


@pytest.mark.parametrize("codes", [(2,), (3,), (4,), (5,), (6,), (8,), (2, 3, 4, 5, 6, 8)], ids=str)
@pytest.mark.parametrize("a_message", [1, 7])
def test_every_field_is_that_of_the_official_parser(codes: tuple[int, ...], a_message: int) -> None:
    rng = random.Random(13)
    for _ in range(4):
        packets = [dhan_packet(rng, code) for code in rng.choices(codes, k=350)]
        whole = [b"".join(packets[at : at + a_message]) for at in range(0, 350, a_message)]
        batch = decode(whole)
        assert (batch.refused, batch.doubted) == ({}, {})
        assert len(batch.packets) == 350
        for ours, packet in zip(rows("dhan", batch), packets, strict=True):
            compare(ours, dhan_feed().process_data(packet), packet[0])


def quote(price: float = 24350.35, traded_s: int = TRADE_S, length: int = 50) -> bytes:
    """NIFTY's future; sell before buy, close before high and low."""
    return struct.pack(
        "<BHBIfHIfIIIffff", 4, length, 2, 35001, price, 75, traded_s, 24300.1, 9, 8, 7,
        24200.0, 24100.0, 24400.0, 24150.5,
    )  # fmt: skip


def test_a_quote_worked_out_by_hand() -> None:
    (row,) = rows("dhan", decode([quote()]))
    assert (row["exchange"], row["token"], row["kind"]) == ("NFO", 35001, "quote")
    assert (row["last_price"], row["avg_price"]) == (Decimal("24350.35"), Decimal("24300.1"))
    assert [row[name] for name in ("volume", "sell_qty", "buy_qty", "last_qty")] == [9, 8, 7, 75]
    assert [row[name] for name in ("open", "close", "high")] == [24200, 24100, 24400]
    assert row["low"] == Decimal("24150.5")
    assert row["last_trade_ts"] == "2023-11-14T22:13:20+00:00"
    assert (row["last_trade_raw"], row["oi"], row["bids"]) == (TRADE_S, None, None)


def test_a_shifted_trade_time_is_put_right_when_the_caller_says_so() -> None:
    (row,) = rows("dhan", decode([quote(traded_s=TRADE_S + 19_800)], is_shifted=True))
    assert row["last_trade_ts"] == "2023-11-14T22:13:20+00:00"
    assert row["last_trade_raw"] == TRADE_S + 19_800
    (row,) = rows("dhan", decode([quote(traded_s=0)], is_shifted=True))
    assert row["last_trade_ts"] is None


@pytest.mark.parametrize(
    ("ages_s", "proof"),
    [
        ((-19_800,), True), ((-19_860,), True), ((-19_861,), None), ((0,), False), ((60,), False),
        ((600,), None), ((5, -19_790), True), ((-19_000,), None),
    ],
)  # fmt: skip
def test_a_fresh_trade_proves_the_shift_or_its_absence(
    ages_s: tuple[int, ...], proof: bool | None
) -> None:
    packets = decode([quote(traded_s=TRADE_S - age) for age in ages_s]).packets
    assert shift_seen(packets, TRADE_S * 10**9 + 999) is proof
    assert shift_seen(decode([dhan_packet(random.Random(1), 5)]).packets, TRADE_S) is None


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("24350.35", "24350.35"), ("0.05", "0.05"), ("83.4575", "83.4575"), ("0", "0"),
        ("-37.63", "-37.63"), ("131071.99", "131071.99"), ("140000.3", "140000.3"),
        ("1000000.1", "1000000.1"), ("16777217", "16777216"), ("85.1234567", "85.12346"),
        ("99999999", None), ("nan", None), ("inf", None), ("1e-30", None),
    ],
)  # fmt: skip
def test_a_price_is_the_shortest_decimal_that_gives_the_same_float(
    price: str, said: str | None
) -> None:
    batch = decode([quote(float(price))])
    (row,) = rows("dhan", batch)
    assert row["last_price"] == (None if said is None else Decimal(said))
    assert row["avg_price"] == Decimal("24300.1")
    assert batch.doubted == ({"bad_price": 1} if said is None else {})


@given(st.floats(width=32, min_value=0.0009765625, max_value=5e7))
def test_a_price_is_what_numpy_prints_for_its_float(price: float) -> None:
    told = Decimal(np.format_float_positional(np.float32(price), unique=True))
    numbers, divisors, bad = scaled(np.array([[price, 1.5]], np.float32))
    if -told.as_tuple().exponent > 10:
        assert (numbers[0, 0], bad) == (ABSENT, 1)
    else:
        assert (Decimal(int(numbers[0, 0])) / int(divisors[0]), bad) == (told, 0)
    assert Decimal(int(numbers[0, 1])) / int(divisors[0]) == Decimal("1.5")


@given(st.integers(1, 13_107_199))
def test_every_price_of_two_decimals_comes_back(hundredths: int) -> None:
    price = np.array([[hundredths / 100]], np.float32)
    numbers, divisors, _ = scaled(price)
    assert (int(numbers[0, 0]), int(divisors[0])) == (hundredths, 100)


def test_a_disconnect_and_a_market_status_are_notices_and_not_packets() -> None:
    leave = struct.pack("<BHBih", 50, 10, 0, 0, 805)
    batch = decode([struct.pack("<BHBi", 7, 8, 1, 0), quote() + leave])
    assert len(batch.packets) == 1
    assert batch.notices == [Notice("market_status", 1), Notice("disconnect", 0, 805)]


def test_an_index_packet_is_counted_and_never_decoded() -> None:
    index = struct.pack("<BHBi", 1, 20, 0, 13) + bytes(12)
    batch = decode([index + quote(), index, quote()])
    assert (len(batch.packets), batch.refused) == (2, {"index_packet": 2})


def test_an_unknown_code_is_skipped_by_its_length_or_ends_the_message() -> None:
    skip = struct.pack("<BHBi", 99, 12, 0, 13) + bytes(4)
    batch = decode([skip + quote(), struct.pack("<BHBi", 99, 0, 0, 13) + quote(), quote()])
    assert (len(batch.packets), batch.refused) == (2, {"unknown_code": 2})


def test_a_length_of_nothing_falls_back_to_that_of_the_code() -> None:
    batch = decode([quote(length=0) + quote(length=7), quote(length=3)])
    assert (len(batch.packets), batch.refused) == (3, {})


def test_a_length_that_is_not_that_of_the_code_is_skipped_by_it() -> None:
    batch = decode([quote(length=54) + bytes(4) + quote(), quote()])
    assert (len(batch.packets), batch.refused) == (2, {"bad_length": 1})
    batch = decode([quote(length=54), quote()])
    assert (len(batch.packets), batch.refused) == (1, {"truncated": 1})


@pytest.mark.parametrize("cut", range(1, 100))
def test_a_message_cut_short_gives_the_packets_before_the_cut(cut: int) -> None:
    batch = decode([(quote() + quote())[:cut], quote()])
    assert len(batch.packets) == 1 + cut // 50
    left = cut % 50
    reason = "short_packet" if left < 8 else "truncated"
    assert batch.refused == ({reason: 1} if left else {})


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_garbage_never_raises(messages: list[bytes]) -> None:
    batch = decode(messages)
    assert len(list(rows("dhan", batch))) == len(batch.packets) + len(batch.notices)
    for kind in (PacketKind.DEPTH20, PacketKind.DEPTH200):
        deep = decode_depth(messages, kind)
        assert len(list(rows("dhan", deep))) == len(deep.packets) + len(deep.notices)


@given(st.sampled_from([2, 3, 4, 5, 6, 8]), st.binary(min_size=160, max_size=160))
def test_random_bytes_in_a_right_frame_never_raise(code: int, noise: bytes) -> None:
    size = {2: 16, 3: 112, 4: 50, 5: 12, 6: 16, 8: 162}[code]
    batch = decode([struct.pack("<BH", code, size) + noise[: size - 3]])
    assert (len(batch.packets), batch.refused) == (1, {})
    assert len(list(rows("dhan", batch))) == 1


@pytest.mark.parametrize("kind", [PacketKind.DEPTH20, PacketKind.DEPTH200])
def test_every_level_of_a_deep_book_is_that_of_the_official_parser(kind: PacketKind) -> None:
    rng, judge = random.Random(14), dhan_depth()
    judge.depth_level = 20 if kind == PacketKind.DEPTH20 else 200
    for _ in range(60):
        count = 20 if kind == PacketKind.DEPTH20 else rng.choice((0, 1, 19, 57, 200))
        told = rng.randrange(2**32) if kind == PacketKind.DEPTH20 else count
        room = 20 if kind == PacketKind.DEPTH20 else rng.choice((count, 200))
        codes = rng.choice(((41, 51), (51, 41)))
        message = b"".join(dhan_side(rng, code, room, told) for code in codes)
        batch = decode_depth([message], kind)
        assert (batch.refused, batch.doubted) == ({}, {})
        left: bytes | None = message
        for row in rows("dhan", batch):
            theirs = judge.process_data(left)
            left = theirs["remaining_data"]
            assert (row["token"], row["segment"]) == (
                theirs["security_id"], theirs["exchange_segment"],
            )  # fmt: skip
            side, other = ("bids", "asks") if theirs["type"] == "Bid" else ("asks", "bids")
            assert [
                (float(level["price"]), level["qty"], level["orders"]) for level in row[side] or []
            ] == [(level["price"], level["quantity"], level["orders"]) for level in theirs["depth"]]
            assert row[other] is None
            assert row["mode"] == kind.name
            assert row["sequence"] == (told if kind == PacketKind.DEPTH20 else None)
        assert left is None


def test_a_deep_book_that_is_cut_short_or_wrong_is_counted_and_skipped() -> None:
    rng = random.Random(15)
    good, kind = dhan_side(rng, 41, 20, 1), PacketKind.DEPTH20
    leave = struct.pack("<hBBiIh", 14, 50, 1, 0, 0, 807)
    batch = decode_depth([good + good[:100], b"\0" * 5, good[:2] + b"\x2a" + good[3:], leave], kind)
    assert len(batch.packets) == 1
    assert batch.refused == {"truncated": 1, "short_packet": 1, "unknown_code": 1}
    assert batch.notices == [Notice("disconnect", 1, 807)]
    short = dhan_side(rng, 51, 19, 1)
    assert decode_depth([short, good], kind).refused == {"bad_length": 1}
    many = dhan_side(rng, 51, 3, 4)
    assert decode_depth([many, bytes(12)], PacketKind.DEPTH200).refused == {"bad_length": 2}


def test_packets_carry_the_row_of_segment_and_security_id() -> None:
    listings = [
        Listing(row, exchange, f"S{row}", "S", Kind.EQUITY, 1, Decimal("0.05"), 0, token="35001")
        for row, exchange in ((7, "NSE_INDEX"), (8, "NFO"), (9, "CRYPTO"))
    ]
    table = token_table(listings)
    batch = decode([quote(), dhan_packet(random.Random(1), 2)], table, 99)
    assert batch.packets["row"].tolist() == [8, UNKNOWN_ROW]
    assert batch.packets["received_ns"].tolist() == [99, 99]
    side = struct.pack("<hBBiI", 332, 41, 2, 35001, 1) + bytes(320)
    assert decode_depth([side], PacketKind.DEPTH20, table).packets["row"].tolist() == [8]
