"""Tapes on disk: `journal/<day>/<launch>/` of the data folder, a log of records and the blocks they
point into. One writer; whoever reads may do so beside it.

A block is on the file before its record, so that a kill leaves at most a block nobody points at and
a line without its end; the next life cuts both off. Nothing is synced: a power cut may cost the
last seconds, and orders have tables of their own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from domain.errors import BrokenTape, StorageFailure
from domain.tape import BEGIN, GENESIS, Record, TapedRun, read_log, record_after, run_of, to_line

FOLDER = "journal"
LOG, COLUMNS = "log.jsonl", "columns.bin"
BYTES_A_MB = 1_000_000
READ_BYTES = 1 << 20


class TapeWriter:
    """Appends to one run's tape. Raises StorageFailure when the disk takes nothing, and then stands
    where it stood; BrokenTape when what lies there is not what was written."""

    def __init__(self, folder: Path, free_mb_min: int) -> None:
        self._folder, self._free_bytes_min = folder, free_mb_min * BYTES_A_MB
        self.newest: dict[str, Record] = {}  # of each kind
        self._digest, self._log_bytes, self._column_bytes = GENESIS, 0, 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / LOG).touch()
            (folder / COLUMNS).touch()
            records, self._log_bytes = read_log((folder / LOG).read_bytes())
        except OSError as failure:
            raise StorageFailure(f"{folder} cannot be written: {failure.strerror}") from failure
        for record in records:
            self._digest = record.digest
            self.newest[record.kind] = record
            if "length" in record.body:
                self._column_bytes = record.body["offset"] + record.body["length"]
        self._cut()

    def append(self, kind: str, at_ns: int, body: Mapping[str, Any], block: bytes = b"") -> None:
        """One record, behind its block."""
        place = {
            "offset": self._column_bytes,
            "length": len(block),
            "sha256": hashlib.sha256(block).hexdigest(),
        }
        record = record_after(self._digest, kind, at_ns, {**body, **(place if block else {})})
        line = to_line(record)
        try:
            self._check_room(len(block) + len(line))
            if block:
                _append(self._folder / COLUMNS, block)
            _append(self._folder / LOG, line)
        except OSError as failure:
            self._cut()
            raise StorageFailure(
                f"the tape in {self._folder} cannot be written: {failure.strerror}"
            ) from failure
        self._digest = record.digest
        self.newest[kind] = record
        self._log_bytes += len(line)
        self._column_bytes += len(block)

    def _check_room(self, wanted: int) -> None:
        """Orders need room on this disk more than a tape does."""
        free = shutil.disk_usage(self._folder).free
        if free - wanted < self._free_bytes_min:
            raise StorageFailure(
                f"the tape rests: {free // BYTES_A_MB} MB are free on its disk, and "
                f"{self._free_bytes_min // BYTES_A_MB} MB are left to orders"
            )

    def _cut(self) -> None:
        """Takes away what no whole record stands for; that needs no room."""
        try:
            os.truncate(self._folder / LOG, self._log_bytes)
            os.truncate(self._folder / COLUMNS, self._column_bytes)
        except OSError as failure:
            raise StorageFailure(
                f"the tape in {self._folder} cannot be cut: {failure.strerror}"
            ) from failure


def run_folder(data_dir: Path, day: date, launch: int) -> Path:
    """Where the tape of a launch on a day lies."""
    return data_dir / FOLDER / day.isoformat() / f"{launch:04d}"


def runs_of(folder: Path) -> list[Path]:
    """The runs in a folder, which is one itself, a day, or all days; oldest first."""
    return sorted(path.parent for path in folder.glob("**/" + LOG))


def newest_run(data_dir: Path) -> tuple[str, str]:
    """(name, digest) of the run that was written last; empty words where there is none, or where it
    is broken, which a proof of the journal tells."""
    runs = runs_of(data_dir / FOLDER)
    if not runs:
        return "", ""
    try:
        records, _ = read_log((runs[-1] / LOG).read_bytes())
    except (OSError, BrokenTape):
        return "", ""
    return name_of(runs[-1]), records[-1].digest if records else ""


def name_of(run: Path) -> str:
    """`2026-11-20/0003`."""
    return f"{run.parent.name}/{run.name}"


def read_run(run: Path) -> TapedRun:
    """A run whole, proven on the way. Raises BrokenTape, or OSError where there is none."""
    records, _ = read_log((run / LOG).read_bytes())
    blocks = {}
    with (run / COLUMNS).open("rb") as file:
        for place, record in enumerate(records):
            if "length" in record.body:
                file.seek(record.body["offset"])
                blocks[place] = file.read(record.body["length"])
                if hashlib.sha256(blocks[place]).hexdigest() != record.body["sha256"]:
                    raise BrokenTape(place + 1, f"its block in {COLUMNS} is not what was written")
    return run_of(name_of(run), records, blocks)


def prove_tapes(data_dir: Path) -> tuple[bool, list[str]]:
    """Whether every tape of a data folder is what was written, and the lines that say so."""
    faults, count, size, torn = [], 0, 0, []
    digests: dict[str, str] = {}
    for run in runs_of(data_dir / FOLDER):
        name = name_of(run)
        try:
            log = (run / LOG).read_bytes()
            records, length = read_log(log)
            size += _prove_blocks(run, records)
        except (BrokenTape, OSError) as fault:
            faults.append(f"the tape {name} is broken at {fault}")
            continue
        if length < len(log):
            torn.append(f"the last record of the tape {name} was cut short; it does not count")
        count += len(records)
        before, digest = _before(records)
        if before in digests and digests[before] != digest:
            faults.append(f"the tape {before} does not end as it ended when {name} began")
        digests[name] = records[-1].digest if records else ""
    if faults:
        return False, faults
    if not digests:
        return True, []
    told = f"{len(digests)} tapes are whole: {count} records, {size / BYTES_A_MB:.1f} MB of columns"
    return True, [told, *torn]


def forget_days(data_dir: Path, oldest: date) -> list[str]:
    """Removes the tapes of days before `oldest`; their names. Other folders are left alone."""
    gone = []
    for path in sorted((data_dir / FOLDER).glob("*")):
        try:
            is_old = date.fromisoformat(path.name) < oldest
        except ValueError:
            continue  # not ours
        if is_old:
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path.name)
    return gone


def _before(records: list[Record]) -> tuple[str, str]:
    """(name, digest) of the run before, as the head tells it."""
    if not records or records[0].kind != BEGIN:
        return "", ""
    name, digest = records[0].body["after"]
    return name, digest


def _prove_blocks(run: Path, records: list[Record]) -> int:
    """The bytes of all blocks; BrokenTape at the first that is not what was written."""
    size = 0
    with (run / COLUMNS).open("rb") as file:
        for place, record in enumerate(records):
            left = record.body.get("length", 0)
            if not left:
                continue
            size += left
            digest = hashlib.sha256()
            file.seek(record.body["offset"])
            while left and (piece := file.read(min(left, READ_BYTES))):
                digest.update(piece)
                left -= len(piece)
            if digest.hexdigest() != record.body["sha256"]:
                raise BrokenTape(place + 1, f"its block in {COLUMNS} is not what was written")
    return size


def _append(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        while data:
            data = data[os.write(handle, data) :]
    finally:
        os.close(handle)
