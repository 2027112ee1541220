"""Strangers' pictures, looked at by turns: one account's pictures never keep another's waiting
for long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from fluxbooth.photos import inspection
from fluxbooth.photos.folders import shown
from fluxbooth.service import safety
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import Invalid
from fluxbooth.service.prompts import input_images
from fluxbooth.service.safety import Judge
from fluxbooth.service.tunes.uploads import Upload, photos_of
from fluxbooth.web.state import Services

TURN = 2.0  # seconds of processor time after which another account may come first
MOST = 60.0  # for the pictures of one request
Check = Callable[[Session, Account], object]


async def photos(
    services: Services, account: Account, uploads: Sequence[Upload], check: Check, judge: Judge
) -> None:
    """Whether every picture can be read, and is taken. `check` is asked before the first is
    decoded, without keeping anything.

    Raises Invalid with a sentence for each that is not, or if all together take too long.
    """
    await _ask(services, account, check)
    pictures, bad, looked, spent = photos_of(uploads), list[tuple[str, str]](), 0, 0.0
    while looked < len(pictures):
        if spent > MOST:
            raise Invalid(
                {
                    "images": [
                        (
                            f"take longer than {MOST:g} s to decode together: send fewer, or "
                            "smaller ones"
                        )
                    ]
                }
            )
        async with services.decoding.turn(account.id):
            reasons, took = await asyncio.to_thread(
                inspection.look, [one.path for one in pictures[looked:]], TURN, judge
            )
        bad += [
            (one.filename, why) for one, why in zip(pictures[looked:], reasons, strict=False) if why
        ]
        looked, spent = looked + len(reasons), spent + took
    unreadable = [(name, why) for name, why in bad if why != safety.REFUSED]
    wrong = [f"{shown(name)} {why}" for name, why in bad if why == safety.REFUSED]
    if unreadable:
        wrong.append(inspection.unreadable(unreadable))
    if wrong:
        raise Invalid({"images": wrong})


async def _ask(services: Services, account: Account, check: Check) -> None:
    def ask() -> None:
        with services.db.read() as session:
            check(session, session.get_one(Account, account.id))

    await asyncio.to_thread(ask)


@contextlib.asynccontextmanager
async def started() -> AsyncGenerator[input_images.Inputs]:
    """What a prompt starts from: nothing, until `take`. Files that no prompt took are gone at
    the end."""
    start = input_images.Inputs()
    try:
        yield start
    finally:
        await asyncio.to_thread(start.discard)


async def take(
    services: Services,
    account: Account,
    given: dict[str, Any],
    start: input_images.Inputs,
    check: Check,
) -> None:
    """Adds the pictures that were given to `start`.

    `check` is asked before, if there are any. Raises Invalid for what will not do.
    """
    if not given:
        return
    await _ask(services, account, check)
    start.judge = Judge(services.settings)
    async with services.decoding.turn(account.id):
        taken = await asyncio.to_thread(
            input_images.take, given, services.store.incoming, start.judge
        )
    start.files.update(taken.files)
    start.addresses.update(taken.addresses)
