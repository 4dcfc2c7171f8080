"""Statements that are compiled once, before the fork, and given to the driver as they are.

What the library does on the way to a driver makes a process touch megabytes of pages that it shared
until then (docs/decisions/0014), and takes three times as long as the driver: worth it for what is
composed anew each time, not for the rows that every life reads when it starts, nor for those of an
order on its way.
"""

from __future__ import annotations

import contextlib
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Update, bindparam
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import CompilerElement

_Convert = Callable[[Any], Any] | None


class _Compiled(NamedTuple):
    """For one kind of database. `order` is of the values' names, None where they go by name."""

    text: str
    order: tuple[str, ...] | None
    constants: dict[str, Any]
    converts: tuple[tuple[str, Callable[[Any], Any]], ...]
    row: Callable[..., Any]
    results: tuple[_Convert, ...]

    def bound(self, values: dict[str, Any]) -> Any:
        """The values as the driver takes them."""
        ready = self.constants | values
        for name, convert in self.converts:
            ready[name] = convert(ready[name])
        return ready if self.order is None else tuple([ready[name] for name in self.order])


_all: list[Statement] = []


def prepare_statements(engine: Engine) -> None:
    """By the launcher: compiles every statement there is, for this kind of database."""
    for statement in _all:
        statement.prepared(engine)


class Statement:
    """One statement with `bindparam`s; its values come with each call. Raises what the library
    raises (DBAPIError and its kinds)."""

    def __init__(self, clause: CompilerElement) -> None:
        self._clause = clause
        self._compiled: dict[str, _Compiled] = {}
        _all.append(self)

    def all(self, engine: Engine, **values: Any) -> list[Any]:
        """Its rows, with the selected columns as attributes."""
        compiled = self.prepared(engine)
        with transaction(engine) as run:
            rows = run(self, **values).fetchall()
        return [compiled.row(*row) for row in _converted(rows, compiled.results)]

    def first(self, engine: Engine, **values: Any) -> Any:
        """Its first row, or None."""
        return next(iter(self.all(engine, **values)), None)

    def rows(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """Its rows within that connection's transaction, in the order of the selected columns."""
        rows = self._run(connection, values, lambda cursor: cursor.fetchall())
        return list(_converted(rows, self.prepared(connection.engine).results))

    def run(self, connection: Connection, **values: Any) -> int:
        """How many rows it changed, within that connection's transaction."""
        return int(self._run(connection, values, lambda cursor: cursor.rowcount))

    def run_each(self, connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
        """Once for each of the values, within that connection's transaction."""
        compiled = self.prepared(connection.engine)
        bound = [compiled.bound(values) for values in rows]
        with _told_as_the_library_tells(connection, compiled.text, bound):
            connection.connection.cursor().executemany(compiled.text, bound)

    def _run(
        self, connection: Connection, values: dict[str, Any], result: Callable[[Any], Any]
    ) -> Any:
        """A database may find what is wrong at a later row: to read them is part of it."""
        text, bound = self.bound(connection.engine, values)
        cursor = connection.connection.cursor()
        with _told_as_the_library_tells(connection, text, bound):
            cursor.execute(text, bound)
            return result(cursor)

    def bound(self, engine: Engine, values: dict[str, Any]) -> tuple[str, Any]:
        """Text and values as the driver takes them."""
        compiled = self.prepared(engine)
        return compiled.text, compiled.bound(values)

    def prepared(self, engine: Engine) -> _Compiled:
        """As this kind of database reads it."""
        found = self._compiled.get(engine.dialect.name)
        if found is None:
            found = self._compiled[engine.dialect.name] = _compile(self._clause, engine)
        return found


class Change:
    """An UPDATE of which each call says what it sets: one statement for every set of columns."""

    def __init__(self, clause: Update) -> None:
        self._clause = clause
        self._of: dict[tuple[str, ...], Statement] = {}

    def run(self, connection: Connection, changes: Mapping[str, Any], **values: Any) -> int:
        """How many rows it changed, within that connection's transaction."""
        statement = self._of.get(columns := tuple(changes))
        if statement is None:
            settings = {name: bindparam(name) for name in columns}
            statement = self._of[columns] = Statement(self._clause.values(settings))
        return statement.run(connection, **changes, **values)


@contextlib.contextmanager
def _told_as_the_library_tells(connection: Connection, text: str, bound: Any) -> Iterator[None]:
    driver_error: type[Exception] = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except driver_error as failure:
        raise DBAPIError.instance(text, bound, failure, driver_error) from failure


Run = Callable[..., Any]


@contextlib.contextmanager
def transaction(engine: Engine) -> Iterator[Run]:
    """Gives `run(statement, **values)`, which gives the driver's cursor; all is durable at the
    block's end, or nothing is."""
    driver_error: type[Exception] = engine.dialect.loaded_dbapi.Error
    connection = engine.raw_connection()
    text, bound = "", None
    try:
        cursor = connection.cursor()

        def run(statement: Statement, **values: Any) -> Any:
            nonlocal text, bound
            text, bound = statement.bound(engine, values)
            cursor.execute(text, bound)
            return cursor

        yield run
        connection.commit()
    except driver_error as failure:
        connection.invalidate()
        raise DBAPIError.instance(text, bound, failure, driver_error) from failure
    finally:
        connection.close()


def _converted(
    rows: list[tuple[Any, ...]], results: tuple[_Convert, ...]
) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        yield tuple(
            value if convert is None else convert(value)
            for convert, value in zip(results, row, strict=True)
        )


def _compile(clause: CompilerElement, engine: Engine) -> _Compiled:
    dialect = engine.dialect
    compiled: Any = clause.compile(dialect=dialect)
    columns = [*getattr(clause, "exported_columns", ())]
    return _Compiled(
        text=str(compiled),
        order=tuple(compiled.positiontup) if compiled.positional else None,
        constants={name: value for name, value in compiled.params.items() if value is not None},
        converts=tuple(
            (name, convert)
            for bind, name in compiled.bind_names.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect))
        ),
        row=namedtuple("Row", [column.key for column in columns]),
        results=tuple(
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ),
    )
