"""Before the fork: what every life would do again, the compiling of its first statements.

A statement costs milliseconds and megabytes to compile the first time; done once in the launcher,
its children share both, and the first order of a life goes as fast as the next.
"""

from __future__ import annotations

import contextlib
from datetime import date

from sqlalchemy import Engine

from domain.errors import StorageFailure
from domain.orders import ENTRY_COMMAND, CommandRow, CommandStatus, OrderRow, OrderStatus, Purpose
from persistence.database import prepare_engine
from persistence.instruments import InstrumentStore
from persistence.journal import JournalStore
from persistence.latches import open_entries, open_injections, read_latch
from persistence.orders import OrderStore
from persistence.positions import PositionStore
from persistence.settings import SettingStore
from persistence.statement import prepare_statements

NOBODY = ""
COMMAND = CommandRow(ENTRY_COMMAND, *(NOBODY,) * 8, created_ns=0)
ORDER = OrderRow(
    client_order_id=NOBODY, command_id=0, strategy_id=NOBODY, strategy_tag=NOBODY, leg_no=0,
    purpose=Purpose.ENTRY, broker_name=NOBODY, exchange=NOBODY, symbol=NOBODY, action=NOBODY,
    quantity=0, product=NOBODY, tag=NOBODY, created_ns=0,
)  # fmt: skip


class _TakenBack(Exception):
    """Raised when all was tried: nothing of it is to stand."""


def warm_up(database_url: str, journal_url: str) -> None:
    """Reads a little of everything that a start reads. No connection is left open."""
    engines = [prepare_engine(database_url, durable=durable) for durable in (False, True)]
    prepare_statements(engines[0])
    for engine in engines:
        _read_main(engine)
    _try_writes(OrderStore(engines[-1]))
    engines.append(prepare_engine(database_url, prompt=True))
    read_latch(engines[-1], NOBODY)
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
    orders.orders_named([NOBODY, NOBODY])
    orders.answered_stops(NOBODY, 0, 1)
    orders.ended_untold()
    orders.unsettled_entries()
    orders.untold_fills()
    orders.dead_letters()
    orders.orders_of(0)
    orders.orders_of_strategy(NOBODY)
    orders.changed_since(NOBODY, 0)
    folded, _ = positions.cursor()
    positions.positions()
    positions.unfolded(folded)
    positions.open_differences(NOBODY)


def _try_writes(orders: OrderStore) -> None:
    """An entry's writes up to its sending. Where another holds the database they are compiled when
    they are needed."""
    with contextlib.suppress(_TakenBack, StorageFailure), orders.together():
        command, _ = orders.record(COMMAND, [ORDER])
        lease = {"owner_token": NOBODY, "lease_expires_ns": 0, "attempt_count": 0, "cleared_ns": 0}
        leased = orders.move(command, CommandStatus.PROCESSING, **lease) or command
        orders.move(leased, CommandStatus.PROCESSING, cleared_ns=0, cleared_by=NOBODY)
        orders.change_waiting(NOBODY, quantity=0, price_type=NOBODY, price=ORDER.price)
        sending = orders.begin_sending([NOBODY], 0)
        orders.change_order(sending[0], status=OrderStatus.SENT)
        raise _TakenBack
