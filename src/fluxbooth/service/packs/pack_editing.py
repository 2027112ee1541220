"""Changes of a pack by its owner: its words and cover, which prompts are in it, how they read, in
which order."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.prompts.language import MAX_CHARACTERS
from fluxbooth.service.contract import responses
from fluxbooth.service.contract.forms import PackForm
from fluxbooth.service.db.tables import Account, Image, Pack, Prompt, Template, now
from fluxbooth.service.errors import Invalid, NotFound, ServiceError
from fluxbooth.service.packs import packs
from fluxbooth.service.prompts import prompts, tags, templates


def own(session: Session, account: Account, name: str) -> Pack:
    """One of the account's packs, by id or slug; NotFound for those of others, public or not."""
    pack = packs.get(session, account, name)
    if pack.account_id != account.id:
        raise NotFound
    return pack


def change(pack: Pack, form: PackForm) -> None:
    """Title, subtitle, and whether it is public; its address stays, for others may know it."""
    pack.title, pack.subtitle = form.title, form.subtitle
    pack.public_at = (pack.public_at or now()) if form.public else None


def cover(session: Session, pack: Pack, name: str) -> None:
    """Makes a picture of one of its prompts the cover."""
    image = session.scalar(
        select(Image).join(Prompt).where(Image.name == name, Prompt.pack_id == pack.id)
    )
    if image is None:
        raise NotFound
    pack.cover = responses.image_path(image)


def add(session: Session, account: Account, pack: Pack, prompt_ids: Sequence[int]) -> None:
    """Makes prompts of the account templates of the pack, after those that are there."""
    for number in prompt_ids:
        templates.attach(session, account, prompts.get(session, account, number), pack.id)


def fitting(session: Session, account: Account) -> list[Prompt]:
    """The newest prompts that could become templates, liked ones first: drawn with a tune, and
    in no pack yet."""
    rows = prompts.listed(
        session, account, limit=120, offset=0, before=None, tune_id=None, text=None, liked=None
    )
    fit = [
        row
        for row in rows
        if row.uses and row.pack_id is None and row.images
        if not templates.lacking(row.text, row.fields)
    ]
    return sorted(fit, key=lambda row: not row.liked)


def remove(session: Session, pack: Pack, number: int) -> None:
    """Takes a template out; a prompt that it was made of stays."""
    template = _template(session, pack, number)
    if prompt := session.get(Prompt, template.id):
        prompt.pack_id = None
    session.delete(template)


def reword(session: Session, pack: Pack, number: int, text: str) -> None:
    """Changes what is drawn from now on; what was drawn keeps its words."""
    template = _template(session, pack, number)
    if not text.strip() or len(text) > MAX_CHARACTERS:
        raise Invalid(
            {
                "text": [
                    "can't be blank"
                    if not text.strip()
                    else f"is longer than {MAX_CHARACTERS} characters"
                ]
            }
        )
    kept = tags.TAG.search(template.text)  # its LoRA tag, which nobody types
    if kept and not tags.TAG.search(text):
        text = f"{kept[0]} {text}"
    templates.check(text, template.fields, "text")
    template.text = text


def move(session: Session, pack: Pack, number: int, by: int) -> None:
    """Exchanges a template with its neighbour of the same class, before it (-1) or after it
    (1); at the end of the row nothing happens."""
    if by not in (-1, 1):
        raise ServiceError("A prompt moves by one place: -1 or 1.")
    rows = list(packs.templates(session, pack))
    for place, row in enumerate(rows):
        row.position = place
    mine = _template(session, pack, number)
    alike = [row for row in rows if row.class_name == mine.class_name]
    target = alike.index(mine) + by
    if 0 <= target < len(alike):
        mine.position, alike[target].position = alike[target].position, mine.position


def _template(session: Session, pack: Pack, number: int) -> Template:
    template = session.get(Template, number)
    if template is None or template.pack_id != pack.id:
        raise NotFound
    return template
