"""Engines and the declarative base. SQLite with WAL by default; any SQLAlchemy URL where one is
given.

Three files on SQLite (`tables.md` 1): main, journal, market. `durable=True` sets
`synchronous=FULL`, for connections that write the order tables; the others run at NORMAL.
"""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase

BUSY_TIMEOUT_MS = 5_000


class MainBase(DeclarativeBase):
    """Tables of the main database: instruments, orders, settings, latches."""


class JournalBase(DeclarativeBase):
    """Tables of the journal database: facts, audit, journal entries."""


class MarketBase(DeclarativeBase):
    """Tables of the market database: bars and IV history kept across days."""


_prepared: dict[tuple[str, bool], Engine] = {}


def prepare_engine(url: str, durable: bool = False) -> Engine:
    """By the launcher: the engine that its children find ready. To be disposed of before a fork,
    for a connection must not cross one."""
    engine = _prepared[url, durable] = _make_engine(url, durable)
    return engine


def open_engine(url: str, durable: bool = False) -> Engine:
    """This process's engine of a database. Never before a fork."""
    return _prepared.get((url, durable)) or _make_engine(url, durable)


def _make_engine(url: str, durable: bool) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _set_pragmas(connection, _record):  # type: ignore[no-untyped-def]
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

    return engine
