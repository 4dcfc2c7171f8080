"""adapters.price_table with real processes: torn rows, killed writers, successors."""

import math
import multiprocessing
import os
import resource
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import price_table
from adapters.price_table import LISTINGS_MAX, PriceReader, PriceWriter, table_path
from domain.prices import MODE_DEPTH, TICK_DTYPE

FORK = multiprocessing.get_context("fork")
WAIT_S = 20
FLOATS = ("ltp", "bid", "ask", "iv")
WHOLE = ("bid_quantity", "ask_quantity", "volume", "open_interest")


@pytest.fixture
def path(tmp_path):
    return table_path(tmp_path, "shard.test.1")


@pytest.fixture
def writer(path):
    made = PriceWriter(path)
    yield made
    made.close()


def ticks(*rows):
    """Rows of (listing, ltp) or (listing, fields); what a row does not name is absent."""
    made = np.zeros(len(rows), TICK_DTYPE)
    for name in FLOATS:
        made[name] = np.nan
    for name in WHOLE:
        made[name] = -1
    for index, (listing, told) in enumerate(rows):
        fields = told if isinstance(told, dict) else {"ltp": told}
        made[index]["listing"] = listing
        for name, value in {"ts_ns": 10 + index, "received_ns": 20 + index, **fields}.items():
            made[index][name] = value
    return made


def same_everywhere(listings, number):
    """Ticks whose every field tells the same number: a torn row tells two."""
    made = np.zeros(len(listings), TICK_DTYPE)
    made["listing"] = listings
    for name in (*FLOATS, *WHOLE, "ts_ns", "received_ns"):
        made[name] = number
    return made


def torn(rows):
    """Rows that do not tell one number everywhere."""
    return sum(
        bool((rows[name] != rows["volume"]).any())
        for name in (*FLOATS, *WHOLE, "ts_ns", "received_ns")
    )


def test_a_row_comes_back_as_it_was_written(path, writer):
    full = {
        "mode": MODE_DEPTH, "ts_ns": 5, "received_ns": 6, "ltp": 101.05, "bid": 101.0,
        "ask": 101.1, "bid_quantity": 75, "ask_quantity": 150, "volume": 9_000_000_000,
        "open_interest": 12, "iv": 0.18,
    }  # fmt: skip
    writer.write(ticks((300_000, full)))
    reader = PriceReader(path)
    assert reader.read(300_000)._asdict() == {"listing": 300_000, **full}
    assert reader.snapshot().tolist() == [(300_000, *full.values())]


@pytest.mark.parametrize("listing", [4, -1, LISTINGS_MAX, 2**32])
def test_a_listing_that_never_ticked_has_no_price(path, writer, listing):
    writer.write(ticks((3, 100.0)))
    reader = PriceReader(path)
    assert reader.read(listing) is None
    row = reader.read_many(np.array([listing, 3]) % 2**32)[0]
    assert math.isnan(row["ltp"])
    assert (row["ts_ns"], row["volume"]) == (0, -1)


def test_the_last_tick_of_a_batch_stays(path, writer):
    writer.write(ticks((1, 10.0), (2, 20.0), (1, 11.0), (1, 12.0)))
    writer.write(ticks((2, 21.0)))
    reader = PriceReader(path)
    assert [reader.read(n).ltp for n in (1, 2)] == [12.0, 21.0]
    assert reader.read_many(np.array([2, 1, 2]))["ltp"].tolist() == [21.0, 12.0, 21.0]


def test_what_a_tick_does_not_tell_stays_as_it_was(path, writer):
    writer.write(ticks((1, {"ltp": 10.0, "bid": 9.0, "volume": 500, "iv": 0.2})))
    writer.write(ticks((1, {"open_interest": 70}), (1, {"ltp": 11.0, "ask": 12.0})))
    price = PriceReader(path).read(1)
    assert (price.ltp, price.bid, price.ask) == (11.0, 9.0, 12.0)
    assert (price.volume, price.open_interest, price.iv) == (500, 70, 0.2)


def test_a_tick_without_a_price_moves_neither_the_price_nor_its_times(path, writer):
    writer.write(ticks((1, {"ltp": 10.0, "ts_ns": 5, "received_ns": 6, "mode": 3})))
    writer.write(ticks((1, {"ltp": 0.0, "ts_ns": 8, "received_ns": 9, "open_interest": 4})))
    price = PriceReader(path).read(1)
    assert (price.ltp, price.ts_ns, price.received_ns, price.mode) == (10.0, 5, 6, 3)
    assert price.open_interest == 4


