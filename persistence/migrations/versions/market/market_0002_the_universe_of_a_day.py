"""The universe: which underlyings are watched on a day, and why others are not."""

import sqlalchemy as sa
from alembic import op

revision = "market_0002"
down_revision = "market_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "universe",
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("built_ns", sa.BigInteger(), nullable=False),
        sa.Column("scored_ns", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("is_hot", sa.Boolean(), nullable=False),
        sa.Column("rs", sa.Float(precision=53), nullable=True),
        sa.Column("volume", sa.Float(precision=53), nullable=False),
        sa.Column("base_close", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("exchange", "name"),
    )


def downgrade() -> None:
    """Back."""
    op.drop_table("universe")
