"""Brings the databases to this version of the code: alembic, one history a table group's database.

Groups `main`, `journal` and `market` have a folder of migrations and a version table each, so that
they may share one PostgreSQL database or be three SQLite files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from domain.errors import DatabaseTooNew, StorageFailure

FOLDER = Path(__file__).resolve().parent / "migrations"
GROUPS = ("main", "journal", "market")


def version_table(group: str) -> str:
    """Where a group keeps its revision."""
    return f"alembic_version_{group}"


def configuration(group: str, engine: Engine) -> Config:
    """Alembic's configuration of one group on one engine."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("version_locations", str(FOLDER / "versions" / group))
    config.set_main_option("path_separator", "newline")
    config.attributes["engine"] = engine
    config.attributes["group"] = group
    return config


def migrate(urls: Mapping[str, str], target: str = "head") -> None:
    """Upgrades every group named in `urls` to `target`.

    Raises DatabaseTooNew for a database a newer version wrote, StorageFailure where it cannot be
    opened.
    """
    for group, url in urls.items():
        engine = create_engine(url, poolclass=NullPool)
        try:
            _upgrade(group, engine, target)
        except SQLAlchemyError as failure:
            raise StorageFailure(f"database of {group} cannot be opened: {failure}") from None


def downgrade(urls: Mapping[str, str], target: str) -> None:
    """Takes every group in `urls` back to `target` ("base" empties it)."""
    for group, url in urls.items():
        engine = create_engine(url, poolclass=NullPool)
        command.downgrade(configuration(group, engine), target)


def _upgrade(group: str, engine: Engine, target: str) -> None:
    config = configuration(group, engine)
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    current = _current(group, engine)
    if current and current not in known:
        raise DatabaseTooNew(
            f"the {group} database is at revision {current}, which this version does not know: "
            f"it was written by a newer one; run that version, or name another --data-dir"
        )
    if current != scripts.get_current_head() or target != "head":
        command.upgrade(config, target)


def _current(group: str, engine: Engine) -> str | None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": version_table(group)}
        )
        return context.get_current_revision()
