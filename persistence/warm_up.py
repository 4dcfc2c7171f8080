"""Before the fork: what every life would do again, the compiling of its first statements.

A statement of the ORM costs milliseconds and megabytes to compile the first time; done once in the
launcher, its children share both.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import Engine

from persistence.database import prepare_engine
from persistence.instruments import InstrumentStore
from persistence.journal import JournalStore
from persistence.latches import open_entries, open_injections, read_latch
from persistence.orders import OrderStore
from persistence.positions import PositionStore
from persistence.settings import SettingStore
from persistence.statement import prepare_statements

NOBODY = ""


def warm_up(database_url: str, journal_url: str) -> None:
    """Reads a little of everything that a start reads. No connection is left open."""
    engines = [prepare_engine(database_url, durable=durable) for durable in (False, True)]
    prepare_statements(engines[0])
    for engine in engines:
        _read_main(engine)
    journal = prepare_engine(journal_url)
    list(JournalStore(journal).facts(kinds=(NOBODY,)))
    for engine in (*engines, journal):
        engine.dispose()


def _read_main(engine: Engine) -> None:
    read_latch(engine, NOBODY)
    open_injections(engine)
    open_entries(engine)
    SettingStore(engine).read(NOBODY, None)
    instruments = InstrumentStore(engine)
    instruments.rows_loaded(date.min)
    instruments.load_index()
    orders, positions = OrderStore(engine), PositionStore(engine)
    orders.open_commands()
    orders.standing_entries()
    orders.unfinished()
    orders.command(0)
    orders.orders_of(0)
    orders.orders_of_strategy(NOBODY)
    orders.changed_since(NOBODY, 0)
    positions.cursor()
    positions.positions()
    positions.unfolded(0)
    positions.open_differences(NOBODY)
