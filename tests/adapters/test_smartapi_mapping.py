"""SmartAPI's packets: against the official parser, by hand-made bytes, and through garbage."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.decode import rows
from adapters.packets import ABSENT, UNKNOWN_ROW, PacketKind
from adapters.smartapi.mapping import SIZES, decode, token_table
from domain.instruments import Kind, Listing
from tests.kit.official_parsers import smart_socket
from tests.kit.wire_frames import smartapi_packet

MODES = {1: "LTP", 2: "QUOTE", 3: "FULL", 4: "DEPTH20"}
PRICES = {
    "last_price": "last_traded_price", "avg_price": "average_traded_price",
    "open": "open_price_of_the_day", "high": "high_price_of_the_day",
    "low": "low_price_of_the_day", "close": "closed_price", "upper_circuit": "upper_circuit_limit",
    "lower_circuit": "lower_circuit_limit", "high_52w": "52_week_high_price",
    "low_52w": "52_week_low_price",
}  # fmt: skip
COUNTS = {
    "last_qty": "last_traded_quantity", "volume": "volume_trade_for_the_day",
    "buy_qty": "total_buy_quantity", "sell_qty": "total_sell_quantity", "oi": "open_interest",
    "sequence": "sequence_number",
}  # fmt: skip
NEVER = ("oi_high", "oi_low", "prev_oi", "received_ts", "last_trade_raw")


def exact(number: int | None, kind: int) -> Decimal | None:
    return None if number is None else Decimal(number) / (10_000_000 if kind == 13 else 100)


def moment(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


def compare(ours: dict, theirs: dict) -> None:
    """Every field that the official parser gives, and that we give no more than it."""
    kind = theirs["exchange_type"]
    assert ours["segment"] == kind
    assert ours["token"] == theirs["token"]
    assert ours["mode"] == MODES[theirs["subscription_mode"]]
    for name, official in PRICES.items():
        assert ours[name] == exact(theirs.get(official), kind), name
    for name, official in COUNTS.items():
        assert ours[name] == theirs.get(official), name
    assert moment(ours["exchange_ts"]) == theirs["exchange_timestamp"] / 1000
    assert moment(ours["last_trade_ts"]) == (theirs.get("last_traded_timestamp") or None)
    deep = "depth_20_buy_data" in theirs
    sides = ("depth_20_buy_data", "depth_20_sell_data") if deep else (
        "best_5_buy_data", "best_5_sell_data",
    )  # fmt: skip
    orders = "num_of_orders" if deep else "no of orders"
    for name, side in zip(("bids", "asks"), sides, strict=True):
        levels = theirs.get(side) and [
            {"price": exact(row["price"], kind), "qty": row["quantity"], "orders": row[orders]}
            for row in theirs[side]
        ]
        assert ours[name] == levels, name
    assert [ours[name] for name in NEVER] == [None] * len(NEVER)


@pytest.mark.parametrize("modes", [(1,), (2,), (3,), (4,), (1, 2, 3), (1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled"])
def test_every_field_is_that_of_the_official_parser(modes: tuple[int, ...], shuffled: bool) -> None:
    rng = random.Random(12)
    for _ in range(4):
        messages = [smartapi_packet(rng, mode, shuffled) for mode in rng.choices(modes, k=300)]
        batch = decode(messages)
        assert (batch.refused, batch.doubted) == ({}, {})
        assert len(batch.packets) == 300
        for ours, message in zip(rows("smartapi", batch), messages, strict=True):
            compare(ours, smart_socket()._parse_binary_data(message))


def hand_made(mode: int = 2, token: bytes = b"26009", kind: int = 1, buy: float = 42.0) -> bytes:
    """BANKNIFTY at 51234.55, 2 mode's fields in whole hundreds."""
    head = struct.pack("<BB25sqq", mode, kind, token, 9, 1_700_000_000_123)
    return head + struct.pack("<qqqqddqqqq", 5_123_455, 15, 100, 200, buy, 43.0, 300, 400, 500, 600)


def test_a_quote_worked_out_by_hand() -> None:
    (row,) = rows("smartapi", decode([hand_made()]))
    assert row["last_price"] == Decimal("51234.55")
    assert [row[name] for name in ("open", "high", "low", "close", "avg_price")] == [3, 4, 5, 6, 1]
    counts = [row[name] for name in ("last_qty", "volume", "buy_qty", "sell_qty", "sequence")]
    assert counts == [15, 200, 42, 43, 9]
    assert row["exchange_ts"] == "2023-11-14T22:13:20.123000+00:00"
    assert (row["token"], row["exchange"], row["bids"]) == ("26009", "NSE", None)
    assert datetime.fromisoformat(row["exchange_ts"]).tzinfo == UTC


def test_currency_is_divided_by_ten_million() -> None:
    (row,) = rows("smartapi", decode([hand_made(kind=13)]))
    assert row["last_price"] == Decimal("0.5123455")


@pytest.mark.parametrize(
    ("token", "number"),
    [
        (b"1", 1), (b"0", 0), (b"99926000", 99_926_000), (b"123456789", 123_456_789),
        (b"123456789012345678", 123_456_789_012_345_678), (b"7\0junk", 7),
        (b"12345678\x0099", 12_345_678),
    ],
)  # fmt: skip
def test_a_token_ends_at_its_first_zero_byte(token: bytes, number: int) -> None:
    assert decode([hand_made(token=token)]).packets["token"].tolist() == [number]


