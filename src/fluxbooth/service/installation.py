"""The first start of a server: its account, its key, its address."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.accounts import accounts, web_sessions
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Account
from fluxbooth.service.packs import packs
from fluxbooth.service.settings import Settings


def first_start(settings: Settings, database: Database) -> tuple[str, str] | None:
    """On a new data folder: the owner's account, its key and a link to the web app, which are
    shown this once."""
    secret = accounts.pepper(settings)
    with database.read() as session:  # which a full disk allows
        if session.scalar(select(Account.id)) is not None:
            return None
    with database.write() as session:
        if session.scalar(select(Account.id)) is not None:
            return None
        account = first_account(session)
        made = accounts.create_key(session, account, "first", secret)
        return made, address_of(settings.url, web_sessions.new_link(session, account, secret))


def first_account(session: Session) -> Account:
    """The owner of a new installation, with the packs that it starts with."""
    account = accounts.create_account(session, "owner")
    packs.stock(session, account)
    return account


def address_of(url: str, token: str) -> str:
    """Where a browser signs in."""
    return f"{url.rstrip('/')}/app/start?token={token}"


def note_url(settings: Settings) -> None:
    """For the commands beside it."""
    noted = settings.data / "url"
    # nothing is written without need: the disk may be full
    if not noted.exists() or noted.read_text() != settings.url:
        noted.write_text(settings.url)


def last_url(settings: Settings) -> str:
    """Where the server of this data folder listens, or listened last: its flags are not ours."""
    noted = settings.data / "url"
    return noted.read_text() if noted.exists() else settings.url
