"""Prompts: a row and, as soon as every tune it uses is trained, a job."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from fluxbooth.models import registry
from fluxbooth.prompts import options
from fluxbooth.service.accounts import quotas
from fluxbooth.service.billing import ledger
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import BLANK, PromptForm
from fluxbooth.service.contract.responses import PROMPT_FIELDS
from fluxbooth.service.db.tables import Account, Image, Prompt, Use
from fluxbooth.service.errors import Invalid, NotFound
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.prompts import (
    checks,
    drawing,
    ending,
    input_images,
    references,
    tags,
    templates,
)
from fluxbooth.service.prompts.input_images import Inputs

FIELDS = tuple(PROMPT_FIELDS)
CANCELLED = "This was cancelled."
# what decides the picture: a repeated prompt that agrees on all of it is the same prompt
SIGNATURE = (*FIELDS, "text", "callback", "num_images")


def create(
    context: Context, form: PromptForm, *, target: int, start: Inputs | None = None
) -> Prompt:
    """A new prompt on a tune: a public base, or one of the account's, whose tag is then put before
    a text that lacks it.

    `start` are the pictures that it starts from. The caller holds the transaction.

    Raises Invalid with every field that will not do, NotFound for an unknown target.
    """
    session, account, settings = context.session, context.account, context.settings
    text, tune_id = checks.with_tag(context, form, target)
    start = start or Inputs()
    uses = checks.check(context, form, text, start, base=settings.base_of(tune_id))
    fields = form.model_dump(include=set(FIELDS), exclude_none=True, exclude_defaults=True)
    signature = _signature(form, text, tune_id, start)
    if account.idempotent and (known := _same(session, account, signature)):
        return known
    quotas.check(session, settings, account, start.bytes)
    tunes = [tune for tune, _ in uses]
    row = registry.find(drawing.base_for(settings.base_of(tune_id), tunes))
    if registry.edits(row, drawing.asked(form, start)):
        fields[references.EDITS] = True
    if form.input_faceid:  # not of the contract's answers, but a duplicate asks it, too
        fields["input_faceid"] = True
    spec = drawing.spec_of(settings, form, tune_id, tunes, start)
    prompt = Prompt(
        account_id=account.id,
        tune_id=tune_id,
        text=text,
        callback=form.callback,
        num_images=spec["num_images"],
        fields=fields,
        spec=spec,
        signature=signature,
        advice=[a.to_json() for a in drawing.advice(form, text, row, uses, start)],
        cost_mc=drawing.cost(settings, form, tune_id, tunes, start),
        uses=[
            Use(tune_id=tune.id, tune=tune, position=i, weight=weight)
            for i, (tune, weight) in enumerate(uses)
        ],
    )
    session.add(prompt)
    session.flush()
    if form.pack_id is not None:
        templates.attach(session, account, prompt, form.pack_id)
    if form.base_pack_id is not None:
        templates.belongs(session, account, prompt, form.base_pack_id)
    start.keep(session, prompt, context.store)
    if start.judge:
        start.judge.tell(prompt)
    ledger.hold(session, account.id, prompt.job, prompt.cost_mc)
    enqueue_if_due(session, context.jobs, prompt)
    return prompt


def _signature(form: PromptForm, text: str, tune_id: int, start: Inputs) -> str:
    asked = (
        form.model_dump(include=set(SIGNATURE))
        | {"text": text, "tune_id": tune_id}
        | start.digests()
        | ({"input_faceid": True} if form.input_faceid else {})
    )
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _same(session: Session, account: Account, signature: str) -> Prompt | None:
    return session.scalar(
        select(Prompt)
        .where(
            Prompt.account_id == account.id,
            Prompt.signature == signature,
            Prompt.deleted_at.is_(None),
        )
        .options(*LOADED)
    )


def enqueue_if_due(session: Session, jobs: JobEngine, prompt: Prompt) -> None:
    """Hands a prompt to the engine once every tune it uses is trained."""
    if (
        not prompt.enqueued
        and prompt.trained_at is None
        and all(use.tune.trained_at for use in prompt.uses)
    ):
        prompt.enqueued = True
        jobs.prompt(session, prompt)


def get(session: Session, account: Account, number: int) -> Prompt:
    prompt = session.scalars(_ONE, {"number": number, "account": account.id}).unique().one_or_none()
    if prompt is None:
        raise NotFound
    return prompt


def listed(
    session: Session,
    account: Account,
    *,
    limit: int,
    offset: int,
    before: int | None,
    tune_id: int | None,
    text: str | None,
    liked: bool | None,
    since: datetime.datetime | None = None,
    equal: Mapping[str, int | None] = {},
) -> Sequence[Prompt]:
    """The account's prompts, newest first; of a base, or those that use a tune; whose columns
    are `equal` to what is given."""
    query = (
        select(Prompt)
        .where(Prompt.account_id == account.id, Prompt.deleted_at.is_(None))
        .options(*LOADED)
    )
    if before is not None:
        query = query.where(Prompt.id < before)
    if tune_id is not None:
        query = query.where(or_(Prompt.tune_id == tune_id, Prompt.uses.any(tune_id=tune_id)))
    if text:
        query = query.where(Prompt.text.contains(text, autoescape=True))
    if liked is not None:
        query = query.where(Prompt.liked == liked)
    if since is not None:
        query = query.where(Prompt.created_at >= since)
    for name, value in equal.items():
        if value is not None:
            query = query.where(
                (Prompt.account_id if name == "user_id" else getattr(Prompt, name)) == value
            )
    return session.scalars(query.order_by(Prompt.id.desc()).limit(limit).offset(offset)).all()


def delete(session: Session, jobs: JobEngine, account: Account, number: int) -> list[str]:
    """Hides a prompt and ends its work; returns the keys of files to remove once this is
    committed."""
    prompt = get(session, account, number)
    ending.take_away(session, jobs.settings.prices, prompt)
    session.flush()
    jobs.settle(session, account.id)
    return [prompt.folder]


def cancel(session: Session, jobs: JobEngine, account: Account, number: int) -> list[str]:
    """Ends an open prompt; returns the keys of files to remove once this is committed.

    What was drawn of it by now stays, and is charged; with nothing drawn it goes. One that is over
    stays as it is.
    """
    prompt = get(session, account, number)
    if not prompt.is_open:
        return []
    if not prompt.images:
        return delete(session, jobs, account, number)
    ending.fail(session, jobs, prompt, CANCELLED)
    return []


def duplicate(context: Context, number: int, changes: dict[str, Any]) -> Prompt:
    """A new prompt like another one but for `changes`; with an `image_index` among them it starts
    from that picture of the old one.

    A new text without tags of its own is drawn with the tunes of the old one.
    """
    old = get(context.session, context.account, number)
    fields = old.fields
    if "text" in changes:  # its flags go with it
        flags = options.given(old.text)
        fields = {name: value for name, value in fields.items() if name not in flags}
    values = {
        **fields,
        "text": old.text,
        "callback": old.callback,
        "num_images": old.num_images,
        **changes,
    }
    if isinstance(text := values["text"], str) and text.strip() and not tags.TAG.search(text):
        values["text"] = "".join(f"{tag[0]} " for tag in tags.TAG.finditer(old.text)) + text
    chosen = _picture_of(old, values.pop("image_index", None))
    if chosen is None:
        start = input_images.copied(old, context.store)
    else:
        start = input_images.of_file(context.store, chosen.key)
    return create(context, PromptForm.lenient(values), target=old.tune_id, start=start)


def _picture_of(prompt: Prompt, index: Any) -> Image | None:
    """Raises Invalid for an index of no picture."""
    if index in BLANK:
        return None
    known = {str(place): image for place, image in enumerate(prompt.images)}
    if str(index) not in known:
        most = f"must be 0 to {len(known) - 1}" if known else "needs a prompt that is drawn"
        raise Invalid({"image_index": [most]})
    return known[str(index)]


LOADED = (selectinload(Prompt.images), selectinload(Prompt.uses).selectinload(Use.tune))
# clients ask for a prompt every second: one query where a list takes four, put together once
_ONE = (
    select(Prompt)
    .where(
        Prompt.id == bindparam("number"),
        Prompt.account_id == bindparam("account"),
        Prompt.deleted_at.is_(None),
    )
    .options(joinedload(Prompt.images), joinedload(Prompt.uses).joinedload(Use.tune))
)
