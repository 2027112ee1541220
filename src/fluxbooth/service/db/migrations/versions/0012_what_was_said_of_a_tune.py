"""What was said of a tune: its warnings; and a field that comes back as it was sent"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "tunes",
        sa.Column("training_face_correct", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column(
        "tunes", sa.Column("warnings", sa.JSON(), server_default=sa.text("'[]'"), nullable=False)
    )
