"""What the order path and a start read is found by an index: a year of ended rows costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from persistence.database import open_engine
from persistence.migrate import migrate
from persistence.orders import OrderStore
from persistence.positions import PositionStore
from persistence.views import CommandViews

LONG = ("commands", "orders", "order_attempts", "fills")
READS: dict[str, Callable[[Engine], Any]] = {
    "open_commands": lambda engine: OrderStore(engine).open_commands(),
    "ended_untold": lambda engine: OrderStore(engine).ended_untold(),
    "standing_entries": lambda engine: OrderStore(engine).standing_entries(),
    "unsettled_entries": lambda engine: OrderStore(engine).unsettled_entries(),
    "entries_since": lambda engine: OrderStore(engine).entries_since(1),
    "commands_of": lambda engine: OrderStore(engine).commands_of("x"),
    "dead_letters": lambda engine: OrderStore(engine).dead_letters(),
    "command": lambda engine: OrderStore(engine).command(1),
    "order": lambda engine: OrderStore(engine).order("x"),
    "orders_named": lambda engine: OrderStore(engine).orders_named(["x", "y"]),
    "orders_of": lambda engine: OrderStore(engine).orders_of(1),
    "orders_of_strategy": lambda engine: OrderStore(engine).orders_of_strategy("x"),
    "unfinished": lambda engine: OrderStore(engine).unfinished("x"),
    "unfinished anywhere": lambda engine: OrderStore(engine).unfinished(),
    "by_broker_ids": lambda engine: OrderStore(engine).by_broker_ids("x", ["1", "2"]),
    "changed_since": lambda engine: OrderStore(engine).changed_since("x", 1),
    "answered_stops": lambda engine: OrderStore(engine).answered_stops("x", 1, 3),
    "untold_fills": lambda engine: OrderStore(engine).untold_fills(),
    "fills_of_strategy": lambda engine: OrderStore(engine).fills_of_strategy("x"),
    "unfolded": lambda engine: PositionStore(engine).unfolded(1),
    "by_correlation": lambda engine: CommandViews(engine).by_correlation("x"),
    "entry_of": lambda engine: CommandViews(engine).entry_of("x"),
    "fills_of": lambda engine: CommandViews(engine).fills_of(1),
    "attempts_of": lambda engine: CommandViews(engine).attempts_of("x"),
}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """The main database as a start makes it."""
    url = f"sqlite:///{tmp_path / 'main.db'}"
    migrate({"main": url})
    return open_engine(url)


def plans(engine: Engine, read: Callable[[Engine], Any]) -> list[str]:
    """How the database goes about each statement of a read, in its own words."""
    asked: list[str] = []

    def note(connection: Any, *_rest: Any) -> None:
        connection.set_trace_callback(asked.append)

    def note_no_more(connection: Any, *_rest: Any) -> None:
        connection.set_trace_callback(None)

    event.listen(engine, "checkout", note)
    event.listen(engine, "checkin", note_no_more)
    read(engine)
    event.remove(engine, "checkout", note)
    with engine.connect() as connection:
        return [
            str(row[3])
            for statement in asked
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
        ]


@pytest.mark.parametrize("name", READS)
def test_no_table_that_grows_is_read_as_a_whole_by(engine: Engine, name: str) -> None:
    found = plans(engine, READS[name])
    assert found
    assert [line for line in found if line.split()[:2] in [["SCAN", table] for table in LONG]] == []


def test_a_statement_without_an_index_would_be_seen(engine: Engine) -> None:
    def read(engine: Engine) -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT payload FROM commands WHERE reason = 'x'")).all()

    assert plans(engine, read) == ["SCAN commands"]
