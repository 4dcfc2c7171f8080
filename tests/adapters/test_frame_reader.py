"""adapters.frame_reader against frames made by another library."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from adapters.frame_reader import CLOSE, PING, PONG, TEXT, FrameReader
from domain.errors import BadMarketData


def wire(opcode, payload, *, fin=True, mask=False):
    return Frame(Opcode(opcode), payload, fin=fin).serialize(mask=mask)


sizes = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65_535, 65_536, 70_000]))
payloads = sizes.map(lambda size: bytes(range(256)) * (size // 256) + bytes(range(size % 256)))
kinds = st.sampled_from([2, 2, 2, TEXT, PING, PONG])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(kinds, payloads), max_size=12), st.lists(st.integers(1, 90_000), max_size=8)
)
def test_every_message_comes_out_whole_however_the_bytes_are_cut(sent, cuts):
    sent = [(kind, data[:125] if kind > 8 else data) for kind, data in sent]
    stream = b"".join(wire(kind, data) for kind, data in sent)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    reader, messages, asides = FrameReader(), [], []
    for start, end in pairwise(edges):
        got, beside = reader.read(stream[start:end])
        messages += got
        asides += beside
    assert messages == [data for kind, data in sent if kind == 2]
    assert asides == [(kind, data) for kind, data in sent if kind != 2]


@pytest.mark.parametrize("size", [50, 162, 70_000])
@pytest.mark.parametrize("other", [(2, b"o" * 12), (PING, b""), (TEXT, b"o" * 162)])
def test_a_long_run_of_like_frames_ends_where_another_begins(size, other):
    sent = [(2, bytes([number % 251]) * size) for number in range(300)]
    sent[200:200] = [other]
    sent[3:3] = [other]
    messages, asides = FrameReader().read(b"".join(wire(*row) for row in sent) + b"\x82")
    assert messages == [data for kind, data in sent if kind == 2]
    assert asides == [row for row in sent if row[0] != 2]


def test_a_message_in_parts_is_joined_with_a_ping_between_them():
    parts = [wire(2, b"ab", fin=False), wire(PING, b"?"), wire(0, b"cd", fin=False), wire(0, b"e")]
    whole = wire(TEXT, b"x", fin=False) + wire(0, b"y") + wire(CLOSE, b"\x03\xe8")
    messages, asides = FrameReader().read(b"".join(parts) + wire(2, b"f") + whole)
    assert messages == [b"abcde", b"f"]
    assert asides == [(PING, b"?"), (TEXT, b"xy"), (CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize("broken", [
    b"\x82\x82\x01\x02\x03\x04cd",  # masked, as only a client's are
    b"\xc2\x01a",  # a reserved bit: compressed, which nobody agreed on
    b"\x83\x01a",  # an opcode that does not exist
    b"\x82\x7f" + (1 << 40).to_bytes(8, "big"),
    b"\x09\x00",  # a ping in parts
    wire(PING, b"") [:1] + b"\x7e\x00\x80" + bytes(128),
    wire(0, b"the middle of nothing"),
    wire(2, b"a", fin=False) + wire(2, b"b"),
])  # fmt: skip
def test_bytes_that_no_server_sends_end_the_socket(broken):
    with pytest.raises(BadMarketData):
        FrameReader().read(broken)
