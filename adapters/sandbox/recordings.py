"""Recordings: what a replay is given, a file or a folder of files, and each underlying's terms.

A folder holds one session: a file an underlying, named for it (`banknifty-2026-08-19.csv.gz` is
BANKNIFTY) unless its column `underlying` says more. Daily history may lie beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from adapters.sandbox.instruments import EQUITY_FREEZE, INDEX_SEEDS, IndexSeed
from adapters.sandbox.recording import Recording, read_recording
from domain.clock import exchange_time
from domain.errors import BadMarketData

DEFAULT_UNDERLYING = "NIFTY"
ENDINGS = ("*.csv", "*.csv.gz")
HISTORY = "-daily.csv"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording and the terms of its underlying's contracts."""

    recording: Recording
    seed: IndexSeed

    @property
    def day(self) -> date:
        """The session's date."""
        return exchange_time(self.recording.rows[0].at_ns).date()


def recording_files(folder: Path) -> list[Path]:
    """The recordings in a folder, without its daily history."""
    found = {path for ending in ENDINGS for path in folder.glob(ending)}
    return sorted(path for path in found if HISTORY not in path.name)


def read_recordings(path: Path, underlying: str = "") -> list[Recorded]:
    """What a file or the files of a folder hold, by name of the underlying.

    A lone file's underlying is the one given, else the one that it names, else NIFTY. Raises
    BadMarketData as read_recording does, and for a folder that is not one session of underlyings
    that are known.
    """
    if not path.is_dir():
        return [_lone(read_recording(path), underlying)]
    files = recording_files(path)
    if not files:
        raise BadMarketData(f"{path} holds no recording: no file in it ends with .csv or .csv.gz")
    found: dict[str, Recorded] = {}
    for file in files:
        row = _one_of_many(read_recording(file))
        other = found.setdefault(row.seed.name, row)
        if other is not row:
            raise BadMarketData(
                f"{other.recording.path.name} and {file.name} are both of {row.seed.name}; "
                f"a folder holds one file an underlying"
            )
        first = next(iter(found.values()))
        if row.day != first.day:
            raise BadMarketData(
                f"{first.recording.path.name} is of {first.day} and {file.name} of {row.day}; "
                f"a folder holds one session"
            )
    return [found[name] for name in sorted(found)]


def _lone(recording: Recording, underlying: str) -> Recorded:
    if underlying and underlying.upper() not in INDEX_SEEDS:
        raise BadMarketData(f"underlying {underlying} is none of {', '.join(INDEX_SEEDS)}")
    if "underlying" in recording.terms and not underlying:
        return _one_of_many(recording)
    named = INDEX_SEEDS.get(underlying.upper() or _named(recording.path))
    return Recorded(recording, named or INDEX_SEEDS[DEFAULT_UNDERLYING])


def _one_of_many(recording: Recording) -> Recorded:
    """By its own name; a share needs to say its lot."""
    name = recording.terms.get("underlying", "").upper() or _named(recording.path)
    index, lot = INDEX_SEEDS.get(name), recording.terms.get("lot_size")
    if index is not None:
        return Recorded(recording, index)
    if lot is None:
        raise BadMarketData(
            f"{recording.path} is of {name}, which is none of the indices "
            f"{', '.join(INDEX_SEEDS)}; the recording of a share needs a column lot_size, and one "
            f"named underlying where the file's name does not begin with it"
        )
    spot = recording.rows[0].spot
    return Recorded(recording, IndexSeed(name, "NSE", spot, int(lot), EQUITY_FREEZE))


def _named(path: Path) -> str:
    """What the file's name begins with."""
    return path.name.split("-")[0].split(".")[0].upper()
