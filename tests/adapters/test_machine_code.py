"""Machine code gives what its plain sisters give, to the byte and with the same counts."""

from __future__ import annotations

import ctypes
import math
import random
import struct
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import machine_code, machine_decoders, packet_ticks, price_table, token_table
from adapters.compile_machine_code import fingerprint
from adapters.dhan import mapping as dhan
from adapters.kite import mapping as kite
from adapters.packets import ABSENT, Batch
from adapters.ports import StreamCounters
from adapters.smartapi import mapping as smartapi
from adapters.token_table import TokenTable
from domain.instruments import Kind, Listing
from domain.prices import TICK_DTYPE
from tests.kit.wire_frames import (
    KITE_LENGTHS,
    dhan_packet,
    kite_message,
    kite_packet,
    smartapi_packet,
)

NOW_NS = 1_795_200_000 * 10**9
PAIRS = {
    "kite": (kite.decode, machine_decoders.kite),
    "smartapi": (smartapi.decode, machine_decoders.smartapi),
    "dhan": (dhan.decode, machine_decoders.dhan),
}


def clean_messages(broker: str, rng: random.Random) -> list[bytes]:
    """As a shard would find them, of all kinds that are not rare."""
    if broker == "kite":
        return [
            kite_message([kite_packet(rng, length) for length in rng.choices(KITE_LENGTHS, k=40)])
            for _ in range(3)
        ] + [b"\0"]
    if broker == "smartapi":
        return [smartapi_packet(rng, mode) for mode in rng.choices((1, 2, 3), k=100)]
    return [dhan_packet(rng, code) for code in rng.choices((2, 3, 4, 5, 6, 8), k=100)]


def assert_same(one: Batch, other: Batch) -> None:
    assert one.packets.tobytes() == other.packets.tobytes()
    assert one.levels.tobytes() == other.levels.tobytes()
    assert (one.refused, one.doubted, one.notices, one.samples) == (
        other.refused, other.doubted, other.notices, other.samples,
    )  # fmt: skip


