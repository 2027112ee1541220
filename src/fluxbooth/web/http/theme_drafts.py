"""Prompts of a theme, written before anything is made of them."""

from __future__ import annotations

import asyncio

from fluxbooth.service.contract.forms import ThemeForm
from fluxbooth.service.db.tables import Account, Tune
from fluxbooth.service.themes import themes
from fluxbooth.web.state import Services


async def drafted(services: Services, account: Account, form: ThemeForm) -> list[themes.Written]:
    """What is written for a theme; nothing is drawn of it yet, and nothing is kept."""

    def look() -> list[Tune]:
        with services.db.read() as session:
            return themes.subjects(session, services.settings, account, form)

    found = await asyncio.to_thread(look)
    async with services.writing:
        return await asyncio.to_thread(themes.write, services.settings, form, found)
