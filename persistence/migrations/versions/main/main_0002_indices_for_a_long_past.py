"""Indices by which a long past of commands, orders and fills is never read as a whole."""

from alembic import op

revision = "main_0002"
down_revision = "main_0001"
branch_labels = None
depends_on = None

INDICES = {
    "ix_commands_standing": ("commands", ["event_type", "closed_ns", "status"]),
    "ix_commands_made": ("commands", ["event_type", "created_ns"]),
    "ix_commands_strategy": ("commands", ["strategy_id"]),
    "ix_commands_correlation": ("commands", ["correlation_id"]),
    "ix_commands_told": ("commands", ["told", "status"]),
    "ix_orders_live": ("orders", ["status", "broker_name"]),
    "ix_orders_moved": ("orders", ["broker_name", "updated_ns"]),
    "ix_orders_made": ("orders", ["broker_name", "purpose", "created_ns"]),
    "ix_fills_strategy": ("fills", ["strategy_id"]),
    "ix_fills_command": ("fills", ["command_id"]),
}


def upgrade() -> None:
    """Forward."""
    for name, (table, columns) in INDICES.items():
        op.create_index(name, table, columns)
    op.drop_index("ix_orders_status", "orders")


def downgrade() -> None:
    """Back."""
    op.create_index("ix_orders_status", "orders", ["broker_name", "status"])
    for name, (table, _) in INDICES.items():
        op.drop_index(name, table)
