"""What whoever gave the photos of a tune agreed to, and what looks explicit"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tunes", sa.Column("consent", sa.Text()))
    op.add_column("tunes", sa.Column("consented_at", sa.DateTime(timezone=True)))
    for table in ("tunes", "prompts"):
        op.add_column(
            table,
            sa.Column("flagged", sa.Boolean(), server_default=sa.false(), nullable=False),
        )
