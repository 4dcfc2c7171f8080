"""The compiled decoders give what the plain ones give, to the byte and with the same counts."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import machine_decoders as compiled
from adapters.dhan import mapping as dhan
from adapters.kite import mapping as kite
from adapters.packets import Batch
from adapters.smartapi import mapping as smartapi
from domain.instruments import Kind, Listing
from tests.kit.wire_frames import (
    KITE_LENGTHS,
    dhan_packet,
    kite_message,
    kite_packet,
    smartapi_packet,
)

PAIRS = {
    "kite": (kite.decode, compiled.kite),
    "smartapi": (smartapi.decode, compiled.smartapi),
    "dhan": (dhan.decode, compiled.dhan),
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
    assert_same(compiled.dhan([message]), dhan.decode([message]))


@given(st.lists(st.integers(1, 2 * 10**9), min_size=6, max_size=6), st.integers(0, 5))
@settings(deadline=None)
def test_a_price_of_any_size_and_decimals_is_the_same(prices: list[int], decimals: int) -> None:
    last, average, *day = (np.float32(price / 10**decimals) for price in prices)
    head = struct.pack("<BHBIfHIf", 4, 50, 2, 9, last, 1, 1_700_000_000, average)
    message = head + struct.pack("<IIIffff", 1, 2, 3, *day)
    assert_same(compiled.dhan([message]), dhan.decode([message]))


@pytest.mark.parametrize("traded_s", [0, 1, 19_800, 19_801, 1_700_000_000, 2**32 - 1])
def test_a_shifted_time_is_put_right_alike(traded_s: int) -> None:
    message = struct.pack("<BHBIfI", 2, 16, 2, 9, 1.5, traded_s)
    assert_same(compiled.dhan([message], None, 7, True), dhan.decode([message], None, 7, True))


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
