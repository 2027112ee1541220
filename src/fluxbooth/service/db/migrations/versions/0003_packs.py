"""Packs, their templates, and the orders that runs of them are"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fluxbooth.service.db.columns import Utc
from fluxbooth.service.db.tables import FIRST_TEMPLATE

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "packs",
        sa.Column("id", Id, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("slug", sa.String(length=100), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("subtitle", sa.Text(), nullable=False),
        sa.Column("base_tune_id", Id, nullable=False),
        sa.Column("model_type", sa.String(length=20), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=False),
        sa.Column("preset", sa.String(length=40), nullable=True),
        sa.Column("cover", sa.Text(), nullable=True),
        sa.Column("public_at", Utc(), nullable=True),
        sa.Column("unlisted_at", Utc(), nullable=True),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_packs_account_id", "packs", ["account_id"])
    op.create_table(
        "templates",
        sa.Column("id", Id, nullable=False),
        sa.Column("pack_id", Id, nullable=False),
        sa.Column("class_name", sa.String(length=60), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=False),
        sa.Column("tune_id", Id, nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("num_images", sa.Integer(), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("likes", sa.Integer(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["pack_id"], ["packs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_templates_pack_id", "templates", ["pack_id"])
    op.create_table(
        "orders",
        sa.Column("id", Id, nullable=False),
        sa.Column("account_id", Id, nullable=False),
        sa.Column("pack_id", Id, nullable=False),
        sa.Column("callback", sa.Text(), nullable=True),
        sa.Column("called_at", Utc(), nullable=True),
        sa.Column("created_at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.ForeignKeyConstraint(["pack_id"], ["packs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_orders_account_id", "orders", ["account_id"])
    for name in ("pack_id", "base_pack_id", "orig_prompt_id", "order_id"):
        op.add_column("prompts", sa.Column(name, Id, nullable=True))
    op.add_column("prompts", sa.Column("likes", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE prompts SET likes = 1 WHERE liked")
    op.create_index("ix_prompts_order_id", "prompts", ["order_id"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"INSERT INTO sqlite_sequence (name, seq) VALUES ('templates', {FIRST_TEMPLATE - 1})"
        )
    else:
        op.execute(f"ALTER SEQUENCE templates_id_seq RESTART WITH {FIRST_TEMPLATE}")
