"""What an account has, kept beside the ledger: the database itself moves it with each row"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

MOVE = "UPDATE accounts SET balance_mc = balance_mc + NEW.amount_mc WHERE id = NEW.account_id"
SQLITE = (
    f"CREATE TRIGGER ledger_moves_balance AFTER INSERT ON ledger BEGIN {MOVE}; END",
)  # fmt: skip
POSTGRESQL = (
    "CREATE FUNCTION ledger_moves_balance() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN {MOVE}; RETURN NULL; END $$",
    "CREATE TRIGGER ledger_moves_balance AFTER INSERT ON ledger "
    "FOR EACH ROW EXECUTE FUNCTION ledger_moves_balance()",
)


def upgrade() -> None:
    op.add_column(
        "accounts", sa.Column("balance_mc", sa.BigInteger(), server_default="0", nullable=False)
    )
    # a process of an earlier version may still write rows: the trigger moves theirs, too
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)
    op.execute(
        "UPDATE accounts SET balance_mc = COALESCE("
        "(SELECT SUM(amount_mc) FROM ledger WHERE ledger.account_id = accounts.id), 0)"
    )
