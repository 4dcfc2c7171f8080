"""Listings: the instrument master as loaded from a broker, with an id that never changes.

A listing keeps its id from day to day, whichever broker's master named it; what the newest master
does not name any more keeps its row and leaves the index.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    URL,
    Engine,
    ForeignKey,
    Table,
    UniqueConstraint,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, mapped_column

from domain.errors import BadMarketData
from domain.instruments import InstrumentIndex, Kind, Listing
from persistence.database import MainBase
from persistence.statement import Statement


class MasterLoadRow(MainBase):
    """One load of a master: whose, for which day, how many listings."""

    __tablename__ = "master_loads"

    load_id: Mapped[int] = mapped_column(primary_key=True)
    broker: Mapped[str]
    day: Mapped[date]
    rows: Mapped[int]


class ListingRow(MainBase):
    """A row of domain.instruments.Listing; exact numbers as text, `load_id` of the last load
    naming it."""

    __tablename__ = "listings"
    __table_args__ = (UniqueConstraint("exchange", "symbol"),)

    listing_id: Mapped[int] = mapped_column(primary_key=True)
    exchange: Mapped[str]
    symbol: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    lot_size: Mapped[int]
    tick_size: Mapped[str]
    freeze_quantity: Mapped[int]
    expiry: Mapped[date | None]
    strike: Mapped[str]
    token: Mapped[str]
    load_id: Mapped[int] = mapped_column(ForeignKey(MasterLoadRow.load_id), index=True)


_LISTINGS = cast(Table, ListingRow.__table__)
_LOADS = cast(Table, MasterLoadRow.__table__)
_NEWEST_LOAD = Statement(select(_LOADS).order_by(_LOADS.c.load_id.desc()).limit(1))
_LISTINGS_OF = Statement(select(_LISTINGS).where(_LISTINGS.c.load_id == bindparam("of_load")))
_indexes: dict[tuple[URL, int | None], InstrumentIndex] = {}  # the newest; by database and load


class InstrumentStore:
    """Loads masters and reads them back as an index; one writer (a broker session)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, listings: Iterable[Listing], broker: str, day: date) -> int:
        """Makes this master the current one, all or nothing; returns its number of listings.

        Raises BadMarketData for an empty master: it would leave nothing to trade.
        """
        master = {row.key: row for row in listings}
        if not master:
            raise BadMarketData(f"the master of {broker} for {day} names no listing")
        with self._engine.begin() as connection:
            row = {"broker": broker, "day": day, "rows": len(master)}
            load_id = connection.scalar(insert(_LOADS).returning(_LOADS.c.load_id), row)
            self._write(connection, master, load_id)
        return len(master)

    def rows_loaded(self, day: date) -> int:
        """Listings of the current master if it is that day's; 0 otherwise."""
        newest = _NEWEST_LOAD.first(self._engine)
        return newest.rows if newest and newest.day == day else 0

    def load_index(self) -> InstrumentIndex:
        """The index of the current master; empty before the first load.

        One a master in this process, and in those forked from it: it is never changed.
        """
        newest = _NEWEST_LOAD.first(self._engine)
        load_id = newest.load_id if newest else None
        key = (self._engine.url, load_id)
        index = _indexes.get(key)
        if index is None:
            rows = _LISTINGS_OF.all(self._engine, of_load=load_id)
            index = InstrumentIndex(_listing(row) for row in rows)
            _indexes.clear()
            _indexes[key] = index
        return index

    @staticmethod
    def _write(connection: Connection, master: dict[str, Listing], load_id: Any) -> None:
        keys = select(_LISTINGS.c.listing_id, _LISTINGS.c.exchange, _LISTINGS.c.symbol)
        known = {f"{row.exchange}:{row.symbol}": row.listing_id for row in connection.execute(keys)}
        fresh, seen = [], []
        for key, row in master.items():
            columns = _columns(row) | {"load_id": load_id}
            if key in known:
                seen.append(columns | {"known_id": known[key]})
            else:
                fresh.append(columns)
        if fresh:
            connection.execute(insert(_LISTINGS), fresh)
        if seen:
            of_id = _LISTINGS.c.listing_id == bindparam("known_id")
            connection.execute(update(_LISTINGS).where(of_id), seen)


def _columns(row: Listing) -> dict[str, Any]:
    return {
        "exchange": row.exchange,
        "symbol": row.symbol,
        "name": row.name,
        "kind": row.kind.value,
        "lot_size": row.lot_size,
        "tick_size": str(row.tick_size),
        "freeze_quantity": row.freeze_quantity,
        "expiry": row.expiry,
        "strike": str(row.strike),
        "token": row.token,
    }


def _listing(row: Any) -> Listing:
    """Thousands of listings share few exchanges, names, days and strikes: one object of each."""
    return Listing(
        listing_id=row.listing_id,
        exchange=sys.intern(row.exchange),
        symbol=row.symbol,
        name=sys.intern(row.name),
        kind=Kind(row.kind),
        lot_size=row.lot_size,
        tick_size=_number(row.tick_size),
        freeze_quantity=row.freeze_quantity,
        expiry=_same_day(row.expiry),
        strike=_number(row.strike),
        token=row.token,
    )


@cache
def _number(text: str) -> Decimal:
    return Decimal(text)


@cache
def _same_day(day: date | None) -> date | None:
    return day