def test_listings_that_find_no_row_are_counted_and_the_others_kept(path, writer, monkeypatch):
    monkeypatch.setattr(price_table, "ROWS_MAX", 2)
    writer.write(ticks((5, 1.0), (LISTINGS_MAX, 2.0), (6, 3.0)))
    writer.write(ticks((7, 4.0), (6, 5.0)))
    assert writer.refused == 2
    assert PriceReader(path).snapshot()[["listing", "ltp"]].tolist() == [(5, 1.0), (6, 5.0)]


def test_an_empty_batch_changes_nothing(path, writer):
    writer.write(ticks())
    assert not len(PriceReader(path).snapshot())


def test_there_is_nothing_to_read_before_the_first_writer(path):
    with pytest.raises(FileNotFoundError):
        PriceReader(path)


def test_a_file_of_another_kind_is_refused_by_readers_and_replaced_by_a_writer(path):
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="no price table"):
        PriceReader(path)
    writer = PriceWriter(path)
    writer.write(ticks((1, 2.0)))
    assert PriceReader(path).read(1).ltp == 2.0
    writer.close()


def test_a_table_takes_its_room_on_the_disk_when_it_is_made(path, writer):
    told = path.stat()
    assert told.st_blocks * 512 >= told.st_size


def test_a_table_that_finds_no_room_is_refused_at_once_and_leaves_nothing(path):
    def refused():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with pytest.raises(OSError, match="too large"):
            PriceWriter(path)

    process = started(refused)
    process.join(WAIT_S)
    assert process.exitcode == 0
    assert os.listdir(path.parent) == []


def test_a_table_has_one_writer_at_a_time(path, writer):
    with pytest.raises(BlockingIOError, match="another process"):
        PriceWriter(path)


def test_a_successor_goes_on_and_readers_need_not_attach_again(path):
    first = PriceWriter(path)
    first.write(ticks((1, {"ltp": 10.0, "volume": 5, "iv": 0.3}), (2, 20.0)))
    reader = PriceReader(path)
    first.close()
    second = PriceWriter(path)
    second.write(ticks((3, 30.0), (1, 11.0)))
    assert [reader.read(n).ltp for n in (1, 2, 3)] == [11.0, 20.0, 30.0]
    assert (reader.read(1).volume, reader.read(1).iv) == (5, 0.3)
    second.close()


batches = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.fixed_dictionaries(
                {
                    "ltp": st.sampled_from([math.nan, 0.0, 1.0, 2.0, 3.0]),
                    "bid": st.sampled_from([math.nan, 1.0, 2.0]),
                    "volume": st.sampled_from([-1, 0, 7, 8]),
                    "iv": st.sampled_from([math.nan, math.nan, 0.1]),
                    "ts_ns": st.integers(1, 99),
                }
            ),
        ),
        max_size=12,
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(batches)
def test_the_table_equals_ticks_taken_one_by_one(made):
    with tempfile.TemporaryDirectory() as folder:
        check_one_by_one(table_path(Path(folder), "s"), made)


def check_one_by_one(path, made):
    writer, told = PriceWriter(path), {}
    for batch in made:
        writer.write(ticks(*batch))
        for listing, tick in batch:
            row = told.setdefault(listing, dict.fromkeys(("ltp", "bid", "iv"), math.nan))
            row.setdefault("volume", -1)
            row.setdefault("ts_ns", 0)
            if tick["ltp"] > 0:
                row.update(ltp=tick["ltp"], ts_ns=tick["ts_ns"])
            row.update({n: tick[n] for n in ("bid", "iv") if not math.isnan(tick[n])})
            row.update({"volume": tick["volume"]} if tick["volume"] >= 0 else {})
    writer.close()
    reader = PriceReader(path)
    assert sorted(reader.snapshot()["listing"].tolist()) == sorted(told)
    for listing, row in told.items():
        got = reader.read(listing)._asdict()
        assert {name: got[name] for name in row} == pytest.approx(row, nan_ok=True)


# -- a row that moves while it is copied --

LISTINGS = np.arange(100, 164)


