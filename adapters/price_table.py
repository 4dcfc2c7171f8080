"""The last-price table: the newest tick of each listing, in memory that other processes read.

A source (one socket's owner) has a table of its own: a file of fixed size below the run directory,
mapped by its one writer and by any number of readers. Each listing has a row, given at its first
tick and kept for the life of the file; a row has a version and two slots. Version n stands in slot
n % 2: the writer fills the other slot and then raises the version, so that a number is never
overwritten while it is the newest. A reader copies the slot, and once more if the version moved
meanwhile (a seqlock with a latch). A writer killed in the middle leaves every row as it was.

The order in which stores become visible is that of x86-64. Elsewhere it rests on the thousands of
instructions that the interpreter runs between a slot's store and its version's, and no store
buffer is as deep.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.machine_code import CODE, ODD, address
from domain.prices import TICK_DTYPE

# 4 bytes a listing, and pages that nobody touches take no memory. A master has some 300,000 rows;
# ids grow by what is newly listed.
LISTINGS_MAX = 1 << 21
# A socket carries 5,000; in a day it may take over what all others carried, 25,000.
ROWS_MAX = 1 << 15
READS_MAX = 1_000  # a row that moves faster than it is copied, this often, is no market
_HEADER_BYTES = mmap.PAGESIZE
_HEADER = struct.Struct("<8sIII")
_SCHEMA = zlib.crc32(repr(TICK_DTYPE.descr).encode())
_STAMP = _HEADER.pack(b"tomic/p1", _SCHEMA, LISTINGS_MAX, ROWS_MAX)
_SLOT = np.dtype(f"V{TICK_DTYPE.itemsize}")
_COUNT_AT = 64
_VERSIONS_AT = _HEADER_BYTES + 4 * LISTINGS_MAX
_SLOTS_AT = _VERSIONS_AT + 8 * ROWS_MAX
_FILE_BYTES = _SLOTS_AT + 2 * ROWS_MAX * TICK_DTYPE.itemsize
# What a tick without a price must not move: the price, and when it was true.
_OF_THE_PRICE = ("mode", "ts_ns", "received_ns", "ltp")
_FLOATS = ("bid", "ask", "iv")
_INTEGERS = ("bid_quantity", "ask_quantity", "volume", "open_interest")


class Price(NamedTuple):
    """One row: the fields of TICK_DTYPE, in its order. Unknown is NaN or -1."""

    listing: int
    mode: int
    ts_ns: int
    received_ns: int
    ltp: float
    bid: float
    ask: float
    bid_quantity: int
    ask_quantity: int
    volume: int
    open_interest: int
    iv: float


_UNSEEN = np.array(Price(0, 0, 0, 0, np.nan, np.nan, np.nan, -1, -1, -1, -1, np.nan), TICK_DTYPE)
_unpack = struct.Struct(
    "<" + "".join({"u4": "I", "u1": "B", "i8": "q", "f8": "d"}[k[1:]] for _, k in TICK_DTYPE.descr)
).unpack_from


class _Columns:
    """The parts of a mapped table as arrays of the mapping's own memory."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self.count = np.frombuffer(mapping, np.int64, 1, _COUNT_AT)
        self.row_of = np.frombuffer(mapping, np.int32, LISTINGS_MAX, _HEADER_BYTES)  # + 1; 0: none
        self.versions = np.frombuffer(mapping, np.int64, ROWS_MAX, _VERSIONS_AT)
        self.slots = np.frombuffer(mapping, _SLOT, 2 * ROWS_MAX, _SLOTS_AT)

    def read(self, rows: np.ndarray, versions: np.ndarray) -> np.ndarray:
        """The slots in which these versions stand, as TICK_DTYPE; unseen where a version is 0."""
        ticks: np.ndarray = self.slots.take(2 * rows + (versions & 1)).view(TICK_DTYPE)
        ticks[versions == 0] = _UNSEEN
        return ticks


