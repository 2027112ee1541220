"""Prompts know how much the pictures take that they start from"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "prompts", sa.Column("input_bytes", sa.BigInteger(), server_default="0", nullable=False)
    )
