"""Statements that go to the driver as they are."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from persistence.database import open_engine
from persistence.order_tables import Exact
from persistence.statement import Statement, transaction

MADE = Table(
    "made",
    MetaData(),
    Column("name", String, primary_key=True),
    Column("day", Date),
    Column("price", Exact),
    Column("done", Boolean),
    Column("count", Integer),
)
NEW = Statement(insert(MADE))
ALL = Statement(select(MADE).order_by(MADE.c.name))
UP_TO = Statement(
    select(MADE.c.name).where(MADE.c.count <= bindparam("most")).order_by(MADE.c.count).limit(2)
)
ROW = {"day": date(2026, 11, 20), "price": Decimal("0.050"), "done": True, "count": 1}


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'tomic.db'}")
    MADE.create(engine)
    yield engine
    engine.dispose()


def write(engine, name, **changes):
    with transaction(engine) as run:
        run(NEW, name=name, **(ROW | changes))


def write_all(engine, names, then=None):
    with transaction(engine) as run:
        for name in names:
            run(NEW, name=name, **ROW)
        if then:
            raise then


def test_values_come_back_as_what_they_were(engine):
    write(engine, "a")
    write(engine, "b", day=None, price=None, done=False, count=None)
    assert [tuple(row) for row in ALL.all(engine)] == [
        ("a", date(2026, 11, 20), Decimal("0.050"), True, 1),
        ("b", None, None, False, None),
    ]
    assert ALL.first(engine).done is True


def test_a_statement_keeps_its_constants_and_takes_its_values_with_each_call(engine):
    for name, count in (("a", 3), ("b", 1), ("c", 2)):
        write(engine, name, count=count)
    assert [row.name for row in UP_TO.all(engine, most=9)] == ["b", "c"]
    assert [row.name for row in UP_TO.all(engine, most=1)] == ["b"]
    assert UP_TO.first(engine, most=0) is None


def test_of_a_block_that_fails_nothing_stays_and_the_next_one_works(engine):
    write(engine, "a")
    with pytest.raises(IntegrityError):
        write_all(engine, ["b", "a"])
    with pytest.raises(ValueError, match="not a fault of the driver"):
        write_all(engine, ["c"], then=ValueError("not a fault of the driver"))
    assert [row.name for row in ALL.all(engine)] == ["a"]
    write(engine, "d")
    assert [row.name for row in ALL.all(engine)] == ["a", "d"]


def test_a_fault_is_told_as_the_library_tells_it(engine):
    MADE.drop(engine)
    with pytest.raises(OperationalError, match="no such table: made") as told:
        ALL.all(engine)
    assert isinstance(told.value, DBAPIError)
    assert "SELECT made.name" in str(told.value)


def test_the_text_is_the_one_of_the_kind_of_database(engine):
    server = SimpleNamespace(dialect=postgresql.dialect())
    text, values = UP_TO.bound(server, {"most": 5})
    assert "made.count <= %(most)s" in text
    assert values == {"most": 5, "param_1": 2}
    text, values = UP_TO.bound(engine, {"most": 5})
    assert "made.count <= ?" in text
    assert values[:2] == (5, 2)