class PriceWriter:
    """The one owner of a table. A successor of one that died goes on where it stopped."""

    def __init__(self, path: Path) -> None:
        """Attaches to the table at `path`, or makes it when there is none that fits.

        Raises BlockingIOError while another process owns it, OSError when the disk is full.
        """
        self.refused = 0  # ticks of listings that found no row
        self._file = _own(path)
        self._columns = _Columns(mmap.mmap(self._file, _FILE_BYTES))
        self._mark = np.zeros(ROWS_MAX, np.int32)
        shared = self._columns.row_of, self._columns.versions, self._columns.slots
        self._addresses = [address(column) for column in shared]
        rows = int(self._columns.count[0])
        slots = self._columns.read(np.arange(rows), self._columns.versions[:rows])
        self._tells_iv = not np.isnan(slots["iv"]).all()

    def write(self, ticks: np.ndarray) -> None:
        """Takes a TICK_DTYPE batch in order of arrival; the newest number of each field stays.

        What a tick does not tell (NaN, -1) leaves what stood; without a price it moves neither the
        price nor its times.
        """
        if CODE is not None and ticks.flags.c_contiguous:
            taken = CODE.write_prices(address(ticks), len(ticks), *self._addresses)
            if taken != ODD:
                return
        self._write(ticks)

    def _write(self, ticks: np.ndarray) -> None:
        """As `write`; listings that never ticked get their rows here."""
        columns = self._columns
        rows = self._find(ticks["listing"])
        if len(rows) and rows.min() < 0:
            self.refused += int(np.count_nonzero(rows < 0))
            found = np.flatnonzero(rows >= 0)
            rows, ticks = rows[found], _take(ticks, found)
        rows, newest = self._newest_of_each(rows, ticks)
        versions = columns.versions[rows] + 1
        columns.slots[2 * rows + (versions & 1)] = np.ascontiguousarray(newest).view(_SLOT)
        columns.versions[rows] = versions

    def close(self) -> None:
        """Gives the table up; it stays for its readers and for a successor."""
        fcntl.flock(self._file, fcntl.LOCK_UN)  # the mapping holds the file open a while longer
        os.close(self._file)

    def _find(self, listings: np.ndarray) -> np.ndarray:
        """Rows of listings, new ones get theirs; -1 where there is no room."""
        columns = self._columns
        rows = columns.row_of.take(listings, mode="clip") - 1
        if not len(rows) or (rows.min() >= 0 and int(listings.max()) < LISTINGS_MAX):
            return rows
        inside = listings < LISTINGS_MAX
        first = int(columns.count[0])
        fresh = np.unique(listings[inside & (rows < 0)])[: ROWS_MAX - first]
        # Counted before it is pointed to: a successor never gives one row to two listings.
        columns.count[0] = first + len(fresh)
        columns.row_of[fresh] = np.arange(first + 1, first + len(fresh) + 1)
        return np.where(inside, columns.row_of.take(listings, mode="clip") - 1, -1)

    def _newest_of_each(self, rows: np.ndarray, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each row once, with the newest number of each field."""
        absent = self._absent(ticks)
        if not absent and self._is_once(rows):
            return rows, ticks
        order = np.argsort(rows, kind="stable")
        rows, ticks = rows[order], _take(ticks, order)
        lasts = np.flatnonzero(np.append(rows[1:] != rows[:-1], True)[: len(rows)])
        mine, newest = rows[lasts], _take(ticks, lasts)
        if absent:
            firsts = np.append(0, lasts[:-1] + 1)[: len(lasts)]
            stood = self._columns.read(mine, self._columns.versions[mine])
            for name, missing in absent.items():
                told = np.where(missing[order], -1, np.arange(len(rows)))
                last = np.maximum.reduceat(told, firsts)
                newest[name] = np.where(last >= 0, ticks[name][last], stood[name])
        return mine, newest

    def _absent(self, ticks: np.ndarray) -> dict[str, np.ndarray]:
        """By field, where a tick does not tell it; only fields that some tick leaves out."""
        found = {name: ticks[name] < 0 for name in _INTEGERS}
        found |= {name: np.isnan(ticks[name]) for name in _FLOATS}
        unpriced = ~(ticks["ltp"] > 0)
        found |= dict.fromkeys(_OF_THE_PRICE, unpriced)
        # Most sources never tell a volatility: then nothing stands that could be lost.
        self._tells_iv = self._tells_iv or not found["iv"].all()
        if not self._tells_iv:
            del found["iv"]
        return {name: missing for name, missing in found.items() if missing.any()}

    def _is_once(self, rows: np.ndarray) -> bool:
        order = np.arange(len(rows), dtype=np.int32)
        self._mark[rows] = order
        return bool((self._mark[rows] == order).all())


class PriceReader:
    """Reads the table of one source, while it is written or after its writer died."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError while there is no table, ValueError when it is another kind."""
        with path.open("rb") as file:
            if file.read(len(_STAMP)) != _STAMP:
                raise ValueError(f"{path.name} is no price table of this version")
            mapping = mmap.mmap(file.fileno(), _FILE_BYTES, access=mmap.ACCESS_READ)
        self._columns = _Columns(mapping)
        self._mapping = mapping
        # Plain memory views: an item of theirs costs half of a numpy scalar.
        self._row_of = memoryview(self._columns.row_of)
        self._versions = memoryview(self._columns.versions)
        self._addresses = [address(self._columns.versions), address(self._columns.slots)]

    def read(self, listing: int) -> Price | None:
        """The newest row of a listing; None when it never ticked.

        Raises TimeoutError when the row moves faster than it can be copied.
        """
        row = self._row_of[listing] - 1 if 0 <= listing < LISTINGS_MAX else -1
        if row < 0:
            return None
        versions = self._versions
        at = _SLOTS_AT + 2 * row * TICK_DTYPE.itemsize
        for _ in range(READS_MAX):
            version = versions[row]
            if not version:
                return None
            price = _unpack(self._mapping, at + (version & 1) * TICK_DTYPE.itemsize)
            if versions[row] == version:
                return Price._make(price)
        raise TimeoutError(f"the price of listing {listing} does not hold still")

    def read_many(self, listings: np.ndarray) -> np.ndarray:
        """The newest rows of listings as TICK_DTYPE; one that never ticked has `ts_ns` 0, NaN and
        -1.

        Each row is whole; rows of one answer may be of different moments. Raises TimeoutError as
        `read` does.
        """
        listings = np.asarray(listings)
        inside = (listings >= 0) & (listings < LISTINGS_MAX)
        rows = self._columns.row_of.take(np.where(inside, listings, 0)) - 1
        seen = inside & (rows >= 0)
        ticks = self._copy(np.where(seen, rows, 0))
        ticks[~seen] = _UNSEEN
        ticks["listing"] = listings
        return ticks

    def snapshot(self) -> np.ndarray:
        """The newest row of every listing that ever ticked, as TICK_DTYPE, in order of first
        ticks."""
        written = np.flatnonzero(self._columns.versions[: int(self._columns.count[0])])
        return self._copy(written)

    def _copy(self, rows: np.ndarray) -> np.ndarray:
        columns = self._columns
        if CODE is not None:
            wanted, copied = np.ascontiguousarray(rows, np.int64), np.empty(len(rows), TICK_DTYPE)
            if (
                CODE.read_prices(address(wanted), len(wanted), *self._addresses, address(copied))
                != ODD
            ):
                return copied
        versions = columns.versions[rows]
        ticks = columns.read(rows, versions)
        for _ in range(READS_MAX):
            moved = np.flatnonzero(columns.versions[rows] != versions)
            if not len(moved):
                return ticks
            versions[moved] = columns.versions[rows[moved]]
            ticks[moved] = columns.read(rows[moved], versions[moved])
        raise TimeoutError(f"{len(moved)} prices do not hold still")


def _take(ticks: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`ticks[rows]`; numpy copies records as plain bytes ten times faster than field by field."""
    taken: np.ndarray = np.ascontiguousarray(ticks).view(_SLOT).take(rows).view(TICK_DTYPE)
    return taken


def table_path(run_dir: Path, source: str) -> Path:
    """Where the table of a source lies."""
    return run_dir / f"{source}.prices"


def _own(path: Path) -> int:
    """The descriptor of the table, locked for as long as it is open."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return _make(path)
    _lock(file, path)
    if os.pread(file, len(_STAMP), 0) == _STAMP and os.fstat(file).st_size == _FILE_BYTES:
        return file
    os.close(file)
    return _make(path)


def _make(path: Path) -> int:
    """A table appears whole or not at all."""
    unready = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(unready, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    _lock(file, path)
    try:
        # A hole in the file would be a SIGBUS on a full disk, long after; this is an OSError now.
        os.posix_fallocate(file, 0, _FILE_BYTES)
    except OSError:
        os.close(file)
        unready.unlink()
        raise
    os.pwrite(file, _STAMP, 0)
    os.rename(unready, path)
    return file


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise BlockingIOError(f"{path.name} is written by another process") from None
