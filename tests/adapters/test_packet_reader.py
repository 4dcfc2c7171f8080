"""Bytes of a socket into packets: by machine code what comes plainly, to the byte and with the same
counts, however the bytes are cut and whatever they are."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import machine_code, packet_reader
from adapters.dhan import mapping as dhan
from adapters.dhan.stream import DhanDialect
from adapters.frame_reader import CLOSE, PING, TEXT, FrameReader
from adapters.kite import mapping as kite
from adapters.kite.stream import KiteDialect
from adapters.packet_reader import READ_BYTES, PacketReader
from adapters.packets import Notice
from adapters.smartapi import mapping as smartapi
from adapters.smartapi.stream import SmartApiDialect
from adapters.token_table import TokenTable
from domain.errors import BadMarketData
from domain.instruments import Kind, Listing
from tests.kit.feed_servers.server import frame
from tests.kit.wire_frames import (
    clean_messages,
    dhan_packet,
    kite_message,
    kite_packet,
    smartapi_packet,
)

NOW_NS = 1_795_200_000 * 10**9
BROKERS = {"kite": (KiteDialect, kite), "smartapi": (SmartApiDialect, smartapi),
           "dhan": (DhanDialect, dhan)}  # fmt: skip
NOBODY = TokenTable(np.array([2]), np.array([7]), np.array([1]))
MACHINE = pytest.mark.skipif(machine_code.CODE is None, reason="no library for this machine")


@dataclass
class Heard:
    """What came of a socket's bytes."""

    packets: list[np.ndarray] = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)
    doubted: Counter = field(default_factory=Counter)
    notices: list[Notice] = field(default_factory=list)
    asides: list[tuple[int, bytes]] = field(default_factory=list)
    frames: int = 0
    failure: str = ""

    def told(self) -> tuple:
        """All of it, to be compared."""
        return (b"".join(row.tobytes() for row in self.packets), self.refused, self.doubted,
                self.notices, self.asides, self.frames, self.failure)  # fmt: skip


def hear(
    broker: str,
    chunks: Iterable[bytes],
    *,
    by_machine: bool = True,
    tokens: TokenTable = NOBODY,
    packets_max: int = 4_096,
    shift_s: int = 0,
) -> Heard:
    """Reads these bytes as they come from a socket, until nothing is left to take."""
    dialect, heard = BROKERS[broker][0](""), Heard()
    dialect.shift_s = shift_s
    with patch.object(packet_reader, "CODE", machine_code.CODE if by_machine else None):
        reader = PacketReader(dialect, packets_max)
    try:
        for chunk in chunks:
            reader.room()[: len(chunk)] = chunk
            heard.asides += reader.read(len(chunk), NOW_NS)
            take_all(reader, heard, tokens)
    except BadMarketData as failure:
        take_all(reader, heard, tokens)
        heard.failure = str(failure)
    heard.frames = reader.frames
    return heard


def take_all(reader: PacketReader, heard: Heard, tokens: TokenTable) -> None:
    while True:
        for batch in reader.take(tokens):
            heard.packets.append(batch.packets.copy())
            heard.refused.update(batch.refused)
            heard.doubted.update(batch.doubted)
            heard.notices += batch.notices
        if not reader.holds_more:
            return
        heard.asides += reader.read()


def assert_alike(broker: str, chunks: list[bytes], **more: object) -> Heard:
    one = hear(broker, chunks, **more)
    other = hear(broker, chunks, by_machine=False, **more)
    assert one.told() == other.told()
    return one


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(edges)]


cuts = st.lists(st.integers(0, 10**6), max_size=6)
every_broker = pytest.mark.parametrize("broker", BROKERS)


