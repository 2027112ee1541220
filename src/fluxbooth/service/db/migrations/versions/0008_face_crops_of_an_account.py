"""Accounts say whether new tunes learn from close-ups of faces, too"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "accounts", sa.Column("face_crop", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
