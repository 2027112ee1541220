"""Checkpoints of a training with the samples drawn there, and trainings that go on from a tune"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("tunes", sa.Column("continues", Id, nullable=True))
    op.add_column("tunes", sa.Column("likeness_of_photos", sa.Double[float](), nullable=True))
    op.create_table(
        "checkpoints",
        sa.Column("id", Id, nullable=False),
        sa.Column("tune_id", Id, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("lora", sa.Text(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["tune_id"], ["tunes.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tune_id", "step"),
    )
    op.create_table(
        "samples",
        sa.Column("id", Id, nullable=False),
        sa.Column("checkpoint_id", Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("likeness", sa.Double[float](), nullable=True),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoints.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("checkpoint_id", "number"),
    )
