"""Tapes on disk: a kill in mid-write costs at most the record under way, a full disk no more than
what found no room, and a changed byte is found.
"""

from __future__ import annotations

import os
from collections import namedtuple
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.errors import BrokenTape, StorageFailure
from domain.prices import TICK_DTYPE
from domain.tape import BEGIN, END, SCHEMA, TICKS, pack
from persistence import tape
from persistence.tape import (
    TapeWriter,
    forget_days,
    newest_run,
    prove_tapes,
    read_run,
    run_folder,
    runs_of,
)

DAY = date(2026, 8, 19)
HEAD = {"schema": SCHEMA, "launch": 1, "after": ["", ""]}
Usage = namedtuple("Usage", "total used free")


def ticks(*prices: float) -> np.ndarray:
    found = np.zeros(len(prices), TICK_DTYPE)
    found["ltp"] = prices
    return found


def write_run(data_dir: Path, launch: int = 1, day: date = DAY, **head: Any) -> Path:
    """A run of two ticks in one block, and one more in a second."""
    folder = run_folder(data_dir, day, launch)
    writer = TapeWriter(folder, 0)
    writer.append(BEGIN, 1, HEAD | head)
    for at_ns, columns in ((2, ticks(1.0, 2.0)), (3, ticks(3.0))):
        writer.append(TICKS, at_ns, {"rows": len(columns)}, pack(columns))
    return folder


def test_a_run_comes_back_whole(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path))
    assert run.ticks["ltp"].tolist() == [1.0, 2.0, 3.0]
    assert (run.name, run.begin_ns, run.end_ns, run.ended) == ("2026-08-19/0001", 1, 3, False)
    whole, lines = prove_tapes(tmp_path)
    assert whole
    assert lines[0].startswith("1 tapes are whole: 3 records")


@pytest.mark.parametrize("log_cut", [1, 20, 90])
def test_a_kill_in_mid_write_costs_the_record_under_way_and_the_next_life_goes_on(
    tmp_path: Path, log_cut: int
) -> None:
    folder = write_run(tmp_path)
    os.truncate(folder / tape.LOG, (folder / tape.LOG).stat().st_size - log_cut)
    whole, lines = prove_tapes(tmp_path)
    assert (whole, lines[1]) == (
        True, "the last record of the tape 2026-08-19/0001 was cut short; it does not count",
    )  # fmt: skip
    assert read_run(folder).ticks["ltp"].tolist() == [1.0, 2.0]
    writer = TapeWriter(folder, 0)
    writer.append(TICKS, 4, {"rows": 1}, pack(ticks(9.0)))
    writer.append(END, 5, {})
    assert read_run(folder).ticks["ltp"].tolist() == [1.0, 2.0, 9.0]
    assert prove_tapes(tmp_path)[0]


def test_a_changed_byte_of_the_columns_is_found(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    data = bytearray((folder / tape.COLUMNS).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / tape.COLUMNS).write_bytes(data)
    whole, lines = prove_tapes(tmp_path)
    assert not whole
    assert lines[0].startswith("the tape 2026-08-19/0001 is broken at record ")
    assert lines[0].endswith("its block in columns.bin is not what was written")
    with pytest.raises(BrokenTape):
        read_run(folder)


def test_a_changed_byte_of_the_log_is_found(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    log = (folder / tape.LOG).read_bytes()
    (folder / tape.LOG).write_bytes(log.replace(b'"rows":2', b'"rows":1'))
    assert prove_tapes(tmp_path) == (
        False,
        ["the tape 2026-08-19/0001 is broken at record 2: it, or one before it, is not what was "
         "written"],
    )  # fmt: skip


def test_a_run_whose_end_was_cut_off_after_the_next_began_is_found(tmp_path: Path) -> None:
    first = write_run(tmp_path)
    write_run(tmp_path, 2, after=list(newest_run(tmp_path)))
    assert prove_tapes(tmp_path)[0]
    log = (first / tape.LOG).read_bytes().splitlines(keepends=True)
    (first / tape.LOG).write_bytes(b"".join(log[:-1]))
    assert prove_tapes(tmp_path) == (
        False, ["the tape 2026-08-19/0001 does not end as it ended when 2026-08-19/0002 began"],
    )  # fmt: skip


def test_a_write_that_fails_half_way_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path)
    writer, before = TapeWriter(folder, 0), (folder / tape.LOG).read_bytes()
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if data.startswith(b"["):  # the line of the log, behind its block
            real(handle, data[:10])
            raise OSError(28, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFailure, match="No space left on device"):
        writer.append(TICKS, 4, {"rows": 1}, pack(ticks(4.0)))
    monkeypatch.undo()
    assert (folder / tape.LOG).read_bytes() == before
    writer.append(TICKS, 4, {"rows": 1}, pack(ticks(5.0)))
    assert read_run(folder).ticks["ltp"].tolist() == [1.0, 2.0, 3.0, 5.0]


def test_room_is_left_to_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = TapeWriter(run_folder(tmp_path, DAY, 1), 500)
    usage = Usage(10**12, 0, 499_000_000)
    monkeypatch.setattr(tape.shutil, "disk_usage", lambda _: usage)
    told = "499 MB are free on its disk, and 500 MB are left to orders"
    with pytest.raises(StorageFailure, match=told):
        writer.append(BEGIN, 1, HEAD)


def test_old_days_go_and_nothing_else(tmp_path: Path) -> None:
    for day in (17, 18, 19):
        write_run(tmp_path, day=date(2026, 8, day))
    (tmp_path / tape.FOLDER / "notes").mkdir()
    assert forget_days(tmp_path, date(2026, 8, 18)) == ["2026-08-17"]
    left = sorted(path.name for path in (tmp_path / tape.FOLDER).iterdir())
    assert left == ["2026-08-18", "2026-08-19", "notes"]


def test_the_runs_of_a_day_and_of_all_days_come_oldest_first(tmp_path: Path) -> None:
    first, second = write_run(tmp_path, 2), write_run(tmp_path, 10)
    later = write_run(tmp_path, 1, date(2026, 8, 20))
    assert runs_of(first.parent) == [first, second]
    assert runs_of(second) == [second]
    assert runs_of(tmp_path / tape.FOLDER) == [first, second, later]
