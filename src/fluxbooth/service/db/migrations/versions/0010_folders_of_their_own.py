"""Folders of files have names that only their rows know; the clock that expiry believes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # of rows that are there the folder keeps its name, which is their id
    for table in ("tunes", "prompts"):
        op.add_column(table, sa.Column("nonce", sa.String(32), server_default="", nullable=False))
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("believed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ticks", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
