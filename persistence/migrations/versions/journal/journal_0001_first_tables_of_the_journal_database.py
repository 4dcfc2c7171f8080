"""First tables of the journal database."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "audit",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("message_id", sa.String(length=160), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=80), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("ip_address", sa.String(length=45), nullable=False),
        sa.Column("category", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_category"), ["category"], unique=False)

    op.create_table(
        "facts",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("message_id", sa.String(length=160), nullable=False),
        sa.Column("cause", sa.String(length=160), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
    )
    with op.batch_alter_table("facts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_facts_kind"), ["kind"], unique=False)

    op.create_table(
        "journal_entries",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("event_id", sa.String(length=160), nullable=False),
        sa.Column("correlation_id", sa.String(length=160), nullable=False),
        sa.Column("strategy_id", sa.String(length=120), nullable=False),
        sa.Column("strategy_tag", sa.String(length=80), nullable=False),
        sa.Column("instrument", sa.String(length=40), nullable=False),
        sa.Column("exchange", sa.String(length=12), nullable=False),
        sa.Column("direction", sa.String(length=4), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("entry_price", sa.Double(), nullable=True),
        sa.Column("entry_reason", sa.Text(), nullable=False),
        sa.Column("entry_reason_meta", sa.Text(), nullable=False),
        sa.Column("exit_price", sa.Double(), nullable=True),
        sa.Column("gross", sa.String(length=24), nullable=True),
        sa.Column("charges", sa.String(length=24), nullable=True),
        sa.Column("pnl", sa.String(length=24), nullable=True),
        sa.Column("hold_duration_s", sa.BigInteger(), nullable=True),
        sa.Column("exit_reason", sa.String(length=16), nullable=True),
        sa.Column("exit_detail", sa.Text(), nullable=True),
        sa.Column("regime_phase", sa.String(length=16), nullable=False),
        sa.Column("regime_score", sa.Integer(), nullable=False),
        sa.Column("vix_at_entry", sa.Double(), nullable=False),
        sa.Column("iv_rank", sa.Double(), nullable=True),
        sa.Column("pcr_at_entry", sa.Double(), nullable=True),
        sa.Column("max_pain_dist", sa.Double(), nullable=True),
        sa.Column("zone_freshness", sa.Double(), nullable=True),
        sa.Column("sizing_chain", sa.Text(), nullable=False),
        sa.Column("kelly_value", sa.Double(), nullable=True),
        sa.Column("sector_heat_pct", sa.Double(), nullable=True),
        sa.Column("slippage_ticks", sa.Double(), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("fill_rate", sa.Double(), nullable=False),
        sa.Column("entry_ns", sa.BigInteger(), nullable=False),
        sa.Column("exit_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
    )
    with op.batch_alter_table("journal_entries", schema=None) as batch_op:
        batch_op.create_index("journal_by_strategy", ["strategy_id"], unique=False)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("journal_entries", schema=None) as batch_op:
        batch_op.drop_index("journal_by_strategy")

    op.drop_table("journal_entries")
    with op.batch_alter_table("facts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_facts_kind"))

    op.drop_table("facts")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_category"))

    op.drop_table("audit")
