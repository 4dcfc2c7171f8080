"""Rows of a table as the nouns they keep, read by statements that are made once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Table,
    bindparam,
    insert,
    literal,
    select,
)

from persistence.statement import Statement

Noun = TypeVar("Noun")
_SLOTS = tuple(f"text_{number}" for number in range(8))  # an entry's legs, twice over


class Reading(Generic[Noun]):
    """The rows of a table where `condition` holds, each as a noun; in order of the key, unless
    `order` says otherwise. The values of its bindparams come with each call."""

    def __init__(
        self, table: Table, noun: type[Noun], condition: Any, *order: Any, limit: Any = None
    ) -> None:
        self._noun = noun
        query = select(*columns_of(table, noun)).where(condition).limit(limit)
        self._query = Statement(query.order_by(*(order or table.primary_key.columns)))

    def rows(self, connection: Connection, **values: Any) -> list[Noun]:
        """All of them."""
        return [self._noun(*row) for row in self._query.rows(connection, **values)]


def columns_of(table: Table, noun: type) -> list[Any]:
    """The columns of a noun's fields, in their order."""
    return [table.c[field.name] for field in dataclasses.fields(noun)]


def insertion(table: Table) -> Insert:
    """A new row: every column comes with the call, but for a key that the database gives."""
    given = table.autoincrement_column
    names = [column.name for column in table.columns if column is not given]
    return insert(table).values({name: bindparam(name) for name in names})


def values_of(noun: Any) -> dict[str, Any]:
    """A noun's fields as an INSERT takes them."""
    return {field.name: getattr(noun, field.name) for field in dataclasses.fields(noun)}


def one_of(column: Any, values: Iterable[Any]) -> ColumnElement[bool]:
    """True for a row whose column has one of these, which never change."""
    return column.in_([literal(value, column.type) for value in values])


def one_of_some(column: Any) -> ColumnElement[bool]:
    """True for a row whose column has one of the texts that come with each call (`in_slots`)."""
    return column.in_([bindparam(name, type_=column.type) for name in _SLOTS])


def in_slots(texts: Sequence[str]) -> Iterator[dict[str, str]]:
    """The texts as values for `one_of_some`, as many at a time as it takes; what is left is filled
    with the first of them."""
    for first in range(0, len(texts), len(_SLOTS)):
        some = texts[first : first + len(_SLOTS)]
        yield dict.fromkeys(_SLOTS, some[0]) | dict(zip(_SLOTS, some, strict=False))
