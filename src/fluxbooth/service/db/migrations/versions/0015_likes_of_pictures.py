"""A like of one picture, and the files of pictures that were deleted one by one"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column(
        "images", sa.Column("liked", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    # a like was one of all the pictures of a prompt
    op.execute(
        "UPDATE images SET liked = true WHERE prompt_id IN (SELECT id FROM prompts WHERE liked)"
    )
    op.create_table(
        "removals",
        sa.Column("id", Id, primary_key=True),
        sa.Column("key", sa.Text(), nullable=False),
    )
