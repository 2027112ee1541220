"""One picture of a prompt: found, drawn once more, deleted."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract import responses
from fluxbooth.service.db.tables import Account, Image, Pack, Prompt
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.files import removals
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.packs import packs
from fluxbooth.service.prompts import prompts


def get(session: Session, account: Account, name: str) -> tuple[Image, Prompt]:
    """A picture of the account, and the prompt that it is of. Raises NotFound for any other."""
    mine = (
        select(Prompt)
        .join(Image)
        .where(Image.name == name, Prompt.account_id == account.id, Prompt.deleted_at.is_(None))
    )
    of = session.scalar(mine.options(*prompts.LOADED))
    if of is None:
        raise NotFound
    return next(row for row in of.images if row.name == name), of


def again(context: Context, name: str) -> Prompt:
    """A new prompt of one picture, like the one that this picture is of, from another seed."""
    _, of = get(context.session, context.account, name)
    return prompts.duplicate(context, of.id, {"seed": None, "num_images": 1})


def delete(session: Session, jobs: JobEngine, account: Account, name: str) -> list[str]:
    """Deletes a picture, with the last one its prompt, too; returns the keys of files to remove
    once this is committed.

    Raises ServiceError while others of its prompt are being drawn.
    """
    image, of = get(session, account, name)
    if of.is_open:
        raise ServiceError("Its prompt is being drawn: cancel that, or wait until it is done.", 409)
    session.execute(
        update(Pack).where(Pack.cover == responses.image_path(image)).values(cover=None)
    )
    if len(of.images) == 1:
        return prompts.delete(session, jobs, account, of.id)
    packs.like_picture(session, image, of, False)  # a like goes with its picture
    of.images.remove(image)
    session.delete(image)
    session.flush()
    return removals.give_up(session, image.key)


def delete_all(
    session: Session, jobs: JobEngine, account: Account, names: Iterable[str]
) -> list[str]:
    """As `delete`, of several pictures: all of them, or none."""
    return [key for name in names for key in delete(session, jobs, account, name)]
