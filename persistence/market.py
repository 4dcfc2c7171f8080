"""Bars and implied volatility kept across days, for a warm start (`tomic.md` 5.1, 11.5).

Bars are written by bar_builder, the volatility history by chain_keeper, the universe by
sniper_agent; a row written again replaces the one of the same key.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Engine, Float, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from domain.instruments import Listing
from domain.prices import BAR_DTYPE
from domain.readings import Universe, UniverseRow
from persistence.database import MarketBase
from persistence.statement import Statement

LIVE, HISTORY = "live", "history"
MINUTES, TIMEFRAMES = "1m", ("1m", "15m", "1D")
ROWS_AT_A_TIME = 20_000
_NUMBERS = ("open", "high", "low", "close", "volume", "tick_count", "partial")


class BarRow(MarketBase):
    """One closed bar; `start_ns` is its start, `timeframe` 1m, 15m or 1D."""

    __tablename__ = "bars"

    exchange: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    start_ns: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    open: Mapped[float] = mapped_column(Float(53))
    high: Mapped[float] = mapped_column(Float(53))
    low: Mapped[float] = mapped_column(Float(53))
    close: Mapped[float] = mapped_column(Float(53))
    volume: Mapped[int] = mapped_column(BigInteger)
    vwap: Mapped[float | None] = mapped_column(Float(53))
    tick_count: Mapped[int]
    partial: Mapped[bool]
    source: Mapped[str]


class IvRow(MarketBase):
    """At-the-money volatility of one underlying on one day, 30 days constant maturity, decimal."""

    __tablename__ = "iv_history"

    underlying: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    iv: Mapped[float] = mapped_column(Float(53))


class UniverseMemberRow(MarketBase):
    """One underlying of the newest universe, or why it is left out (`domain/readings.py`)."""

    __tablename__ = "universe"

    exchange: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date]
    built_ns: Mapped[int] = mapped_column(BigInteger)
    scored_ns: Mapped[int] = mapped_column(BigInteger)
    code: Mapped[str]
    text: Mapped[str]
    rank: Mapped[int]
    is_hot: Mapped[bool]
    rs: Mapped[float | None] = mapped_column(Float(53))
    volume: Mapped[float] = mapped_column(Float(53))
    base_close: Mapped[float] = mapped_column(Float(53))


_BARS, _IV, _UNIVERSE = BarRow.__table__, IvRow.__table__, UniverseMemberRow.__table__


class MarketStore:
    """Bars by listing and timeframe, and the volatility history."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write_bars(self, timeframe: str, bars: np.ndarray, listings: Mapping[int, Listing]) -> None:
        """Keeps BAR_DTYPE rows under their listings' names; KeyError for an unknown listing."""
        self._upsert(_BARS, _rows(timeframe, bars, listings))

    def read_bars(
        self, listing: Listing, timeframe: str, *, since_ns: int = 0, count_max: int = 1000
    ) -> np.ndarray:
        """The newest `count_max` bars of a listing from `since_ns` on, ascending (BAR_DTYPE)."""
        query = (
            select(_BARS)
            .where(
                _BARS.c.exchange == listing.exchange,
                _BARS.c.symbol == listing.symbol,
                _BARS.c.timeframe == timeframe,
                _BARS.c.start_ns >= since_ns,
            )
            .order_by(_BARS.c.start_ns.desc())
            .limit(count_max)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return _bars(rows[::-1], {(listing.exchange, listing.symbol): listing.listing_id})

    def read_session(
        self,
        timeframe: str,
        since_ns: int,
        listing_ids: Mapping[tuple[str, str], int],
        *,
        told_by: Sequence[str] = (LIVE, HISTORY),
    ) -> np.ndarray:
        """All bars from `since_ns` on of these listings, (exchange, symbol) -> listing_id, that
        came from `told_by`. A session of two thousand options has 750,000."""
        query = (
            select(_BARS)
            .where(
                _BARS.c.timeframe == timeframe,
                _BARS.c.start_ns >= since_ns,
                _BARS.c.source.in_(told_by),
            )
            .order_by(_BARS.c.start_ns)
        )
        with self._engine.connect().execution_options(yield_per=ROWS_AT_A_TIME) as connection:
            parts = [
                _bars([row for row in part if row[:2] in listing_ids], listing_ids)
                for part in connection.execute(query).partitions()
            ]
        return np.concatenate([_bars((), listing_ids), *parts])

    def delete_bars(self, timeframe: str, before_ns: int) -> int:
        """Forgets bars that start earlier; returns how many."""
        statement = delete(_BARS).where(
            _BARS.c.timeframe == timeframe, _BARS.c.start_ns < before_ns
        )
        with self._engine.begin() as connection:
            return connection.execute(statement).rowcount

    def write_iv(self, underlying: str, day: date, iv: float) -> None:
        """One observation a day; a later one of the same day replaces it."""
        self._upsert(_IV, [{"underlying": underlying, "day": day, "iv": iv}])

    def iv_history(self, underlying: str, since: date = date.min) -> list[tuple[date, float]]:
        """Observations from that day on, ascending."""
        query = (
            select(_IV.c.day, _IV.c.iv)
            .where(_IV.c.underlying == underlying, _IV.c.day >= since)
            .order_by(_IV.c.day)
        )
        with self._engine.connect() as connection:
            return [(row.day, row.iv) for row in connection.execute(query)]

    def write_universe(self, universe: Universe) -> None:
        """The newest universe, whole; the one before is gone."""
        rows = [
            {
                "exchange": row.exchange,
                "name": row.name,
                "day": universe.day,
                "built_ns": universe.built_ns,
                "scored_ns": universe.scored_ns,
                "code": row.code,
                "text": row.text,
                "rank": row.rank,
                "is_hot": row.is_hot,
                "rs": None if math.isnan(row.rs) else row.rs,
                "volume": row.volume,
                "base_close": row.base_close,
            }
            for row in universe.rows
        ]
        with self._engine.begin() as connection:
            connection.execute(delete(_UNIVERSE))
            if rows:
                connection.execute(insert(_UNIVERSE), rows)

    def read_universe(self) -> Universe | None:
        """The newest universe; None before the first was built."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_UNIVERSE).order_by(_UNIVERSE.c.name)).all()
        if not rows:
            return None
        members = tuple(
            UniverseRow(
                exchange=row.exchange,
                name=row.name,
                code=row.code,
                text=row.text,
                rank=row.rank,
                is_hot=row.is_hot,
                rs=math.nan if row.rs is None else row.rs,
                volume=row.volume,
                base_close=row.base_close,
            )
            for row in rows
        )
        return Universe(rows[0].day, rows[0].built_ns, rows[0].scored_ns, members)

    def _upsert(self, table: Any, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        with self._engine.begin() as connection:
            _replacing(table, self._engine.dialect.name).run_each(connection, rows)


@functools.cache
def _replacing(table: Any, database: str) -> Statement:
    """Inserts a row, or replaces the one of its key."""
    dialect = {"sqlite": sqlite, "postgresql": postgresql}[database]
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    others = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
    return Statement(statement.on_conflict_do_update(index_elements=keys, set_=others))


def _rows(
    timeframe: str, bars: np.ndarray, listings: Mapping[int, Listing]
) -> list[dict[str, Any]]:
    names = ("listing", "start_ns", "vwap", "history", *_NUMBERS)
    rows = []
    for values in zip(*(bars[name].tolist() for name in names), strict=True):
        row = dict(zip(names, values, strict=True))
        listing, vwap = listings[row.pop("listing")], row["vwap"]
        row["exchange"], row["symbol"] = listing.exchange, listing.symbol
        row["timeframe"] = timeframe
        row["vwap"] = None if math.isnan(vwap) else vwap
        row["source"] = HISTORY if row.pop("history") else LIVE
        rows.append(row)
    return rows


def _bars(rows: Sequence[Any], listing_ids: Mapping[tuple[str, str], int]) -> np.ndarray:
    bars = np.zeros(len(rows), BAR_DTYPE)
    if not rows:
        return bars
    columns = dict(zip(_BARS.columns.keys(), zip(*rows, strict=True), strict=True))
    names = zip(columns["exchange"], columns["symbol"], strict=True)
    bars["listing"] = [listing_ids[name] for name in names]
    for name in ("start_ns", *_NUMBERS):
        bars[name] = columns[name]
    bars["vwap"] = np.array(columns["vwap"], float)  # unknown is NaN
    bars["history"] = [source == HISTORY for source in columns["source"]]
    return bars