@MACHINE
@every_broker
def test_clean_frames_are_read_alike_without_the_plain_way(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(21)
    streams = [b"".join(map(frame, clean_messages(broker, rng))) for _ in range(20)]
    wanted = [hear(broker, [stream], by_machine=False).told() for stream in streams]
    monkeypatch.setattr(FrameReader, "read", None)
    monkeypatch.setattr(BROKERS[broker][1], "decode", None)
    for stream, told in zip(streams, wanted, strict=True):
        assert hear(broker, cut(stream, rng.choices(range(len(stream)), k=5))).told() == told


@every_broker
@given(seed=st.integers(0, 2**32), place=st.integers(0, 10**6), value=st.integers(0, 255), at=cuts)
@settings(deadline=None)
def test_a_broken_byte_of_a_packet_is_told_alike(
    broker: str, seed: int, place: int, value: int, at: list[int]
) -> None:
    rng = random.Random(seed)
    messages = [bytearray(message) for message in clean_messages(broker, rng)[:8]]
    broken = rng.choice(messages)
    broken[place % len(broken)] = value
    assert_alike(broker, cut(b"".join(frame(bytes(message)) for message in messages), at))


@every_broker
@given(seed=st.integers(0, 2**32), place=st.integers(0, 10**6), value=st.integers(0, 255))
@settings(deadline=None)
def test_a_broken_byte_of_the_stream_ends_in_the_same_words_and_loses_nothing_before_it(
    broker: str, seed: int, place: int, value: int
) -> None:
    stream = bytearray(b"".join(map(frame, clean_messages(broker, random.Random(seed))[:8])))
    stream[place % len(stream)] = value
    one = hear(broker, [bytes(stream)])
    other = hear(broker, [bytes(stream)], by_machine=False)
    assert one.failure == other.failure
    if one.failure:  # of a chunk that breaks off the plain way keeps no message
        assert not other.packets
        assert one.refused.keys() <= {"unknown_code"}
    else:
        assert one.told() == other.told()


@every_broker
@given(messages=st.lists(st.binary(max_size=200), max_size=5), at=cuts, seed=st.integers(0, 400))
@settings(deadline=None)
def test_garbage_between_packets_is_counted_alike_and_the_rest_is_read(
    broker: str, messages: list[bytes], at: list[int], seed: int
) -> None:
    whole = clean_messages(broker, random.Random(seed))[:20]
    mixed = [*whole[:5], *messages, *whole[5:], whole[0][:seed]]
    assert_alike(broker, cut(b"".join(map(frame, mixed)), at))


@every_broker
@given(at=cuts, places=st.lists(st.integers(0, 20), min_size=1, max_size=4))
@settings(deadline=None)
def test_pings_texts_and_parts_among_packets_are_told_and_lose_none(
    broker: str, at: list[int], places: list[int]
) -> None:
    messages = clean_messages(broker, random.Random(8))[:20]
    frames = [frame(message) for message in messages]
    others = [frame(b"?", PING), frame(b"{}", TEXT), frame(b"\x03\xe8", CLOSE)]
    for number, place in enumerate(places):
        frames.insert(place, others[number % 3])
    half = len(messages[0]) // 2
    frames[:0] = [b"\x02" + frame(messages[0][:half])[1:], frame(b"!", PING),
                  b"\x80" + frame(messages[0][half:])[1:]]  # fmt: skip
    heard = assert_alike(broker, cut(b"".join(frames), at))
    assert len(heard.asides) == len(places) + 1
    assert not heard.refused


def test_a_message_in_the_midst_of_another_ends_the_socket() -> None:
    messages = clean_messages("dhan", random.Random(8))
    begun = b"\x02" + frame(messages[1][:4])[1:]
    heard = assert_alike("dhan", [begun, frame(messages[2])])
    assert heard.failure == "parts of two messages are mixed"


DHAN_FULL = dhan_packet(random.Random(1), 8)
KITE_QUOTE = kite_message([kite_packet(random.Random(1), 44)])


@pytest.mark.parametrize(
    ("broker", "message", "reason"),
    [
        ("kite", KITE_QUOTE + b"more", "trailing_bytes"),
        ("kite", KITE_QUOTE[:-1], "truncated"),
        ("kite", b"\0\2" + KITE_QUOTE[2:], "truncated"),
        ("kite", b"\0\1\0\7" + bytes(7), "unknown_length"),
        ("kite", b"\0\1\1\x2c" + bytes(300), "unknown_length"),  # 44 and 256
        ("smartapi", smartapi_packet(random.Random(1), 3)[:-1], "short_packet"),
        ("smartapi", b"\3" + smartapi_packet(random.Random(1), 2)[1:], "short_packet"),
        ("smartapi", b"\7" + smartapi_packet(random.Random(1), 2)[1:], "unknown_mode"),
        ("dhan", DHAN_FULL[:-1], "truncated"),
        ("dhan", b"\x08\xa3\x00" + DHAN_FULL[3:] + b"!", "bad_length"),
        ("dhan", b"\x08\x09\x00" + DHAN_FULL[3:], "bad_length"),
        ("dhan", DHAN_FULL + b"\x08", "short_packet"),
        ("dhan", b"\x01" + DHAN_FULL[1:], "index_packet"),
        ("dhan", b"\x63" + DHAN_FULL[1:], "unknown_code"),
    ],
)
def test_an_odd_message_is_counted_and_those_beside_it_are_read(
    broker: str, message: bytes, reason: str
) -> None:
    clean = clean_messages(broker, random.Random(3))[:3]
    wanted = len(np.concatenate(hear(broker, [b"".join(map(frame, clean))] * 2).packets))
    heard = assert_alike(broker, [b"".join(map(frame, [*clean, message, *clean]))])
    assert reason in heard.refused
    assert sum(map(len, heard.packets)) >= wanted


@every_broker
@pytest.mark.parametrize("packets_max", [1, 7, 45])
def test_what_a_batch_has_no_room_for_is_taken_next(broker: str, packets_max: int) -> None:
    stream = b"".join(map(frame, clean_messages(broker, random.Random(4))))
    heard = assert_alike(broker, [stream], packets_max=packets_max)
    assert len(heard.packets) > 1
    most = 40 if broker == "kite" else 3  # packets of one message
    assert max(map(len, heard.packets)) < packets_max + most


def test_a_message_longer_than_the_buffer_comes_whole_and_machine_code_goes_on_after_it() -> None:
    rng = random.Random(6)
    packets = [kite_packet(rng, 184) for _ in range(6_000)]  # 1.1 MB, more than a batch may hold
    stream = frame(kite_message(packets)) + frame(kite_message(packets[:9])) * 3
    chunks = cut(stream, range(0, len(stream), READ_BYTES - 1))
    heard = assert_alike("kite", chunks)
    assert sum(map(len, heard.packets)) == 6_027
    assert heard.frames == 4


def test_a_length_that_no_message_has_ends_the_socket() -> None:
    broken = struct.pack(">BBQ", 0x82, 127, 2**63) + bytes(100)
    assert "bytes" in assert_alike("dhan", [broken]).failure
    assert "masked" in assert_alike("dhan", [b"\x82\xff" + bytes(100)]).failure


def dhan_quote(last: float, average: float, day: Iterable[float]) -> bytes:
    head = struct.pack("<BHBIfHIf", 4, 50, 2, 9, last, 1, 1_700_000_000, average)
    return frame(head + struct.pack("<IIIffff", 1, 2, 3, *day))


@given(st.lists(st.floats(width=32), min_size=6, max_size=6))
@settings(deadline=None)
def test_any_float_is_the_same_decimal(prices: list[float]) -> None:
    last, average, *day = prices
    assert_alike("dhan", [dhan_quote(last, average, day)])


@given(st.lists(st.integers(-9, 2 * 10**9), min_size=6, max_size=6), st.integers(0, 5))
@settings(deadline=None)
def test_a_price_of_any_size_and_decimals_is_the_same(prices: list[int], decimals: int) -> None:
    last, average, *day = (np.float32(price / 10**decimals) for price in prices)
    assert_alike("dhan", [dhan_quote(last, average, day)])


@pytest.mark.parametrize("shift_s", [0, 19_800])
@pytest.mark.parametrize(
    "traded_s", [0, 1, 19_800, 19_801, 1_700_000_000, 2**32 - 1, *(
        NOW_NS // 10**9 + ahead for ahead in (0, 19_739, 19_740, 19_800, 19_860, 19_861)
    )],
)  # fmt: skip
def test_a_shifted_time_is_put_right_alike_from_the_first_that_proves_it(
    traded_s: int, shift_s: int
) -> None:
    old = frame(struct.pack("<BHBIfI", 2, 16, 2, 9, 1.5, NOW_NS // 10**9 + 19_000))
    new = frame(struct.pack("<BHBIfI", 2, 16, 2, 9, 1.5, traded_s))
    heard = assert_alike("dhan", [old + new, new], shift_s=shift_s)
    is_proven = 19_740 <= traded_s - NOW_NS // 10**9 <= 19_860 or shift_s
    first = np.concatenate(heard.packets)["last_trade_ns"][0]
    assert first == NOW_NS + (19_000 - 19_800 * bool(is_proven)) * 10**9


@pytest.mark.parametrize(
    ("broker", "table"),
    [
        ("kite", kite.token_table), ("smartapi", smartapi.token_table), ("dhan", dhan.token_table),
    ],
)  # fmt: skip
def test_rows_are_found_alike(broker: str, table: Callable) -> None:
    listings = [
        Listing(row, "NSE", f"S{row}", "S", Kind.EQUITY, 1, Decimal("0.05"), 0, token=str(token))
        for row, token in enumerate((408065, 99_926_000, 7, 8, 9))
    ]
    stream = b"".join(map(frame, clean_messages(broker, random.Random(2))))
    assert_alike(broker, [stream], tokens=table(listings))
