"""Memory: what a generated market needs to go on after a restart, in one SQLite file.

It holds where the market began, the walk as it stood, and every minute lived since. Write-ahead
log: what was saved outlives the death of the process at any moment.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.sandbox.lived import FIELDS, thinned
from adapters.sandbox.walk import NAMES
from domain.clock import NS_PER_MINUTE
from domain.errors import StorageFailure

WHOLE_MINUTES_NS = 30 * 24 * 60 * NS_PER_MINUTE  # older ones are kept as quarters of an hour
_TABLES = (
    "CREATE TABLE IF NOT EXISTS market (one INTEGER PRIMARY KEY CHECK (one = 1), "
    "kind TEXT NOT NULL, origin_ns INTEGER NOT NULL, now_ns INTEGER NOT NULL, walk TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS minutes (start_ns INTEGER PRIMARY KEY, prices BLOB NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Saved:
    """A market as it was left: `minutes_ns` and `minutes` are its lived rows."""

    origin_ns: int
    now_ns: int
    walk: Mapping[str, Any]
    minutes_ns: np.ndarray
    minutes: np.ndarray


class MarketMemory:
    """One market's file. Raises StorageFailure when it cannot be read or written.

    `kind` is what makes a market another one (seed, scenario ...): the file of another kind is not
    gone on with, nor is one saved after `latest_ns`, by a clock that was wrong.
    """

    def __init__(self, path: Path, kind: Mapping[str, object], latest_ns: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._kind = json.dumps({**kind, "names": NAMES}, sort_keys=True)
        self._latest_ns = latest_ns
        self._origin_ns = 0
        self.warnings: list[str] = []
        # Opened by the thread that builds the server, then used by the thread of its loop only.
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self._failing("read"):
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                for table in _TABLES:
                    self._connection.execute(table)
        except StorageFailure:
            self._connection.close()
            raise

    def load(self) -> Saved | None:
        """The market to go on with; None, with a warning where one was kept, to begin a new one."""
        with self._failing("read"):
            found = self._connection.execute(
                "SELECT kind, origin_ns, now_ns, walk FROM market"
            ).fetchone()
            if found is None:
                return None
            kind, self._origin_ns, now_ns, walk = found
            if kind != self._kind:
                self._warn("its seed, scenario, history or hours are other ones")
                return None
            if now_ns > self._latest_ns:
                self._warn("it was saved at a later time than now")
                return None
            self._thin(now_ns - WHOLE_MINUTES_NS)
            return Saved(self._origin_ns, now_ns, json.loads(walk), *self._minutes())

    def begin(self, origin_ns: int) -> None:
        """Forgets what was kept; a market of this kind begins."""
        self._origin_ns = origin_ns
        with self._failing("written"), self._transaction():
            self._connection.execute("DELETE FROM market")
            self._connection.execute("DELETE FROM minutes")

    def save(
        self, now_ns: int, walk: Mapping[str, Any], minutes: Iterable[tuple[int, np.ndarray]]
    ) -> None:
        """Writes the walk and the minutes that are new or went on, in one transaction."""
        with self._failing("written"), self._transaction():
            self._put(minutes)
            self._connection.execute(
                "INSERT OR REPLACE INTO market VALUES (1, ?, ?, ?, ?)",
                (self._kind, self._origin_ns, now_ns, json.dumps(walk)),
            )

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _thin(self, before_ns: int) -> None:
        starts_ns, rows = self._minutes(before_ns)
        if not len(starts_ns):
            return
        with self._transaction():
            self._connection.execute("DELETE FROM minutes WHERE start_ns < ?", (before_ns,))
            self._put(zip(*thinned(starts_ns, rows), strict=True))

    def _minutes(self, before_ns: int = 2**63 - 1) -> tuple[np.ndarray, np.ndarray]:
        found = self._connection.execute(
            "SELECT start_ns, prices FROM minutes WHERE start_ns < ? ORDER BY start_ns",
            (before_ns,),
        ).fetchall()
        starts_ns = np.array([start_ns for start_ns, _ in found], dtype=np.int64)
        rows = np.frombuffer(b"".join(prices for _, prices in found), dtype="<f8")
        return starts_ns, rows.reshape(len(found), FIELDS, len(NAMES))

    def _put(self, minutes: Iterable[tuple[int, np.ndarray]]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO minutes VALUES (?, ?)",
            [(int(start_ns), row.astype("<f8").tobytes()) for start_ns, row in minutes],
        )

    def _warn(self, why: str) -> None:
        self.warnings.append(f"the generated market begins anew; {self._path} is not used: {why}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _failing(self, done: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise StorageFailure(
                f"the generated market's file {self._path} cannot be {done}: {error}"
            ) from error
