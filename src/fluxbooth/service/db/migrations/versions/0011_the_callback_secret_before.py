"""A callback secret that was made anew lets the one before it sign for a while"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("webhook_secret_before", sa.String(100)))
    op.add_column("accounts", sa.Column("webhook_secret_since", sa.DateTime(timezone=True)))
