"""Templates of a pack have an order, accounts may have a password"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "templates", sa.Column("position", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("accounts", sa.Column("password", sa.String(length=200), nullable=True))
