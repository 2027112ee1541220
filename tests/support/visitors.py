"""Browsers as tests send them, without a window."""

from __future__ import annotations

import httpx
from sqlalchemy import select

from fluxbooth.service.accounts import accounts, web_sessions
from fluxbooth.service.db.tables import Account
from fluxbooth.service.settings import Settings
from tests.support.server import Server


def link(server: Server, name: str = "owner") -> str:
    """What `fluxbooth key link` prints, for the account of a name, which is made if there is
    none."""
    secret = accounts.pepper(Settings(data=server.data))
    with server.database.write() as session:
        account = session.scalar(
            select(Account).where(Account.name == name)
        ) or accounts.create_account(session, name)
        return f"http://127.0.0.1:{server.port}/app/start?token={web_sessions.new_link(session, account, secret)}"


def browser(server: Server) -> httpx.Client:
    """A client that sends what a browser sends with forms of our own pages."""
    origin = f"http://127.0.0.1:{server.port}"
    client = httpx.Client(
        base_url=origin, headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"}, timeout=60
    )
    return server.ends.enter_context(client)
