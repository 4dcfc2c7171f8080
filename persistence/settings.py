"""Stored settings: small values that outlive a process, by key. Written by control_desk."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine, String, Text, delete, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from persistence.database import MainBase

RUNNING = "runtime.running"  # whether a person (or the start) lets new entries be made
RESUMED_NS = "runtime.resumed_ns"  # when a person last resumed trading


class SettingRow(MainBase):
    """One stored value as JSON."""

    __tablename__ = "settings"
    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class SettingStore:
    """Reads and writes of stored settings."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, key: str, default: Any) -> Any:
        """The stored value, or `default`."""
        with self._engine.connect() as connection:
            value = connection.execute(
                select(SettingRow.value).where(SettingRow.key == key)
            ).scalar()
        return default if value is None else json.loads(value)

    def write(self, key: str, value: Any) -> None:
        """Replaces the stored value."""
        with self._engine.begin() as connection:
            connection.execute(delete(SettingRow).where(SettingRow.key == key))
            connection.execute(insert(SettingRow).values(key=key, value=json.dumps(value)))
