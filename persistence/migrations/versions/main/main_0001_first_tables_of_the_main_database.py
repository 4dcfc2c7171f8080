"""First tables of the main database."""

import sqlalchemy as sa
from alembic import op

revision = "main_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward."""
    op.create_table(
        "commands",
        sa.Column(
            "command_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("strategy_tag", sa.Text(), nullable=False),
        sa.Column("underlying", sa.Text(), nullable=False),
        sa.Column("broker_name", sa.Text(), nullable=False),
        sa.Column("source_agent", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempt_count", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=False),
        sa.Column("next_retry_ns", sa.BigInteger(), nullable=False),
        sa.Column("owner_token", sa.Text(), nullable=False),
        sa.Column("lease_expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("processed_ns", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("valid_until_ns", sa.BigInteger(), nullable=False),
        sa.Column("cleared_ns", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("abort_requested", sa.Boolean(), nullable=False),
        sa.Column("leg_no", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("closed_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("command_id"),
        sa.UniqueConstraint("idempotency_key"),
    )
    with op.batch_alter_table("commands", schema=None) as batch_op:
        batch_op.create_index("ix_commands_due", ["status", "next_retry_ns"], unique=False)
        batch_op.create_index(
            "ux_commands_entry_correlation",
            ["correlation_id"],
            unique=True,
            sqlite_where=sa.text("event_type = 'ORDER_REQUEST'"),
            postgresql_where=sa.text("event_type = 'ORDER_REQUEST'"),
        )

    op.create_table(
        "control_lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("fencing_number", sa.Integer(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "entry_numbers",
        sa.Column("correlation_id", sa.String(length=128), nullable=False),
        sa.Column("strategy_tag", sa.String(length=120), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("strategy_id", sa.String(length=160), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("correlation_id"),
        sa.UniqueConstraint("strategy_id"),
        sa.UniqueConstraint("strategy_tag", "day", "number"),
    )
    op.create_table(
        "fills",
        sa.Column("fill_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("leg_no", sa.BigInteger(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("broker_name", sa.Text(), nullable=False),
        sa.Column("command_id", sa.BigInteger(), nullable=False),
        sa.Column("cumulative", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.BigInteger(), nullable=False),
        sa.Column("slippage_ticks", sa.String(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("fill_id"),
        sa.UniqueConstraint("client_order_id", "cumulative"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("fills", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fills_told"), ["told"], unique=False)

    op.create_table(
        "guards",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("leg_no", sa.Integer(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("lives_at", sa.Text(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("armed_ns", sa.BigInteger(), nullable=False),
        sa.Column("dropped_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("strategy_id", "leg_no"),
    )
    op.create_table(
        "injections",
        sa.Column("correlation_id", sa.String(length=128), nullable=False),
        sa.Column("idempotency_key", sa.String(length=128), nullable=True),
        sa.Column("payload", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=True),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("correlation_id"),
        sa.UniqueConstraint("idempotency_key"),
    )
    op.create_table(
        "latches",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("engaged", sa.Boolean(), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "master_loads",
        sa.Column("load_id", sa.Integer(), nullable=False),
        sa.Column("broker", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("load_id"),
    )
    op.create_table(
        "order_attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("order_attempts", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_order_attempts_client_order_id"), ["client_order_id"], unique=False
        )

    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("command_id", sa.BigInteger(), nullable=False),
        sa.Column("strategy_id", sa.Text(), nullable=False),
        sa.Column("strategy_tag", sa.Text(), nullable=False),
        sa.Column("leg_no", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("broker_name", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("piece", sa.BigInteger(), nullable=False),
        sa.Column("listing_id", sa.BigInteger(), nullable=False),
        sa.Column("underlying", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("strike", sa.String(), nullable=False),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("lot_size", sa.BigInteger(), nullable=False),
        sa.Column("tick_size", sa.String(), nullable=False),
        sa.Column("freeze_quantity", sa.BigInteger(), nullable=False),
        sa.Column("naked_approved", sa.Boolean(), nullable=False),
        sa.Column("is_exit", sa.Boolean(), nullable=False),
        sa.Column("price_type", sa.Text(), nullable=False),
        sa.Column("price", sa.String(), nullable=False),
        sa.Column("trigger_price", sa.String(), nullable=False),
        sa.Column("decision_price", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("broker_order_id", sa.Text(), nullable=False),
        sa.Column("filled_quantity", sa.BigInteger(), nullable=False),
        sa.Column("average_price", sa.String(), nullable=False),
        sa.Column("needs_reconcile", sa.Boolean(), nullable=False),
        sa.Column("sends", sa.BigInteger(), nullable=False),
        sa.Column("error_kind", sa.Text(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("sent_ns", sa.BigInteger(), nullable=False),
        sa.Column("cancel_ns", sa.BigInteger(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("client_order_id"),
    )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.create_index("ix_orders_command", ["command_id"], unique=False)
        batch_op.create_index("ix_orders_status", ["broker_name", "status"], unique=False)
        batch_op.create_index("ix_orders_strategy", ["strategy_id"], unique=False)
        batch_op.create_index(
            "ux_orders_broker_id",
            ["broker_name", "broker_order_id"],
            unique=True,
            sqlite_where=sa.text("broker_order_id <> ''"),
            postgresql_where=sa.text("broker_order_id <> ''"),
        )

    op.create_table(
        "position_cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fill_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "positions",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("exchange", sa.Text(), nullable=True),
        sa.Column("product", sa.Text(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=True),
        sa.Column("average_price", sa.String(), nullable=True),
        sa.Column("strategy_id", sa.Text(), nullable=True),
        sa.Column("strategy_tag", sa.Text(), nullable=True),
        sa.Column("strategy", sa.Text(), nullable=True),
        sa.Column("leg_no", sa.BigInteger(), nullable=True),
        sa.Column("underlying", sa.Text(), nullable=True),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("strike", sa.String(), nullable=True),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("entry_ns", sa.BigInteger(), nullable=True),
        sa.Column("broker", sa.Text(), nullable=True),
        sa.Column("last_price", sa.String(), nullable=True),
        sa.Column("realized", sa.String(), nullable=True),
        sa.Column("delta", sa.Float(), nullable=True),
        sa.Column("gamma", sa.Float(), nullable=True),
        sa.Column("theta", sa.Float(), nullable=True),
        sa.Column("vega", sa.Float(), nullable=True),
        sa.Column("naked_approved", sa.Boolean(), nullable=True),
        sa.Column("listing_id", sa.BigInteger(), nullable=False),
        sa.Column("realized_day", sa.String(), nullable=False),
        sa.Column("charges_day", sa.String(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "reconcile_differences",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("broker_name", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("ours", sa.BigInteger(), nullable=False),
        sa.Column("theirs", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("resolved_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("broker_name", "exchange", "symbol", "product", "seen_ns"),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "listings",
        sa.Column("listing_id", sa.Integer(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("lot_size", sa.Integer(), nullable=False),
        sa.Column("tick_size", sa.String(), nullable=False),
        sa.Column("freeze_quantity", sa.Integer(), nullable=False),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("strike", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("load_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["load_id"],
            ["master_loads.load_id"],
        ),
        sa.PrimaryKeyConstraint("listing_id"),
        sa.UniqueConstraint("exchange", "symbol"),
    )
    with op.batch_alter_table("listings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_listings_load_id"), ["load_id"], unique=False)


def downgrade() -> None:
    """Back."""
    with op.batch_alter_table("listings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_listings_load_id"))

    op.drop_table("listings")
    op.drop_table("settings")
    op.drop_table("reconcile_differences")
    op.drop_table("positions")
    op.drop_table("position_cursor")
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_index(
            "ux_orders_broker_id",
            sqlite_where=sa.text("broker_order_id <> ''"),
            postgresql_where=sa.text("broker_order_id <> ''"),
        )
        batch_op.drop_index("ix_orders_strategy")
        batch_op.drop_index("ix_orders_status")
        batch_op.drop_index("ix_orders_command")

    op.drop_table("orders")
    with op.batch_alter_table("order_attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_attempts_client_order_id"))

    op.drop_table("order_attempts")
    op.drop_table("master_loads")
    op.drop_table("latches")
    op.drop_table("injections")
    op.drop_table("guards")
    with op.batch_alter_table("fills", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fills_told"))

    op.drop_table("fills")
    op.drop_table("entry_numbers")
    op.drop_table("control_lease")
    with op.batch_alter_table("commands", schema=None) as batch_op:
        batch_op.drop_index(
            "ux_commands_entry_correlation",
            sqlite_where=sa.text("event_type = 'ORDER_REQUEST'"),
            postgresql_where=sa.text("event_type = 'ORDER_REQUEST'"),
        )
        batch_op.drop_index("ix_commands_due")

    op.drop_table("commands")
