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
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from persistence.database import open_engine
from persistence.order_tables import Exact
from persistence.readings import in_slots, one_of, one_of_some
from persistence.statement import Change, Statement, transaction

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
AMONG = Statement(select(MADE.c.name).where(one_of_some(MADE.c.name)).order_by(MADE.c.name))
PRICED = Statement(
    select(MADE.c.name).where(one_of(MADE.c.price, [Decimal("0.050"), Decimal("2")]))
)
CHANGE = Change(update(MADE).where(MADE.c.name == bindparam("of_name")))
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


def write_on(engine, name, rows):
    with engine.begin() as connection:
        assert NEW.run(connection, name=name, **ROW) == 1
        NEW.run_each(connection, rows)


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


def test_a_fault_at_a_later_row_is_told_as_the_library_tells_it(engine):
    write_all(engine, ["1", "{"])
    read = Statement(select(func.json_extract(MADE.c.name, "$").label("value")))
    with engine.connect() as connection, pytest.raises(OperationalError, match="malformed JSON"):
        read.rows(connection)


def test_the_text_is_the_one_of_the_kind_of_database(engine):
    server = SimpleNamespace(dialect=postgresql.dialect())
    text, values = UP_TO.bound(server, {"most": 5})
    assert "made.count <= %(most)s" in text
    assert values == {"most": 5, "param_1": 2}
    text, values = UP_TO.bound(engine, {"most": 5})
    assert "made.count <= ?" in text
    assert values[:2] == (5, 2)


def test_rows_written_in_a_transaction_of_the_library_stand_or_fall_with_it(engine):
    rows = [{"name": name, **ROW} for name in ("a", "b")]
    with engine.begin() as connection:
        NEW.run_each(connection, rows)
        read = ALL.rows(connection)
    assert read[1] == ("b", date(2026, 11, 20), Decimal("0.050"), True, 1)
    with pytest.raises(IntegrityError):
        write_on(engine, "c", rows)
    assert [row.name for row in ALL.all(engine)] == ["a", "b"]


def test_a_change_sets_the_columns_of_the_call_and_says_how_many_rows_it_met(engine):
    write(engine, "a")
    with engine.begin() as connection:
        assert CHANGE.run(connection, {"price": Decimal("7.10"), "done": False}, of_name="a") == 1
        assert CHANGE.run(connection, {"count": 9}, of_name="a") == 1
        assert CHANGE.run(connection, {"count": 3}, of_name="nobody") == 0
    row = ALL.first(engine)
    assert (row.price, row.done, row.count, row.day) == (Decimal("7.10"), False, 9, ROW["day"])


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 20])
def test_of_any_number_of_names_each_is_found_once(engine, count):
    names = [f"{number:02}" for number in range(count)]
    for name in [*names, "other"]:
        write(engine, name)
    with engine.connect() as connection:
        found = [row[0] for some in in_slots(names) for row in AMONG.rows(connection, **some)]
    assert found == names


def test_a_row_is_found_by_values_that_never_change(engine):
    for name, price in (("a", "0.050"), ("b", "1"), ("c", "2")):
        write(engine, name, price=Decimal(price))
    assert [row.name for row in PRICED.all(engine)] == ["a", "c"]
