"""adapters.openalgo.frames: a tick that cannot be used is refused, counted, and harms no other."""

import math
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.openalgo import frames
from adapters.ports import StreamCounters
from domain.instruments import InstrumentIndex, Kind, Listing
from domain.prices import TICK_DTYPE

RECEIVED_NS = 1_795_205_512_500_000_000
SBIN = Listing(7, "NSE", "SBIN", "SBIN", Kind.EQUITY, 1, Decimal("0.05"), 0)
INDEX = InstrumentIndex([SBIN])


def decode(*received):
    counters = StreamCounters()
    ticks = frames.to_ticks([(RECEIVED_NS, frame) for frame in received], INDEX, counters)
    assert ticks.dtype == TICK_DTYPE
    assert counters.ticks == len(ticks)
    return ticks, counters.refused


def frame(mode=1, **data):
    data = {"ltp": 800.76, "timestamp": 1795205512023} | data
    return {
        "type": "market_data", "symbol": "SBIN", "exchange": "NSE", "mode": mode,
        "data": {name: value for name, value in data.items() if value is not None},
    }  # fmt: skip


def test_an_ltp_frame_becomes_a_tick_whose_absent_numbers_are_absent():
    (tick,), refused = decode(frame())

    assert (tick["listing"], tick["mode"], tick["ltp"]) == (7, 1, 800.76)
    assert (tick["ts_ns"], tick["received_ns"]) == (1_795_205_512_023_000_000, RECEIVED_NS)
    assert all(math.isnan(tick[name]) for name in ("bid", "ask", "iv"))
    for name in ("bid_quantity", "ask_quantity", "volume", "open_interest"):
        assert tick[name] == -1
    assert refused == {}


def test_a_depth_frame_brings_its_best_levels_volume_and_interest():
    depth = {
        "buy": [{"price": 800.7, "quantity": 50, "orders": 2}, {"price": 800.65, "quantity": 9}],
        "sell": [{"price": 800.8, "quantity": 70, "orders": 1}],
    }
    (tick,), _ = decode(frame("DEPTH", depth=depth, volume="1,200", oi=30))

    assert (tick["mode"], tick["bid"], tick["ask"]) == (3, 800.7, 800.8)
    assert (tick["bid_quantity"], tick["ask_quantity"]) == (50, 70)
    assert (tick["volume"], tick["open_interest"]) == (1200, 30)


def test_an_empty_side_of_the_book_is_no_price():
    depth = {"buy": [{"price": 0, "quantity": 0}], "sell": []}
    (tick,), _ = decode(frame(3, depth=depth))
    assert math.isnan(tick["bid"])
    assert math.isnan(tick["ask"])
    assert tick["bid_quantity"] == -1


@pytest.mark.parametrize(
    "shape",
    [
        {"symbol": "SBIN", "exchange": "NSE", "ltp": 800.76, "timestamp": 1795205512},
        {"type": "ltp", "symbol": "SBIN", "exchange": "NSE", "last_price": "800.76"},
        {"topic": "SBIN.NSE", "data": {"lp": 800.76, "timestamp": 1795205512023}},
        {"type": "market_data", "data": {"symbol": "SBIN", "exchange": "NSE", "price": 800.76}},
    ],
)
def test_older_shapes_of_a_tick_are_understood(shape):
    assert frames.is_tick(shape)
    (tick,), _ = decode(shape)
    assert (tick["listing"], tick["ltp"]) == (7, 800.76)


def test_a_tick_without_a_time_is_of_the_moment_it_came():
    (tick,), _ = decode(frame(timestamp=None))
    assert tick["ts_ns"] == RECEIVED_NS


@pytest.mark.parametrize(("told", "iv"), [(18.0, 0.18), (0.18, 0.18), (3.0, 3.0), (3.1, 0.031)])
def test_a_volatility_above_three_is_in_percent(told, iv):
    (tick,), _ = decode(frame(iv=told))
    assert tick["iv"] == pytest.approx(iv, abs=1e-12)


@pytest.mark.parametrize("told", [0, -1, "x", None])
def test_a_volatility_that_is_none_is_absent(told):
    (tick,), _ = decode(frame(iv=told))
    assert math.isnan(tick["iv"])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (frame() | {"symbol": "NOPE"}, "unknown_symbol"),
        (frame() | {"symbol": None}, "unknown_symbol"),
        (frame(ltp=None), "bad_price"),
        (frame(ltp=0), "bad_price"),
        (frame(ltp=-5.0), "bad_price"),
        (frame(ltp=math.nan), "bad_price"),
        (frame(ltp=math.inf), "bad_price"),
        (frame(ltp="abc"), "bad_price"),
        (frame(ltp=True), "bad_price"),
        (frame(ltp=10**400), "bad_price"),
        (frame(ltp=10_000_001.0), "bad_price"),
        (frame(timestamp="noon"), "bad_time"),
        (frame(timestamp=-5), "bad_time"),
        (frame(timestamp={}), "bad_time"),
        (frame(timestamp=RECEIVED_NS // 10**6 + 5_001), "future"),
    ],
)
def test_a_tick_that_cannot_be_used_is_refused_and_counted_and_the_next_one_lives(broken, reason):
    ticks, refused = decode(broken, frame())
    assert refused == {reason: 1}
    assert len(ticks) == 1


@pytest.mark.parametrize(
    ("payload", "read"),
    [
        (b'{"ltp": NaN, "symbol": "SBIN"}', "SBIN"),
        (b'{"ltp": 1, "symbol": "SB\xff"}', "SB\N{REPLACEMENT CHARACTER}"),
        (b'{"ltp": 1, "symbol": "SBIN"}', "SBIN"),
    ],
)
def test_a_frame_that_strict_json_is_not_is_read_as_far_as_it_goes(payload, read):
    found = frames.parse_frame(payload)
    assert found
    assert found["symbol"] == read


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"not json", b"[1]", b"1", b"null", b'{"ltp":', b"[" * 200_000, b'{"a":' * 200_000,
        b"9" * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_object_is_no_frame(payload):
    assert frames.parse_frame(payload) is None


def test_a_tick_just_five_seconds_ahead_is_not_from_the_future():
    ticks, refused = decode(frame(timestamp=RECEIVED_NS // 10**6 + 5_000))
    assert len(ticks) == 1
    assert refused == {}


def test_the_previous_close_of_a_quote_is_never_taken_for_a_price():
    ticks, refused = decode(frame(2, ltp=0, open=0, close=795.0))
    assert len(ticks) == 0
    assert refused == {"bad_price": 1}


ODD = [
    None, True, 0, -1, 1.5, math.nan, math.inf, 10**400, -(10**400), "", "x", "NaN", "1" * 400,
    [], [1],
    {}, {"buy": 5}, {"buy": [None]}, {"buy": [{"price": "x"}], "sell": [{"quantity": 10**400}]},
]  # fmt: skip
JSON_VALUES = st.sampled_from(ODD) | st.floats() | st.integers() | st.text(max_size=8)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["type", "symbol", "exchange", "mode", "topic", "data", "ltp"]), JSON_VALUES
    ),
    st.dictionaries(
        st.sampled_from(["ltp", "timestamp", "volume", "oi", "depth", "iv", "close", "bid"]),
        JSON_VALUES,
    ),
)
def test_no_frame_however_odd_ends_the_decoder(outer, inner):
    frame = {"symbol": "SBIN", "exchange": "NSE"} | outer
    frames.is_tick(frame)
    decode(frame, {**frame, "symbol": "SBIN", "exchange": "NSE", "data": inner})
