"""Migrations make exactly the tables the code expects, go down again, refuse a newer database."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

import persistence.instruments
import persistence.journal
import persistence.latches
import persistence.lease
import persistence.market
import persistence.metrics
import persistence.orders
import persistence.positions
import persistence.settings  # noqa: F401 - each declares its tables
from domain.errors import DatabaseTooNew, StorageFailure
from persistence.database import JournalBase, MainBase, MarketBase
from persistence.migrate import GROUPS, downgrade, migrate, version_table

BASES = {"main": MainBase, "journal": JournalBase, "market": MarketBase}


@pytest.fixture
def urls(tmp_path: Path) -> dict[str, str]:
    return {group: f"sqlite:///{tmp_path / group}.db" for group in GROUPS}


@pytest.mark.parametrize("group", GROUPS)
def test_the_migrated_database_has_the_tables_of_the_code(urls: dict[str, str], group: str) -> None:
    migrate(urls)
    engine = create_engine(urls[group], poolclass=NullPool)
    with engine.connect() as connection:
        options = {"version_table": version_table(group), "compare_type": False}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, BASES[group].metadata) == []


def test_migrating_again_changes_nothing(urls: dict[str, str]) -> None:
    migrate(urls)
    migrate(urls)
    assert "orders" in inspect(create_engine(urls["main"], poolclass=NullPool)).get_table_names()


def test_a_database_goes_down_to_nothing_and_up_again(urls: dict[str, str]) -> None:
    migrate(urls)
    downgrade(urls, "base")
    for group in GROUPS:
        tables = inspect(create_engine(urls[group], poolclass=NullPool)).get_table_names()
        assert tables == [version_table(group)]
    migrate(urls)


def test_three_groups_may_share_one_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'one.db'}"
    migrate(dict.fromkeys(GROUPS, url))
    tables = inspect(create_engine(url, poolclass=NullPool)).get_table_names()
    assert {"orders", "facts", "bars"} <= set(tables)


def test_a_database_from_a_newer_version_is_refused_with_a_sentence(urls: dict[str, str]) -> None:
    migrate(urls)
    with create_engine(urls["main"], poolclass=NullPool).begin() as connection:
        connection.execute(text(f"UPDATE {version_table('main')} SET version_num = 'main_9999'"))
    with pytest.raises(DatabaseTooNew, match="main_9999, which this version does not know"):
        migrate(urls)


def test_a_file_that_is_no_database_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "main.db"
    path.write_bytes(b"not a database, but long enough to have a header " * 40)
    with pytest.raises(StorageFailure, match="database of main cannot be opened"):
        migrate({"main": f"sqlite:///{path}"})
