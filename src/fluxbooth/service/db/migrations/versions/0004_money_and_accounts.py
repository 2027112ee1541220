"""The ledger, accounts that end, what files weigh, and indexes of the work that is open"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fluxbooth.service.db.columns import Utc

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = {
    "tunes": sa.text("trained_at IS NULL AND failed_at IS NULL AND deleted_at IS NULL"),
    "prompts": sa.text("trained_at IS NULL AND deleted_at IS NULL"),
}
ENDED = sa.text("kind IN ('capture', 'refund')")


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", Id, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("job", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("amount_mc", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job", "kind"),
    )
    op.create_index("ix_ledger_account_id", "ledger", ["account_id"])
    op.create_index(
        "one_end_of_a_job",
        "ledger",
        ["job"],
        unique=True,
        sqlite_where=ENDED,
        postgresql_where=ENDED,
    )
    for name in ("disabled_at", "deleted_at"):
        op.add_column("accounts", sa.Column(name, Utc(), nullable=True))
    for table, name in (
        ("tunes", "lora_bytes"),
        ("tunes", "cost_mc"),
        ("prompts", "cost_mc"),
        ("photos", "bytes"),
        ("images", "bytes"),
    ):
        op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    for table, where in OPEN.items():
        op.create_index(
            f"open_{table}", table, ["account_id"], sqlite_where=where, postgresql_where=where
        )
    with op.batch_alter_table("orders", table_kwargs={"sqlite_autoincrement": True}) as orders:
        orders.alter_column("pack_id", existing_type=Id, nullable=True)
