"""Store: one SQLite file an instance, or memory: orders, trades, positions, holdings, the ledger.

Write-ahead log: what was committed outlives the death of the process at any moment. Money is text,
so that no digit is lost. Table and column names are this module's own, never a caller's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from adapters.sandbox.account import Account
from adapters.sandbox.books import Changes, Holding, Ledger, Order, Position, Trade
from domain.errors import DatabaseTooNew, StorageFailure

SCHEMA_VERSION = 1
Row = TypeVar("Row")


class _Table:
    """A dataclass as a table: its fields are the columns, in order."""

    def __init__(self, name: str, kind: type[Any], key: Sequence[str]) -> None:
        self.name, self.kind = name, kind
        self.columns = [row.name for row in fields(kind)]
        self._types = [str(row.type) for row in fields(kind)]
        parts = [
            f"{column} {'INTEGER' if self._types[number] in ('int', 'bool') else 'TEXT'} NOT NULL"
            for number, column in enumerate(self.columns)
        ]
        parts.append(f"PRIMARY KEY ({', '.join(key)})")
        self.create = f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(parts)})"
        marks = ", ".join("?" * len(self.columns))
        # Names are this module's own; values always go in as parameters.
        names = ", ".join(self.columns)
        self.upsert = f"INSERT OR REPLACE INTO {name} ({names}) VALUES ({marks})"  # noqa: S608
        self.select = f"SELECT {names} FROM {name} ORDER BY rowid"  # noqa: S608
        self.empty = f"DELETE FROM {name}"  # noqa: S608
        where = " AND ".join(f"{part} = ?" for part in key)
        self.delete = f"{self.empty} WHERE {where}"

    def values(self, row: object) -> tuple[Any, ...]:
        """A row's values as SQLite keeps them."""
        found = (getattr(row, column) for column in self.columns)
        return tuple(str(value) if isinstance(value, Decimal) else value for value in found)

    def build(self, values: Iterable[Any]) -> Any:
        """A row from SQLite's values."""
        return self.kind(*(_read(*pair) for pair in zip(self._types, values, strict=True)))


def _read(kind: str, value: Any) -> Any:
    if kind == "Decimal":
        return Decimal(value)
    return bool(value) if kind == "bool" else value


ORDERS = _Table("orders", Order, ["order_id"])
TRADES = _Table("trades", Trade, ["trade_id"])
POSITIONS = _Table("positions", Position, ["exchange", "symbol", "product"])
HOLDINGS = _Table("holdings", Holding, ["exchange", "symbol"])
FUNDS = _Table("funds", Ledger, ["orders_issued"])
TABLES = (ORDERS, TRADES, POSITIONS, HOLDINGS, FUNDS)


class Store:
    """The books on disk. Raises StorageFailure when they cannot be written."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._name = str(path or ":memory:")
        # Opened by the thread that builds the server, then used by the thread of its loop only.
        self._connection = sqlite3.connect(
            self._name, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except Exception:
            self._connection.close()
            raise

    def load(self, account: Account) -> None:
        """Fills an account with what was written; an empty file leaves it as it is."""
        ledgers = self._rows(FUNDS)
        if not ledgers:
            return
        account.ledger = ledgers[0]
        for order in self._rows(ORDERS):
            account.adopt(order)
        account.trades = self._rows(TRADES)
        account.positions = {row.key: row for row in self._rows(POSITIONS)}
        account.holdings = {row.key: row for row in self._rows(HOLDINGS)}

    def save(self, account: Account) -> None:
        """Writes the account's changes in one transaction, and forgets them."""
        changes = account.changes
        with _Transaction(self._connection, self._name):
            self._put(ORDERS, changes.orders.values())
            self._put(TRADES, changes.trades)
            self._put_kept(POSITIONS, changes.positions, account.positions)
            self._put_kept(HOLDINGS, changes.holdings, account.holdings)
            self._connection.execute("DELETE FROM funds")
            self._put(FUNDS, [account.ledger])
        account.changes = Changes()

    def clear(self, account: Account) -> None:
        """Removes every row but the ledger's."""
        with _Transaction(self._connection, self._name):
            for table in TABLES:
                self._connection.execute(table.empty)
            self._put(FUNDS, [account.ledger])
        account.changes = Changes()

    def forget_orders(self, before_ns: int) -> None:
        """Removes ended orders and trades of earlier days; the books show one day."""
        with _Transaction(self._connection, self._name):
            self._connection.execute(
                "DELETE FROM orders "
                "WHERE placed_ns < ? AND status NOT IN ('open', 'trigger pending')",
                (before_ns,),
            )
            self._connection.execute("DELETE FROM trades WHERE at_ns < ?", (before_ns,))

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _prepare(self) -> None:
        with _Transaction(self._connection, self._name, begin=False):
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise DatabaseTooNew(
                    f"{self._name} was written by a newer sandbox (version {version})"
                )
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            for table in TABLES:
                self._connection.execute(table.create)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _rows(self, table: _Table) -> list[Any]:
        return [table.build(values) for values in self._connection.execute(table.select)]

    def _put(self, table: _Table, rows: Iterable[object]) -> None:
        self._connection.executemany(table.upsert, [table.values(row) for row in rows])

    def _put_kept(self, table: _Table, changed: dict[Any, Any], kept: dict[Any, Any]) -> None:
        """Writes changed rows that still stand in the book and removes those that do not."""
        self._put(table, [row for key, row in changed.items() if key in kept])
        self._connection.executemany(table.delete, [key for key in changed if key not in kept])


class _Transaction:
    """BEGIN ... COMMIT, ROLLBACK on any error; SQLite's errors become StorageFailure."""

    def __init__(self, connection: sqlite3.Connection, name: str, begin: bool = True) -> None:
        self._connection, self._name, self._begin = connection, name, begin

    def __enter__(self) -> None:
        if self._begin:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise self._failure(error) from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._begin:
            self._connection.execute("ROLLBACK" if error else "COMMIT")
        if isinstance(error, sqlite3.Error):
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> StorageFailure:
        return StorageFailure(f"sandbox books {self._name} cannot be written: {error}")
