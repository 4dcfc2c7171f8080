"""Metrics by the minute, days of signals, and which trades were on paper."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0002"
down_revision = "journal_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward. Of trades of before nobody knows whether they were on paper."""
    op.create_table(
        "metrics",
        sa.Column("minute_ns", sa.BigInteger(), nullable=False),
        sa.Column("orders_placed", sa.Integer(), nullable=False),
        sa.Column("orders_filled", sa.Integer(), nullable=False),
        sa.Column("orders_rejected", sa.Integer(), nullable=False),
        sa.Column("latency_avg_ms", sa.Double(), nullable=True),
        sa.Column("latency_p99_ms", sa.Double(), nullable=True),
        sa.Column("stale_blocks", sa.Integer(), nullable=False),
        sa.Column("failovers", sa.Integer(), nullable=False),
        sa.Column("unhedged_incidents", sa.Integer(), nullable=False),
        sa.Column("dead_letters", sa.Integer(), nullable=False),
        sa.Column("lease_reclaims", sa.Integer(), nullable=False),
        sa.Column("breaker_trips", sa.Integer(), nullable=False),
        sa.Column("slippage_ticks", sa.Double(), nullable=True),
        sa.Column("fill_rate", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("minute_ns"),
    )
    op.create_table(
        "signal_days",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("paper", sa.Boolean(), nullable=False),
        sa.Column("signals", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "paper"),
    )
    with op.batch_alter_table("journal_entries", schema=None) as batch_op:
        batch_op.add_column(sa.Column("paper", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("journal_entries", schema=None) as batch_op:
        batch_op.drop_column("paper")
    op.drop_table("signal_days")
    op.drop_table("metrics")
