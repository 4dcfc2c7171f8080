"""First tables of the market database."""

import sqlalchemy as sa
from alembic import op

revision = "market_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "bars",
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("timeframe", sa.String(), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Float(precision=53), nullable=False),
        sa.Column("high", sa.Float(precision=53), nullable=False),
        sa.Column("low", sa.Float(precision=53), nullable=False),
        sa.Column("close", sa.Float(precision=53), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("vwap", sa.Float(precision=53), nullable=True),
        sa.Column("tick_count", sa.Integer(), nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("exchange", "symbol", "timeframe", "start_ns"),
    )
    op.create_table(
        "iv_history",
        sa.Column("underlying", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("iv", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("underlying", "day"),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("iv_history")
    op.drop_table("bars")
