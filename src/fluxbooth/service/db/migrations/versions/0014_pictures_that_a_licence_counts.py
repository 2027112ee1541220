"""Pictures that a licence wants counted, and the reports of them; packs that name no base"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fluxbooth.service.packs.starter_packs import STARTERS

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "usage_reports",
        sa.Column("id", Id, primary_key=True),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("unanswered", sa.Integer(), nullable=False),
        sa.Column("begun_at", Time),
        sa.Column("delivered_at", Time),
        sa.Column("last_error", sa.Text()),
        sa.Column("created_at", Time, nullable=False),
    )
    op.create_table(
        "metered",
        sa.Column("id", Id, primary_key=True),
        sa.Column("job", sa.String(100), nullable=False, unique=True),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("report_id", Id, sa.ForeignKey("usage_reports.id")),
    )
    op.create_index("ix_metered_report_id", "metered", ["report_id"])
    op.add_column(
        "packs", sa.Column("own_base", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    # of a fresh installation, which had to name one
    slugs = ", ".join(f"'{starter.slug}'" for starter in STARTERS)
    op.execute(
        f"UPDATE packs SET own_base = true WHERE slug IN ({slugs}) AND base_tune_id = 1504944"
    )
