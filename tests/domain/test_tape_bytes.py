"""A tape's bytes: what was written comes back, and what was changed is found."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BrokenTape
from domain.instruments import Kind, Listing
from domain.prices import BAR_DTYPE, TICK_DTYPE
from domain.tape import (
    BARS,
    BEGIN,
    END,
    FACT,
    GENESIS,
    LISTINGS,
    SCHEMA,
    TICKS,
    Record,
    pack,
    pack_listings,
    read_log,
    record_after,
    run_of,
    to_line,
    unpack,
    unpack_listings,
)

OPTION = Listing(
    7, "NFO", "NIFTY25AUG2624000CE", "NIFTY", Kind.CALL, 65, Decimal("0.05"), 1800,
    date(2026, 8, 25), Decimal(24000), "t7",
)  # fmt: skip
INDEX = Listing(1, "NSE_INDEX", "NIFTY", "NIFTY", Kind.INDEX, 1, Decimal("0.05"), 0)


def chain(*bodies: tuple[str, int, dict]) -> list[Record]:
    records: list[Record] = []
    for kind, at_ns, body in bodies:
        previous = records[-1].digest if records else GENESIS
        records.append(record_after(previous, kind, at_ns, body))
    return records


def log_of(records: list[Record]) -> bytes:
    return b"".join(map(to_line, records))


HEAD = (BEGIN, 100, {"schema": SCHEMA, "launch": 3})
THREE = chain(HEAD, (FACT, 110, {"a": 1}), (END, 120, {"why": "stopped"}))


def test_a_log_comes_back_as_it_was_written() -> None:
    data = log_of(THREE)
    assert read_log(data) == (THREE, len(data))


@given(st.integers(1, 400))
def test_a_log_cut_anywhere_keeps_its_whole_records_and_is_not_broken(cut: int) -> None:
    data = log_of(THREE)
    records, length = read_log(data[:-cut])
    whole = data[:-cut].count(b"\n")
    assert records == THREE[:whole]
    assert length == len(log_of(THREE[:whole]))


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_found(place: int, by: int) -> None:
    data = bytearray(log_of(THREE))
    place %= len(data)
    data[place] = (data[place] + by) % 256
    try:
        records, length = read_log(bytes(data))
    except BrokenTape:
        return
    assert (records, length) != (THREE, len(data))  # an end of line that is none cuts the log


def test_a_record_taken_out_is_named_at_its_place() -> None:
    with pytest.raises(BrokenTape, match="record 2: it, or one before it, is not what was written"):
        read_log(log_of([THREE[0], THREE[2]]))


@given(st.lists(st.tuples(st.integers(0, 2**31), st.floats(allow_nan=False)), max_size=50))
def test_columns_come_back_as_they_were_packed(rows: list[tuple[int, float]]) -> None:
    ticks = np.zeros(len(rows), TICK_DTYPE)
    for tick, (listing, ltp) in zip(ticks, rows, strict=True):
        tick["listing"], tick["ltp"] = listing, ltp
    assert np.array_equal(unpack(pack(ticks), TICK_DTYPE, len(ticks)), ticks)


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="are not 3 rows"):
        unpack(pack(np.zeros(2, TICK_DTYPE)), TICK_DTYPE, 3)


def test_a_master_comes_back_with_its_exact_numbers() -> None:
    assert unpack_listings(pack_listings([OPTION, INDEX])) == (OPTION, INDEX)


def bars(*rows: tuple[int, int, float]) -> np.ndarray:
    found = np.zeros(len(rows), BAR_DTYPE)
    for bar, (listing, start_ns, close) in zip(found, rows, strict=True):
        bar["listing"], bar["start_ns"], bar["close"] = listing, start_ns, close
    return found


def test_a_run_has_its_ticks_in_order_and_the_newest_word_on_each_bar() -> None:
    first, second = np.zeros(1, TICK_DTYPE), np.zeros(2, TICK_DTYPE)
    first["ltp"], second["ltp"] = 5.0, (3.0, 4.0)
    early, late = bars((7, 60, 1.0), (1, 60, 2.0)), bars((7, 60, 9.0), (7, 120, 3.0))
    fact = {"message_id": "a:1.1:1", "cause": "", "kind": "RegimeChanged", "body": {"x": 1}}
    records = chain(
        HEAD, (LISTINGS, 101, {}), (TICKS, 102, {"rows": 1}), (FACT, 103, fact),
        (BARS, 104, {"timeframe": "1m", "rows": 2}), (TICKS, 105, {"rows": 2}),
        (BARS, 106, {"timeframe": "1m", "rows": 2}),
    )  # fmt: skip
    blocks = {
        1: pack_listings([OPTION]), 2: pack(first), 4: pack(early), 5: pack(second), 6: pack(late),
    }  # fmt: skip
    run = run_of("2026-08-19/0003", records, blocks)
    assert run.ticks["ltp"].tolist() == [5.0, 3.0, 4.0]
    assert run.bars["1m"][["listing", "start_ns", "close"]].tolist() == [
        (1, 60, 2.0), (7, 60, 9.0), (7, 120, 3.0),
    ]  # fmt: skip
    assert [(row.kind, row.at_ns) for row in run.facts] == [("RegimeChanged", 103)]
    assert (run.begin_ns, run.end_ns, run.ended) == (100, 106, False)
    assert run.listings == (OPTION,)


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (chain((FACT, 1, {})), "record 1: a run begins with its head"),
        (chain((BEGIN, 1, {"schema": 99})), "record 1: it is of form 99"),
        (chain(HEAD, (TICKS, 2, {"rows": 1})), "record 2: its block cannot be read"),
    ],
)
def test_what_is_no_run_is_refused_with_the_record(records: list[Record], told: str) -> None:
    with pytest.raises(BrokenTape, match=told):
        run_of("day/1", records, {1: b"no columns"})
