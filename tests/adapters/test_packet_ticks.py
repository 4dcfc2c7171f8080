"""adapters.packet_ticks: which packets are believed, on packets made by hand."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from adapters.packet_ticks import OpenInterests, to_ticks
from adapters.packets import PacketKind, blank
from adapters.ports import StreamCounters
from adapters.smartapi import mapping
from domain.instruments import Kind, Listing
from tests.kit.feed_servers.quotes import Level, Quote
from tests.kit.feed_servers.smartapi_feed import SNAP_QUOTE, packet

NOW_S = 1_795_149_900
TOKENS = mapping.token_table([
    Listing(7, "NSE", "SBIN", "SBIN", Kind.EQUITY, 1, Decimal("0.05"), 0, token="3045"),
])  # fmt: skip
GOOD = Quote(
    1, 3045, Decimal("801.35"), volume=12, oi=34, exchange_ms=NOW_S * 1000,
    bids=(Level(10, Decimal("801.30"), 1),) * 5, asks=(Level(20, Decimal("801.40"), 2),) * 5,
)  # fmt: skip


def ticks_of(*quotes):
    counters = StreamCounters()
    wire = [packet(quote, SNAP_QUOTE) for quote in quotes]
    batch = mapping.decode(wire, TOKENS, NOW_S * 1_000_000_000)
    return to_ticks(batch.packets, counters), counters


def test_a_full_packet_is_a_tick_with_its_best_bid_and_ask():
    ticks, counters = ticks_of(GOOD)
    assert ticks[["listing", "mode", "ltp", "bid", "ask"]].tolist() == [
        (7, 3, 801.35, 801.3, 801.4)
    ]
    sizes = ticks[["bid_quantity", "ask_quantity", "volume", "open_interest"]].tolist()
    assert sizes == [(10, 20, 12, 34)]
    assert ticks["ts_ns"].tolist() == ticks["received_ns"].tolist() == [NOW_S * 1_000_000_000]
    assert (counters.ticks, counters.refused) == (1, {})


@pytest.mark.parametrize(("wrong", "reason"), [
    ({"token": 9999}, "unknown_symbol"),
    ({"last_price": Decimal(0)}, "bad_price"),
    ({"last_price": Decimal(-5)}, "bad_price"),
    ({"last_price": Decimal(20_000_000)}, "bad_price"),
    ({"exchange_ms": 631_152_000_000}, "bad_time"),  # 1990
    ({"exchange_ms": (NOW_S + 6) * 1000}, "future"),
])  # fmt: skip
def test_what_cannot_be_is_refused_by_its_reason_and_the_rest_stays(wrong, reason):
    ticks, counters = ticks_of(GOOD, replace(GOOD, **wrong), GOOD)
    assert ticks["ltp"].tolist() == [801.35, 801.35]
    assert (counters.ticks, counters.refused) == (2, {reason: 1})


def test_five_seconds_ahead_of_us_is_no_future():
    ticks, _ = ticks_of(replace(GOOD, exchange_ms=(NOW_S + 5) * 1000))
    assert len(ticks) == 1


def test_an_empty_side_of_the_book_is_missing_and_not_nothing():
    ticks, _ = ticks_of(replace(GOOD, bids=(Level(0, Decimal(0), 0),) * 5))
    assert np.isnan(ticks["bid"]).all()
    assert ticks[["bid_quantity", "ask", "ask_quantity"]].tolist() == [(-1, 801.4, 20)]


def test_what_says_nothing_of_a_price_is_no_tick():
    packets = blank(2)
    packets["kind"] = (PacketKind.OPEN_INTEREST, PacketKind.PREVIOUS_CLOSE)
    assert len(to_ticks(packets, StreamCounters())) == 0


def test_an_open_interest_told_apart_goes_into_the_ticks_that_lack_it():
    interests, (told, quote) = OpenInterests(), ticks_of(GOOD)[0].repeat(2).reshape(2, 1)
    packets = blank(3)
    packets["kind"], packets["row"], packets["oi"] = (
        PacketKind.OPEN_INTEREST,
        (7, 9, -1),
        (55, 1, 2),
    )
    interests.keep(packets)
    quote["open_interest"] = -1
    for ticks, expected in ((told, 34), (quote, 55)):
        interests.fill(ticks)
        assert ticks["open_interest"].tolist() == [expected]
    stranger = quote.copy()
    stranger["listing"], stranger["open_interest"] = 4_000_000, -1
    interests.fill(stranger)
    assert stranger["open_interest"].tolist() == [-1]
