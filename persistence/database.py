"""Engines and the declarative base. SQLite with WAL by default; any SQLAlchemy URL where one is
given.

Three files on SQLite (`tables.md` 1): main, journal, market. `durable=True` sets
`synchronous=FULL`, for connections that write the order tables; the others run at NORMAL.

Where another process holds the database, a writer waits. An actor that is killed when it is silent
for two seconds (`design.md` 4) must not wait so long: it would die with its letter in hand. It
meets the failure instead, keeps what it was told and tries again.
"""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase

WAIT_MS = 5_000
PROMPT_WAIT_MS = 700  # the second since the last heartbeat and this one wait stay below two


class MainBase(DeclarativeBase):
    """Tables of the main database: instruments, orders, settings, latches."""


class JournalBase(DeclarativeBase):
    """Tables of the journal database: facts, audit, journal entries."""


class MarketBase(DeclarativeBase):
    """Tables of the market database: bars and IV history kept across days."""


_prepared: dict[tuple[str, bool, bool], Engine] = {}


def prepare_engine(url: str, durable: bool = False, prompt: bool = False) -> Engine:
    """By the launcher: the engine that its children find ready. To be disposed of before a fork,
    for a connection must not cross one."""
    prompt = prompt or durable
    engine = _prepared[url, durable, prompt] = _make_engine(url, durable, prompt)
    return engine


def open_engine(url: str, durable: bool = False, prompt: bool = False) -> Engine:
    """This process's engine of a database. Never before a fork. `prompt`, as every durable one is,
    for an actor with a heartbeat of a second."""
    prompt = prompt or durable
    return _prepared.get((url, durable, prompt)) or _make_engine(url, durable, prompt)


def _make_engine(url: str, durable: bool, prompt: bool) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _set_pragmas(connection, _record):  # type: ignore[no-untyped-def]
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA busy_timeout={PROMPT_WAIT_MS if prompt else WAIT_MS}")
            cursor.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

    return engine
