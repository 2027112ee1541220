"""Prompts and packs: a prompt may be a template of a pack, and may say which pack it was made
from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from fluxbooth.prompts import options
from fluxbooth.prompts.language import class_word
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Account, Pack, Prompt, Template
from fluxbooth.service.errors import Invalid, ServiceError
from fluxbooth.service.prompts import tags


def attach(session: Session, account: Account, prompt: Prompt, pack_id: int | None) -> None:
    """Makes a prompt a template of one of the account's packs, in place of any other; None
    makes it none any more."""
    if pack_id is not None:
        check(prompt.text, prompt.fields, "pack_id")
    if known := session.get(Template, prompt.id):
        session.delete(known)
        session.flush()
    prompt.pack_id = pack_id
    if pack_id is None:
        return
    pack = session.scalar(select(Pack).where(Pack.id == pack_id, Pack.account_id == account.id))
    if pack is None:
        raise Invalid({"pack_id": [f"{pack_id} is no pack of yours"]})
    if not prompt.uses:
        raise ServiceError("Prompt is not using a fine-tuned model")
    tune = prompt.uses[0].tune
    last = session.scalar(select(func.max(Template.position)).where(Template.pack_id == pack.id))
    session.add(
        Template(
            position=0 if last is None else last + 1,
            id=prompt.id,
            pack_id=pack.id,
            class_name=class_word(tune.token or "", tune.name).lower(),
            token=tune.token or "",
            tune_id=tune.id,
            text=prompt.text,
            num_images=prompt.num_images,
            fields=prompt.fields,
            likes=prompt.likes,
        )
    )


def check(text: str, fields: Mapping[str, Any], field: str) -> None:
    """Raises Invalid, about a field of the request, for a prompt that needs a picture to start
    from, or says nothing: a template is drawn of its text alone."""
    if wrong := lacking(text, fields):
        name, reason = next(iter(wrong.items()))
        raise Invalid(
            {field: [f"takes no prompt with {name}, which {reason}: a pack draws texts alone"]}
        )


def lacking(text: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """The options of a prompt that need a picture to start from, and which; or its text, where that
    has no words."""
    if not tags.words_of(text):
        return {"a blank text": "says nothing to draw"}
    return options.lacking(PromptForm.lenient({**fields, "text": text}).asked)


def belongs(session: Session, account: Account, prompt: Prompt, pack_id: int | None) -> None:
    """Says which pack a prompt was made from, for lists; it changes nothing else."""
    if pack_id is not None:
        seen = or_(Pack.public_at.is_not(None), Pack.account_id == account.id)
        if session.scalar(select(Pack.id).where(Pack.id == pack_id, seen)) is None:
            raise Invalid({"base_pack_id": [f"{pack_id} is no pack that you can see"]})
    prompt.base_pack_id = pack_id
