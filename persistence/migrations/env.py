"""Alembic's entry: runs the migrations of one group on the engine persistence.migrate gives."""

from alembic import context

from persistence.migrate import version_table

engine = context.config.attributes["engine"]
group = context.config.attributes["group"]
metadata = context.config.attributes.get("metadata")

with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=version_table(group),
        render_as_batch=True,
        include_name=lambda name, kind, _parents: (
            kind != "table" or metadata is None or name in metadata.tables
        ),
    )
    with context.begin_transaction():
        context.run_migrations()
