"""Money: a ledger of whole millicents (100,000 are a dollar), one row a movement. What an account
has is the sum of its rows, kept in the account's own row by a trigger of the database, so that it
costs the same however long the ledger is.

Work that costs something moves money twice. A `hold` takes its price in the transaction that
accepts it; then a `capture` says that it was delivered (of 0: the money is gone already; of more:
some of it was not, and is given back), or a `refund` gives it back, in the transaction that ends
it. Each is written once for a job, which the database holds too, so that a step that is repeated
after a kill moves nothing. Work that is free leaves no row.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.service.db.tables import Account, Movement, Prompt, Tune
from fluxbooth.service.errors import ServiceError

DOLLAR, CENT = 100_000, 1000  # millicents
MOST = 10**9  # dollars in one movement
TYPED = re.compile(r"([+-]?)\$?(\d{1,10}(?:\.\d{0,10})?|\.\d{1,10})", re.ASCII)  # an amount


def balance(session: Session, account_id: int) -> int:
    """What an account has and no work holds, in millicents."""
    return session.scalar(select(Account.balance_mc).where(Account.id == account_id)) or 0


def wrong(session: Session) -> list[tuple[int, int, int]]:
    """Accounts whose kept balance is not the sum of their rows: number, kept, sum. There are none
    unless somebody changed the database by hand."""
    summed = func.coalesce(func.sum(Movement.amount_mc), 0)
    query = (
        select(Account.id, Account.balance_mc, summed)
        .outerjoin(Movement)
        .group_by(Account.id, Account.balance_mc)
        .having(Account.balance_mc != summed)
    )
    return [(number, kept, total) for number, kept, total in session.execute(query)]


def movements(
    session: Session, account: Account, *, limit: int, before: int | None = None
) -> Sequence[Movement]:
    """The account's ledger, newest first; `before` is the lowest id seen so far."""
    query = select(Movement).where(Movement.account_id == account.id)
    if before is not None:
        query = query.where(Movement.id < before)
    return session.scalars(query.order_by(Movement.id.desc()).limit(limit)).all()


def credit(
    session: Session, account: Account, amount_mc: int, reference: str | None = None
) -> Movement:
    """Gives an account money, or with a negative amount takes some back. What has a reference is
    credited once, however often it is said.

    Raises InputError for a reference that was used for another amount or account.
    """
    _lock(session, account.id)
    job = f"credit-{reference or secrets.token_hex(8)}"
    known = session.scalar(select(Movement).where(Movement.job == job))
    if known is None:
        return _write(session, account.id, job, "credit", amount_mc)
    if (known.account_id, known.amount_mc) != (account.id, amount_mc):
        raise InputError(
            f"The reference {reference!r} was used for {dollars(known.amount_mc)} to another "
            "account or in another amount."
        )
    return known


def cover(session: Session, account_id: int, amount_mc: int) -> None:
    """Holds the balance still until the transaction ends.

    Raises ServiceError (402) if it is less than the amount.
    """
    if not amount_mc:
        return
    _lock(session, account_id)
    free = balance(session, account_id)
    if amount_mc > free:
        raise ServiceError(
            (
                f"Funds do not cover this: it costs {dollars(amount_mc)}, and {dollars(free)} "
                "are free. Add credit first."
            ),
            402,
        )


def hold(session: Session, account_id: int, job: str, amount_mc: int) -> None:
    """Takes the price of a job that is accepted.

    Raises ServiceError (402) if the balance does not cover it.
    """
    if not amount_mc or _rows(session, job):
        return
    cover(session, account_id, amount_mc)
    _write(session, account_id, job, "hold", -amount_mc)


def capture(session: Session, job: str, back_mc: int = 0) -> None:
    """The job was delivered: what it holds is earned, but for what is given back."""
    if held := _open_hold(session, job):
        _write(session, held.account_id, job, "capture", back_mc)


def refund(session: Session, row: Tune | Prompt) -> None:
    """The job of a row gave nothing: it costs nothing, and the row says so."""
    if held := _open_hold(session, row.job):
        _write(session, held.account_id, row.job, "refund", -held.amount_mc)
        row.cost_mc = 0


def dollars(amount_mc: int) -> str:
    """An amount as a person reads it: `$3.31`, `-$0.00025`."""
    value = f"{abs(amount_mc) / DOLLAR:.5f}"
    while value.endswith("0") and len(value) > len(f"{abs(amount_mc) // DOLLAR}.00"):
        value = value[:-1]
    return f"{'-' if amount_mc < 0 else ''}${value}"


def millicents(text: str) -> int:
    """Dollars as they are typed.

    Raises InputError for what is no amount, or has parts of a millicent.
    """
    typed = TYPED.fullmatch(text.strip())
    amount = Decimal("".join(typed.groups())) * DOLLAR if typed else Decimal(0)
    if amount != amount.to_integral_value() or not 0 < abs(amount) <= MOST * DOLLAR:
        raise InputError(
            f"{text!r} is no amount: write dollars like 25 or 4.50, with at most five decimals."
        )
    return int(amount)


def cents(amount_mc: int) -> int:
    """Whole US cents, rounded up."""
    return -(-amount_mc // CENT)


def _open_hold(session: Session, job: str) -> Movement | None:
    rows = _rows(session, job)
    return rows[0] if len(rows) == 1 else None


def _rows(session: Session, job: str) -> Sequence[Movement]:
    return session.scalars(select(Movement).where(Movement.job == job).order_by(Movement.id)).all()


def _write(session: Session, account_id: int, job: str, kind: str, amount_mc: int) -> Movement:
    row = Movement(account_id=account_id, job=job, kind=kind, amount_mc=amount_mc)
    session.add(row)
    session.flush()
    return row


def _lock(session: Session, account_id: int) -> None:
    """One at a time may look at a balance and spend it; SQLite's write transactions are alone
    anyhow."""
    session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