class Moving:
    """A reader's versions. After the first look the writer writes once, and begins once more."""

    def __init__(self, versions, writer):
        self.versions, self.writer = versions, writer

    def __getitem__(self, rows):
        seen = self.versions[rows]
        if self.writer:
            self.writer.write(same_everywhere(LISTINGS, 2))
            begun = same_everywhere(LISTINGS, 3).view(np.uint8).reshape(len(LISTINGS), -1)
            size = TICK_DTYPE.itemsize
            slots = self.writer._columns.slots.view(np.uint8).reshape(-1, size)
            # Version 3 will stand in the odd slots; half of each row is there already.
            slots[1 : 2 * len(LISTINGS) : 2, size // 2 :] = begun[:, size // 2 :]
            self.writer = None
        return seen


def test_a_row_that_moved_while_it_was_copied_is_copied_again(path, writer):
    writer.write(same_everywhere(LISTINGS, 1))
    reader = PriceReader(path)
    reader._versions = Moving(reader._versions, writer)
    one = reader.read(int(LISTINGS[7]))
    assert {float(value) for value in one[2:]} == {2.0}


def test_rows_that_moved_while_they_were_copied_are_copied_again(path, writer, monkeypatch):
    monkeypatch.setattr(price_table, "CODE", None)  # only Python's looks can be played to
    writer.write(same_everywhere(LISTINGS, 1))
    reader = PriceReader(path)
    reader._columns.versions = Moving(reader._columns.versions, writer)
    many = reader.read_many(LISTINGS)
    assert torn(many) == 0
    assert (many["volume"] == 2).all()


# -- other processes --


def hammer(path):
    writer, number = PriceWriter(path), 1
    while True:
        writer.write(same_everywhere(LISTINGS, number))
        number += 1


def started(target, *args):
    process = FORK.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def reader_of(path):
    """Attached once every listing has a price."""
    deadline = time.monotonic() + WAIT_S
    while not path.exists():
        assert time.monotonic() < deadline
    reader = PriceReader(path)
    while len(reader.snapshot()) < len(LISTINGS):
        assert time.monotonic() < deadline
    return reader


def test_a_reader_never_sees_a_torn_row_under_a_hammering_writer(path):
    process = started(hammer, path)
    reader, deadline = reader_of(path), time.monotonic() + WAIT_S
    numbers, newest = set(), 0
    while len(numbers) < 1_000:
        assert time.monotonic() < deadline
        assert process.is_alive()
        many = reader.read_many(LISTINGS)
        assert torn(many) == 0
        one = reader.read(int(LISTINGS[7]))
        assert {float(value) for value in one[2:]} == {float(one.volume)}
        assert newest <= one.volume  # and it never goes back
        newest = one.volume
        numbers.add(newest)
    process.kill()
    process.join()


def test_a_writer_killed_at_any_moment_leaves_whole_rows_and_a_successor_goes_on(path):
    before = np.zeros(len(LISTINGS))
    for life in range(12):
        process = started(hammer, path)
        reader = reader_of(path)
        deadline = time.monotonic() + WAIT_S
        start = reader.read(100).volume
        while reader.read(100).volume == start:
            assert time.monotonic() < deadline
        for _ in range(life * 50):
            reader.read(100)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        left = reader.read_many(LISTINGS)
        assert torn(left) == 0
        versions = reader._columns.versions[: len(LISTINGS)].copy()
        assert (versions > before).all()
        before = versions
    assert len(reader.snapshot()) == len(LISTINGS)


class DiesHalfway:
    """The table's slots; the second batch ends the process in the middle of a row."""

    def __init__(self, slots):
        self.slots, self.batches = slots, 0

    def take(self, at):
        return self.slots.take(at)

    def __setitem__(self, at, rows):
        self.batches += 1
        if self.batches == 1:
            self.slots[at] = rows
            return
        middle = len(at) // 2
        self.slots[at[:middle]] = rows[:middle]
        size = TICK_DTYPE.itemsize
        raw = self.slots.view(np.uint8).reshape(-1, size)
        raw[at[middle], : size // 2] = rows.view(np.uint8).reshape(-1, size)[middle, : size // 2]
        os.kill(os.getpid(), signal.SIGKILL)


def die_halfway(path):
    price_table.CODE = None  # of this process: where Python writes the slots, it can stop halfway
    writer = PriceWriter(path)
    writer._columns.slots = DiesHalfway(writer._columns.slots)
    for number in (1, 2):
        writer.write(same_everywhere(LISTINGS, number))


def test_a_death_in_the_middle_of_a_row_is_not_seen_and_blocks_nobody(path):
    process = started(die_halfway, path)
    process.join(WAIT_S)
    assert process.exitcode == -signal.SIGKILL
    reader = PriceReader(path)
    assert (reader.read_many(LISTINGS)["volume"] == 1).all()
    successor = PriceWriter(path)
    successor.write(same_everywhere(LISTINGS[::2], 3))
    got = reader.read_many(LISTINGS)
    assert torn(got) == 0
    assert got["volume"].tolist() == [3, 1] * (len(LISTINGS) // 2)
    successor.close()


def test_nothing_is_left_where_the_run_directory_was(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shared = set(os.listdir("/dev/shm"))
    process = started(hammer, table_path(run, "a"))
    reader_of(table_path(run, "a"))
    process.kill()
    process.join()
    assert os.listdir(run) == ["a.prices"]
    assert set(os.listdir("/dev/shm")) - shared == set()
