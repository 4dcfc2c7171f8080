"""Machine code gives what its plain sisters give, to the byte and with the same counts."""

from __future__ import annotations

import ctypes
import math
import random
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import machine_code, packet_ticks, price_table, token_table
from adapters.compile_machine_code import fingerprint
from adapters.dhan import mapping as dhan
from adapters.kite import mapping as kite
from adapters.packets import ABSENT
from adapters.ports import StreamCounters
from adapters.smartapi import mapping as smartapi
from adapters.token_table import TokenTable
from domain.prices import TICK_DTYPE
from tests.kit.wire_frames import clean_messages

NOW_NS = 1_795_200_000 * 10**9
DECODERS = {"kite": kite.decode, "smartapi": smartapi.decode, "dhan": dhan.decode}


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
    packets = DECODERS[broker](clean_messages(broker, rng), None, NOW_NS).packets
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


@pytest.mark.parametrize("broker", DECODERS)
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


@pytest.mark.parametrize("broker", DECODERS)
def test_without_machine_code_all_is_done_by_its_plain_sisters(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (packet_ticks, price_table, token_table):
        monkeypatch.setattr(module, "CODE", None)
    packets = packets_of(broker, random.Random(5), tokens=False)
    TokenTable(np.array([2]), np.array([7]), np.array([1])).name(packets)
    assert len(packet_ticks.to_ticks(packets, StreamCounters())) == 0
