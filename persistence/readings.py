"""Statements made once and kept.

To build a SELECT of forty columns anew, and to find it among the compiled ones, takes longer than
to run it; one that is kept is found by itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Table, select

Noun = TypeVar("Noun")


class Reading(Generic[Noun]):
    """The rows of a table where `condition` holds, each as a noun; in order of the key, unless
    `order` says otherwise. The values of its bindparams come with each call."""

    def __init__(
        self, table: Table, noun: type[Noun], condition: Any, *order: Any, limit: Any = None
    ) -> None:
        self._noun = noun
        query = select(*columns_of(table, noun)).where(condition).limit(limit)
        self._query = query.order_by(*(order or table.primary_key.columns))

    def rows(self, connection: Connection, **values: Any) -> list[Noun]:
        """All of them."""
        return [self._noun(*row) for row in connection.execute(self._query, values)]


def columns_of(table: Table, noun: type) -> list[Any]:
    """The columns of a noun's fields, in their order."""
    return [table.c[field.name] for field in dataclasses.fields(noun)]


def values_of(noun: Any) -> dict[str, Any]:
    """A noun's fields as an INSERT takes them."""
    return {field.name: getattr(noun, field.name) for field in dataclasses.fields(noun)}