@pytest.mark.parametrize("broker", PAIRS)
def test_clean_frames_are_decoded_alike_without_the_plain_decoder(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, fast = PAIRS[broker]
    rng = random.Random(21)
    batches = [clean_messages(broker, rng) for _ in range(20)]
    wanted = [plain(messages, None, 7) for messages in batches]
    for module in (kite, smartapi, dhan):
        monkeypatch.setattr(module, "decode", None)
    for messages, batch in zip(batches, wanted, strict=True):
        assert_same(fast(messages, None, 7), batch)


@pytest.mark.parametrize("broker", PAIRS)
@given(seed=st.integers(0, 2**32), place=st.integers(0, 10**6), value=st.integers(0, 255))
@settings(deadline=None)
def test_a_broken_byte_is_told_alike(broker: str, seed: int, place: int, value: int) -> None:
    plain, fast = PAIRS[broker]
    rng = random.Random(seed)
    messages = [bytearray(message) for message in clean_messages(broker, rng)[:8]]
    broken = rng.choice(messages)
    broken[place % len(broken)] = value
    frozen = [bytes(message) for message in messages]
    assert_same(fast(frozen), plain(frozen))


@pytest.mark.parametrize("broker", PAIRS)
@given(messages=st.lists(st.binary(max_size=200), max_size=5), cut=st.integers(0, 400))
@settings(deadline=None)
def test_garbage_and_cuts_are_told_alike(broker: str, messages: list[bytes], cut: int) -> None:
    plain, fast = PAIRS[broker]
    whole = clean_messages(broker, random.Random(cut))
    for taken in (messages, [*messages, *whole], [*whole[:2], whole[0][:cut]]):
        assert_same(fast(taken), plain(taken))


@given(st.lists(st.floats(width=32), min_size=6, max_size=6))
@settings(deadline=None)
def test_any_float_is_the_same_decimal(prices: list[float]) -> None:
    last, average, *day = prices
    head = struct.pack("<BHBIfHIf", 4, 50, 2, 9, last, 1, 1_700_000_000, average)
    message = head + struct.pack("<IIIffff", 1, 2, 3, *day)
    assert_same(machine_decoders.dhan([message]), dhan.decode([message]))


@given(st.lists(st.integers(1, 2 * 10**9), min_size=6, max_size=6), st.integers(0, 5))
@settings(deadline=None)
def test_a_price_of_any_size_and_decimals_is_the_same(prices: list[int], decimals: int) -> None:
    last, average, *day = (np.float32(price / 10**decimals) for price in prices)
    head = struct.pack("<BHBIfHIf", 4, 50, 2, 9, last, 1, 1_700_000_000, average)
    message = head + struct.pack("<IIIffff", 1, 2, 3, *day)
    assert_same(machine_decoders.dhan([message]), dhan.decode([message]))


@pytest.mark.parametrize("traded_s", [0, 1, 19_800, 19_801, 1_700_000_000, 2**32 - 1])
def test_a_shifted_time_is_put_right_alike(traded_s: int) -> None:
    message = struct.pack("<BHBIfI", 2, 16, 2, 9, 1.5, traded_s)
    assert_same(
        machine_decoders.dhan([message], None, 7, True), dhan.decode([message], None, 7, True)
    )


@pytest.mark.parametrize(
    ("broker", "table"),
    [
        ("kite", kite.token_table), ("smartapi", smartapi.token_table), ("dhan", dhan.token_table),
    ],
)  # fmt: skip
def test_rows_are_found_alike(broker: str, table: Callable) -> None:
    plain, fast = PAIRS[broker]
    listings = [
        Listing(row, "NSE", f"S{row}", "S", Kind.EQUITY, 1, Decimal("0.05"), 0, token=str(token))
        for row, token in enumerate((408065, 99_926_000, 7, 8, 9))
    ]
    messages = clean_messages(broker, random.Random(2))
    assert_same(fast(messages, table(listings)), plain(messages, table(listings)))


# -- the library itself --


def test_the_library_was_made_from_the_source_beside_it() -> None:
    """`make machine-code` makes it anew; on another machine there is none."""
    if not machine_code.LIBRARY.exists():
        pytest.skip("no library is shipped for this machine")
    assert machine_code.CODE is not None
    stamp = ctypes.c_char * 65
    made_from = stamp.in_dll(machine_code.CODE, "machine_code_source").value.decode()
    assert made_from == fingerprint()


def test_without_a_library_nothing_is_loaded(tmp_path: Path) -> None:
    assert machine_code.load(tmp_path / "absent.so") is None


# -- ticks --


def packets_of(broker: str, rng: random.Random, tokens: bool = True) -> np.ndarray:
    """What a decoder gave, each packet of a listing of its own."""
    packets = PAIRS[broker][0](clean_messages(broker, rng), None, NOW_NS).packets
    if tokens:
        packets["row"] = np.arange(len(packets))
    return packets


def both_ticks(packets: np.ndarray) -> list[tuple[bytes, dict[str, int], int]]:
    """Ticks, refusals and the count, by machine code and without."""
    told = []
    for make in (packet_ticks.to_ticks, packet_ticks._judged):
        counters = StreamCounters()
        told.append((make(packets, counters).tobytes(), counters.refused, counters.ticks))
    return told


@pytest.mark.parametrize("broker", PAIRS)
@given(seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_ticks_are_made_alike_of_whatever_packets(broker: str, seed: int) -> None:
    rng = random.Random(seed)
    packets = packets_of(broker, rng)
    for sane in (False, True):
        if sane:
            packets["exchange_ns"] = packets["last_trade_ns"] = NOW_NS
            packets["last_price"] = np.abs(packets["last_price"] % 10_000) + 1
        fast, plain = both_ticks(packets)
        assert fast == plain
    assert fast[2] > 0


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("row", -1, "unknown_symbol"),
        ("last_price", 0, "bad_price"),
        ("last_price", -5, "bad_price"),
        ("last_price", ABSENT, "bad_price"),
        ("exchange_ns", 1, "bad_time"),
        ("exchange_ns", NOW_NS + 60 * 10**9, "future"),
    ],
)
def test_one_tick_that_is_not_believed_is_counted_and_the_rest_kept(
    field: str, value: int, reason: str
) -> None:
    packets = packets_of("kite", random.Random(3))[:9]
    packets["exchange_ns"] = packets["last_trade_ns"] = NOW_NS
    packets["last_price"] = 100
    packets[field][4] = value
    fast, plain = both_ticks(packets)
    assert fast == plain
    assert fast[1:] == ({reason: 1}, 8)


# -- the price table --


numbers = st.sampled_from([-1, 0, 1, 2, 3])
prices = st.sampled_from([math.nan, 0.0, -1.0, 1.0, 2.5])
tick_rows = st.tuples(
    st.integers(1, 6), st.integers(1, 3), numbers, numbers, prices, prices, prices, numbers,
    numbers, numbers, numbers, prices,
)  # fmt: skip


@given(st.lists(st.lists(tick_rows, max_size=8), max_size=5))
@settings(deadline=None, max_examples=20)  # each makes two tables, whose room is taken on the disk
def test_the_newest_numbers_are_kept_alike(batches: list[list[tuple]]) -> None:
    tables = []
    for code in (machine_code.CODE, None):
        with (
            tempfile.TemporaryDirectory() as folder,
            patch.object(price_table, "CODE", code),
        ):
            path = Path(folder) / "s.prices"
            writer = price_table.PriceWriter(path)
            for rows in batches:
                writer.write(np.array(rows, TICK_DTYPE))
            tables.append(price_table.PriceReader(path).snapshot().tobytes())
            writer.close()
    assert tables[0] == tables[1]


@pytest.mark.parametrize("broker", PAIRS)
def test_without_machine_code_all_is_done_by_its_plain_sisters(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (machine_decoders, packet_ticks, price_table, token_table):
        monkeypatch.setattr(module, "CODE", None)
    plain, fast = PAIRS[broker]
    messages = clean_messages(broker, random.Random(5))
    table = TokenTable(np.array([2]), np.array([7]), np.array([1]))
    assert_same(fast(messages, table, 7), plain(messages, table, 7))
    assert len(packet_ticks.to_ticks(plain(messages, table, 7).packets, StreamCounters())) == 0
