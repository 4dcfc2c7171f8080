"""Recording: the rows of a recorded option chain, read from CSV or gzipped CSV, bad ones counted.

A file that is no recording is refused; a row that is none is skipped and counted by its reason. A
file holds one underlying. It may name it in a column `underlying`, and say in a column `lot_size`
how many units a contract has, which no master of ours knows of a share.
"""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from domain.clock import EXCHANGE_ZONE, epoch_ns, exchange_time
from domain.errors import BadMarketData
from domain.instruments import OPTION_KINDS, Kind

COLUMNS = ("ts", "expiry", "strike", "type", "spot", "ltp", "volume", "oi", "iv")
TERMS = ("underlying", "lot_size")  # columns that may be missing
ABSENT_IV_PERCENT = 0.1  # the exchange's 0.1 and 0 mean that it published none
SAMPLES_MAX = 3  # sentences kept for each reason


class Contract(NamedTuple):
    """What a row is about; sorts by expiry, strike, call before put."""

    expiry: date
    strike: Decimal
    kind: Kind


class Row(NamedTuple):
    """One price of one contract: rupees, contracts; iv a decimal a year, NaN when there is none."""

    at_ns: int
    contract: Contract
    spot: float
    ltp: float
    volume: int
    open_interest: int
    iv: float


@dataclass(slots=True)
class Recording:
    """What was read. `counts` has `rows` (read) and one entry for each reason of a skipped row.

    `terms` has the text of each column of TERMS that the file has.
    """

    path: Path
    terms: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    def skip(self, line: int, reason: str, rule: str) -> None:
        """Counts a row that breaks a rule; the first few get a sentence."""
        self.counts[reason] += 1
        if self.counts[reason] <= SAMPLES_MAX:
            self.warnings.append(f"{self.path.name} line {line} skipped: {rule}")


def read_recording(path: Path) -> Recording:
    """The usable rows in time order.

    Raises BadMarketData when the file is missing, empty, not text, has not the columns of COLUMNS
    or not one usable row. A file cut short is used up to there, with a warning.
    """
    recording = Recording(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as text:
            reader = csv.reader(text)
            _read_rows(recording, reader, _places(path, next(reader, [])))
    except FileNotFoundError as fault:
        raise BadMarketData(f"{path} does not exist") from fault
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        if not recording.counts["rows"]:
            raise BadMarketData(f"{path} is not a readable gzip file: {fault}") from fault
        read = recording.counts["rows"]
        recording.warnings.append(f"{path.name} is cut short; its {read} rows are used ({fault})")
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise BadMarketData(f"{path} cannot be read as text: {fault}") from fault
    if not recording.rows:
        raise BadMarketData(f"{path} has no usable row after its header ({_told(recording)})")
    return recording


def interval_ns(recordings: Iterable[Recording]) -> int:
    """Median time between two moments of what was recorded together; 0 with fewer than two."""
    moments = sorted({row.at_ns for recording in recordings for row in recording.rows})
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    return int(median(gaps)) if gaps else 0


def _places(path: Path, header: list[str]) -> dict[str, int]:
    """Where each column stands that is known here."""
    if not header:
        raise BadMarketData(f"{path} is empty: line 1 must name the columns {','.join(COLUMNS)}")
    names = [name.strip().lower().removeprefix("\ufeff") for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise BadMarketData(
            f"{path} line 1: column {missing[0]} is missing; a recording has {','.join(COLUMNS)}"
        )
    return {name: names.index(name) for name in (*COLUMNS, *TERMS) if name in names}


def _read_rows(recording: Recording, reader: Iterator[list[str]], known: dict[str, int]) -> None:
    parse = _Parser()
    newest_ns = 0
    places = [known[name] for name in COLUMNS]
    terms = [(name, known[name]) for name in TERMS if name in known]
    width = max(known.values()) + 1
    in_order = places == list(range(len(COLUMNS)))
    for line, cells in enumerate(reader, start=2):
        recording.counts["rows"] += 1
        if len(cells) < width:
            recording.skip(line, "short", f"{len(cells)} cells where {width} are named")
            continue
        try:
            row = parse.row(cells if in_order else [cells[place] for place in places])
        except (ValueError, ArithmeticError) as fault:
            recording.skip(line, "unreadable", f"not a row of a chain ({fault})")
            continue
        told = {name: cells[place].strip() for name, place in terms}
        broken = _broken_rule(row, newest_ns) or _broken_term(told, recording.terms)
        if broken:
            recording.skip(line, *broken)
            continue
        newest_ns, recording.terms = row.at_ns, told
        recording.rows.append(row)


def _broken_rule(row: Row, newest_ns: int) -> tuple[str, str] | None:
    if not 0 < row.ltp < math.inf or not 0 < row.spot < math.inf:
        return "bad_price", f"ltp {row.ltp} and spot {row.spot} must be above 0"
    if row.contract.strike <= 0:
        return "bad_strike", f"strike {row.contract.strike} must be above 0"
    if row.volume < 0 or row.open_interest < 0:
        return "bad_quantity", f"volume {row.volume} and oi {row.open_interest} must not be below 0"
    if row.at_ns < newest_ns:
        return "time_back", "its time is before the row above it"
    if row.contract.expiry < exchange_time(row.at_ns).date():
        return "expired", f"expiry {row.contract.expiry} is before its own day"
    return None


def _broken_term(told: dict[str, str], before: dict[str, str]) -> tuple[str, str] | None:
    if told == before:
        return None
    lot = told.get("lot_size", "1")
    if not (lot.isascii() and lot.isdigit() and int(lot)):
        return "bad_lot", f"lot_size {lot!r} must be a whole number from 1 on"
    changed = next((name for name in before if told[name] != before[name]), "")
    if changed:
        rule = f"{changed} is {told[changed]!r}, and {before[changed]!r} before"
        return f"other_{changed}", f"{rule}: a file holds one underlying"
    return None


class _Parser:
    """Texts to values; times and contracts repeat a thousandfold, so each is read once."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        self._contracts: dict[tuple[str, str, str], Contract] = {}

    def row(self, cells: list[str]) -> Row:
        ts, expiry, strike, kind, spot, ltp, volume, interest, iv = cells[: len(COLUMNS)]
        key = (expiry, strike, kind)
        at_ns = self._times.get(ts) or self._time(ts)
        contract = self._contracts.get(key) or self._contract(key)
        percent = float(iv) if iv else 0.0
        known = ABSENT_IV_PERCENT < percent < math.inf
        return Row(
            at_ns,
            contract,
            float(spot),
            float(ltp),
            int(float(volume)),
            int(float(interest)),
            percent / 100.0 if known else math.nan,
        )

    def _time(self, text: str) -> int:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=EXCHANGE_ZONE)
        self._times[text] = epoch_ns(moment)
        return self._times[text]

    def _contract(self, key: tuple[str, str, str]) -> Contract:
        expiry, strike, kind = key
        found = Contract(date.fromisoformat(expiry), Decimal(strike).normalize(), Kind(kind))
        if found.kind not in OPTION_KINDS or not found.strike.is_finite():
            raise ValueError(f"{strike} {kind} is no option")
        self._contracts[key] = found
        return found


def _told(recording: Recording) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in recording.counts.items()) or "0 rows"
