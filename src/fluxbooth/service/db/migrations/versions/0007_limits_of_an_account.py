"""Accounts may have limits of their own"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("requests_per_second", sa.Double(), nullable=True))
    op.add_column("accounts", sa.Column("waiting_jobs", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("stored_mb", sa.Integer(), nullable=True))
