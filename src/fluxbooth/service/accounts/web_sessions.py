"""Browser sessions: a link that is good once, then a session. Rows keep digests only, as they do of
keys."""

from __future__ import annotations

import datetime
import secrets

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from fluxbooth.service.accounts.accounts import LONGEST, digest
from fluxbooth.service.db.tables import Account, Link, WebSession, now

LINK_LIFE, SESSION_LIFE = datetime.timedelta(hours=24), datetime.timedelta(days=30)


def new_link(
    session: Session,
    account: Account,
    secret: bytes,
    life: datetime.timedelta = LINK_LIFE,
    token: str | None = None,
) -> str:
    """A token that signs its bearer in as this account, once; the given one, if nobody guesses
    it."""
    token = token or secrets.token_urlsafe(32)
    session.execute(delete(Link).where(or_(Link.expires_at < now(), Link.used_at.is_not(None))))
    session.add(Link(account_id=account.id, digest=digest(token, secret), expires_at=now() + life))
    return token


def account_of_link(session: Session, token: str, secret: bytes) -> Account | None:
    """Whom a token would sign in, if it was not used yet."""
    link = _link(session, token, secret)
    return session.get(Account, link.account_id) if link else None


def _link(session: Session, token: str, secret: bytes) -> Link | None:
    if not 0 < len(token) <= LONGEST:
        return None
    return session.scalar(
        select(Link).where(
            Link.digest == digest(token, secret), Link.used_at.is_(None), Link.expires_at > now()
        )
    )


def sign_in(session: Session, token: str, secret: bytes) -> str | None:
    """The id of a new session for a token that was not used yet; None for any other."""
    link = _link(session, token, secret)
    if link is None:
        return None
    link.used_at = now()
    return new_session(session, link.account_id, secret)


def new_session(session: Session, account_id: int, secret: bytes) -> str:
    """The id of a session for somebody who proved to be this account."""
    made = secrets.token_urlsafe(32)
    session.add(
        WebSession(
            account_id=account_id, digest=digest(made, secret), expires_at=now() + SESSION_LIFE
        )
    )
    return made


def account_of(session: Session, cookie: str | None, secret: bytes) -> Account | None:
    """Whose session a cookie names, if it is still open."""
    if not cookie or len(cookie) > LONGEST:
        return None
    open_session = select(WebSession.account_id).where(
        WebSession.digest == digest(cookie, secret), WebSession.expires_at > now()
    )
    return session.scalar(select(Account).where(Account.id == open_session.scalar_subquery()))


def sign_out(session: Session, cookie: str, secret: bytes) -> None:
    session.execute(delete(WebSession).where(WebSession.digest == digest(cookie, secret)))


def sign_out_others(session: Session, account: Account, cookie: str, secret: bytes) -> None:
    """Ends every session of the account but the one that the cookie names, and every link that
    was not used yet."""
    this = WebSession.digest == digest(cookie, secret)
    session.execute(delete(WebSession).where(WebSession.account_id == account.id, ~this))
    session.execute(delete(Link).where(Link.account_id == account.id))


def sign_out_everywhere(session: Session, account: Account) -> None:
    """Ends every session of the account, and every link that was not used yet."""
    session.execute(delete(WebSession).where(WebSession.account_id == account.id))
    session.execute(delete(Link).where(Link.account_id == account.id))