@pytest.mark.parametrize(
    "token",
    [b"", b"07", b"12a", b"a12", b"-12", b" 12", b"12/", b"12:", b"\xb1", b"1" * 19, b"1" * 25,
     b"12345678x", b"01234567", b"012345678", b"1234\x807"],
)  # fmt: skip
def test_a_token_that_is_no_plain_number_is_refused_and_its_neighbours_are_not(
    token: bytes,
) -> None:
    batch = decode([hand_made(), hand_made(token=token), hand_made(1)[:51], hand_made(token=b"5")])
    assert batch.packets["token"].tolist() == [26009, 26009, 5]
    assert batch.refused == {"bad_token": 1}


@given(st.integers(0, 10**18 - 1), st.binary(max_size=6))
def test_any_number_is_read_whatever_noise_follows(number: int, noise: bytes) -> None:
    text = str(number).encode() + b"\0" + noise
    assert decode([hand_made(token=text)]).packets["token"].tolist() == [number]


def test_a_side_with_fewer_rows_is_shorter_and_one_with_more_keeps_five() -> None:
    packet = bytearray(smartapi_packet(random.Random(1), 3))
    for level, flag in enumerate([1, 0, 0, 0, 0, 0, 0, 1, 9, 1]):
        struct.pack_into("<Hq", packet, 147 + 20 * level, flag, level)
    batch = decode([bytes(packet)])
    assert batch.packets["bids"]["quantity"].tolist() == [[0, 7, 9, ABSENT, ABSENT]]
    assert batch.packets["asks"]["quantity"].tolist() == [[1, 2, 3, 4, 5]]
    assert batch.doubted == {"side_flag": 1, "uneven_depth": 1}
    (row,) = rows("smartapi", batch)
    assert [len(row["bids"]), len(row["asks"])] == [3, 5]


@pytest.mark.parametrize("quantity", [float("nan"), float("inf"), 1.5, 1e300])
def test_a_quantity_that_is_no_whole_number_is_left_out_and_told(quantity: float) -> None:
    batch = decode([hand_made(), hand_made(buy=quantity)])
    assert batch.packets["buy_qty"].tolist() == [42, ABSENT]
    assert batch.packets["sell_qty"].tolist() == [43, 43]
    assert batch.doubted == {"bad_quantity": 1}


@pytest.mark.parametrize(
    ("stamp_ms", "doubts"), [(0, {}), (-5, {"bad_time": 1}), (2**62, {"bad_time": 1})]
)
def test_no_time_is_none_and_an_impossible_one_is_told(stamp_ms: int, doubts: dict) -> None:
    packet = bytearray(hand_made())
    struct.pack_into("<q", packet, 35, stamp_ms)
    batch = decode([bytes(packet)])
    assert batch.packets["exchange_ns"].tolist() == [ABSENT]
    assert batch.doubted == doubts


@pytest.mark.parametrize("mode", SIZES)
def test_a_packet_too_short_or_too_long_is_counted_and_skipped(mode: int) -> None:
    packet = smartapi_packet(random.Random(2), mode)
    short = [packet[:size] for size in range(1, len(packet))]
    assert decode(short).refused == {"short_packet": len(packet) - 1}
    batch = decode([packet + b"\0", packet])
    assert (len(batch.packets), batch.refused) == (1, {"bad_length": 1})


def test_an_unknown_mode_and_an_empty_message_are_counted() -> None:
    batch = decode([b"\5" + hand_made()[1:], b"", hand_made(), b"\0"])
    assert (len(batch.packets), batch.refused) == (1, {"unknown_mode": 3})
    assert "mode 5" in batch.samples[0]


@given(st.lists(st.binary(max_size=60) | st.binary(min_size=123, max_size=123), max_size=6))
def test_garbage_never_raises(messages: list[bytes]) -> None:
    batch = decode(messages)
    assert len(batch.packets) + sum(batch.refused.values()) == len(messages)
    assert len(list(rows("smartapi", batch))) == len(batch.packets)


@given(st.integers(1, 4), st.binary(min_size=443, max_size=443))
def test_random_bytes_in_a_right_frame_never_raise(mode: int, noise: bytes) -> None:
    message = bytes([mode, 1]) + b"123\0" + noise[: SIZES[mode] - 6]
    batch = decode([message])
    assert batch.packets["kind"].tolist() == [
        {1: PacketKind.LTP, 2: PacketKind.QUOTE, 3: PacketKind.FULL, 4: PacketKind.DEPTH20}[mode]
    ]
    assert len(list(rows("smartapi", batch))) == 1


def test_packets_carry_the_row_of_exchange_and_token() -> None:
    listings = [
        Listing(row, exchange, f"S{row}", "S", Kind.EQUITY, 1, Decimal("0.05"), 0, token="26009")
        for row, exchange in ((7, "NSE_INDEX"), (8, "BSE"), (9, "CRYPTO"))
    ]
    table = token_table(listings)
    batch = decode([hand_made(), hand_made(kind=3), hand_made(kind=2)], table, 99)
    assert batch.packets["row"].tolist() == [7, 8, UNKNOWN_ROW]
    assert batch.packets["received_ns"].tolist() == [99] * 3
