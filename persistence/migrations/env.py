"""Alembic's entry: runs the migrations of one group on the engine persistence.migrate gives."""

from typing import Any

from alembic import context
from sqlalchemy.types import TypeDecorator

from persistence.migrate import version_table

engine = context.config.attributes["engine"]
group = context.config.attributes["group"]
metadata = context.config.attributes.get("metadata")


def render_item(kind: str, item: Any, _autogenerate: Any) -> Any:
    """A migration names what the database stores, never a class of ours that may change."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{type(item.impl_instance).__name__}()"
    return False


with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=version_table(group),
        render_as_batch=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()
