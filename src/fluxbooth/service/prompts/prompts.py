"""Prompts: the rules of FLUX at the door, then a row and, as soon as every tune it uses is
trained, a job."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import secrets
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from fluxbooth.errors import InputError
from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.prompts import language, options
from fluxbooth.prompts.language import trigger_words
from fluxbooth.service.accounts import quotas
from fluxbooth.service.billing import ledger, prices
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import BLANK, PromptForm
from fluxbooth.service.contract.responses import PROMPT_FIELDS, base_name
from fluxbooth.service.db.tables import FIRST_TUNE, Account, Image, Prompt, Tune, Use, now
from fluxbooth.service.errors import Faults, Invalid, NotFound
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.jobs.priority import is_fast
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.prompts import expansion, input_images, references, templates
from fluxbooth.service.prompts.input_images import Inputs
from fluxbooth.service.settings import Settings
from fluxbooth.specs import Enhancements, GenerateSpec

TAG = re.compile(r"<(lora|faceid):([^<>:]{1,100}):([\d.]{1,12})>", re.IGNORECASE)
BROKEN_TAG = re.compile(r"<\s*(lora|faceid)\s*:", re.IGNORECASE)
CHARACTERISTIC = re.compile(r"\{\{\s*([\w .-]{1,100}?)\s*\}\}")
FAST_STEPS = 30
FACEID = references.FACEID
FIELDS = tuple(PROMPT_FIELDS)
# what decides the picture: a repeated prompt that agrees on all of it is the same prompt
SIGNATURE = (*FIELDS, "text", "callback", "num_images")


@dataclass(frozen=True)
class Coming:
    """A tune that a text uses, too, but that is not made yet."""

    trigger: str = ""
    references: int = 0


def create(
    context: Context, form: PromptForm, *, target: int, start: Inputs | None = None
) -> Prompt:
    """A new prompt on a tune: a public base, or one of the account's, whose tag is then put before
    a text that lacks it.

    `start` are the pictures that it starts from. The caller holds the transaction.

    Raises Invalid with every field that will not do, NotFound for an unknown target.
    """
    session, account, settings = context.session, context.account, context.settings
    text, tune_id = _on(context, form, target)
    start = start or Inputs()
    uses = check(context, form, text, start, tune_id=tune_id)
    fields = form.model_dump(include=set(FIELDS), exclude_none=True, exclude_defaults=True)
    signature = _signature(form, text, tune_id, start)
    if account.idempotent and (known := _same(session, account, signature)):
        return known
    quotas.check(session, settings, account, start.bytes)
    row = registry.find(_base(settings, tune_id, [tune for tune, _ in uses]))
    if references.edits(row, form, _words(text), start):
        fields[references.EDITS] = True
    if form.input_faceid:  # not of the contract's answers, but a duplicate asks it, too
        fields["input_faceid"] = True
    prompt = Prompt(
        account_id=account.id,
        tune_id=tune_id,
        text=text,
        callback=form.callback,
        num_images=form.num_images,
        fields=fields,
        spec=spec_of(settings, form, tune_id, [tune for tune, _ in uses], start),
        signature=signature,
        advice=[a.to_json() for a in _advice(form, text, row, uses, start)],
        cost_mc=cost(settings, form, tune_id, [tune for tune, _ in uses], start),
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
    )
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def fits(context: Context, form: PromptForm, *, target: int, pictures: Container[str]) -> None:
    """Refuses a prompt for what its fields say, before its pictures are decoded, of which
    `pictures` has the names.

    `target` is as in `create`.
    """
    text, tune_id = _on(context, form, target)
    check(context, form, text, pictures, tune_id=tune_id)
    quotas.check(context.session, context.settings, context.account)


def check(
    context: Context,
    form: PromptForm,
    text: str,
    start: Container[str],
    coming: Coming = Coming(),
    *,
    tune_id: int | None = None,
) -> list[tuple[Tune, float]]:
    """The tunes that a text uses, with their strengths. Raises Invalid with all that will not do,
    what `form.wrong` holds included.

    `start` has the names of the pictures that it starts from, `tune_id` is of the base that draws
    it, if it is known by now.
    """
    faults, uses = Faults(form.wrong), list[tuple[Tune, float]]()
    settings, row = context.settings, None
    if "text" not in faults:
        uses, wrong = _uses(context.session, context.account, text)
    else:
        wrong = []
    if tune_id is not None:
        row = registry.find(_base(settings, tune_id, [tune for tune, _ in uses]))
        faults.add(_refusals(registry.refusals(_asked(form, start), row), form))
    if "text" not in faults:
        if row is not None:
            edits = references.edits(row, form, _words(text), start)
            wrong += _unfit(row, uses)
            looked_at = [tune for tune, weight in uses if tune.model_type == FACEID and weight]
            wrong += references.faults(settings, row, looked_at, coming.references, edits=edits)
        triggers = [trigger_words(t.token, t.name) for t, _ in uses if t.token]
        triggers += [coming.trigger] if coming.trigger else []
        if wrong := wrong + _text_faults(settings, text, triggers, "input_image" in start):
            faults["text"] = wrong
    faults.add(_rules(settings, form, start))
    faults.tell()
    return uses


def check_attributes(settings: Settings, changes: Mapping[str, Any]) -> None:
    """Refuses what a run of a pack or a theme would give to all its prompts. Raises Invalid with
    every field by its place in the request."""
    form = PromptForm.lenient({"text": "a", **changes})
    rules, faults = _rules(settings, form, Inputs()), Faults()
    faults.add(form.wrong, "prompt_attributes")
    # what a change lacks, as the other side of a picture, the prompt may have
    given = {name: messages for name, messages in rules.items() if name in changes}
    faults.add(given, "prompt_attributes")
    faults.tell()


def _on(context: Context, form: PromptForm, target: int) -> tuple[str, int]:
    """The text with the target's tag, and the base that draws it. Raises NotFound."""
    text = form.text
    if target < FIRST_TUNE:
        if target not in context.settings.bases:
            raise NotFound
        return text, target
    own = _own(context.session, context.account, str(target))
    if own is None:
        raise NotFound
    if str(own.id) not in {name for _, name, _ in TAG.findall(text)}:
        text = f"<{own.model_type}:{own.id}:{form.lora_scale:g}> {text}"
    return text, own.base_tune_id


def cost(
    settings: Settings,
    form: PromptForm,
    tune_id: int,
    tunes: Sequence[Tune] = (),
    pictures: Container[str] = (),
) -> int:
    """What a prompt on a base costs, in millicents; one that uses a tune of the branch `fast`
    is free. `pictures` are the names of those that it starts from."""
    if any(map(is_fast, tunes)):
        return 0
    return prices.drawing_cost(
        settings.prices,
        spec_of(settings, form, tune_id, tunes, pictures),
        options.charged(_asked(form, pictures)),
    )


def _advice(
    form: PromptForm,
    text: str,
    row: Base,
    uses: Sequence[tuple[Tune, float]],
    start: Container[str],
) -> list[language.Advice]:
    """The hints on a text, and on what is left out."""
    first = uses[0][0] if uses else None
    trigger = trigger_words(first.token, first.name) if first and first.token else None
    left_out = [*options.ignored(_asked(form, start)).values()]
    left_out += [
        f"A reference picture has no strength: tune {tune.id} is looked at as with 1."
        for tune, weight in uses
        if tune.model_type == FACEID and weight not in (0, 1)
    ]
    if form.cfg_scale is not None and row.guidance is None:
        left_out.append(f"cfg_scale is ignored: {row.name} is drawn without guidance.")
    return language.advise(text, trigger) + [
        language.Advice("option_ignored", sentence, 0, 0) for sentence in left_out
    ]


def _asked(form: PromptForm, start: Container[str]) -> dict[str, Any]:
    """The options that are asked for, and the names of the pictures that are given."""
    return form.asked | {name: True for name in input_images.NAMES if name in start}


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
    prompt.deleted_at = now()
    if prompt.trained_at is None:
        ledger.refund(session, prompt.job)
    session.flush()
    jobs.settle(session, account.id)
    return [prompt.folder]


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
    if isinstance(text := values["text"], str) and text.strip() and not TAG.search(text):
        values["text"] = "".join(f"{tag[0]} " for tag in TAG.finditer(old.text)) + text
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


def drawn_text(prompt: Prompt) -> str:
    """What the base is given: tags and options taken out, {{characteristics}} filled in from the
    tunes in order; or the longer text that was written of it."""
    known = [
        {str(k).lower(): v for k, v in use.tune.characteristics.items()} for use in prompt.uses
    ]

    def value(match: re.Match[str]) -> str:
        said = [values.get(match[1].lower()) for values in known]
        return next((str(v) for v in said if v not in (None, "", "NONE")), "")

    if expansion.TEXT in prompt.fields:
        return prompt.fields[expansion.TEXT]
    text = TAG.sub(" ", options.without_flags(prompt.text))
    return " ".join(CHARACTERISTIC.sub(value, text).split())


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


def _own(session: Session, account: Account, name: str) -> Tune | None:
    """The account's tune by id, else the newest by token or title."""
    mine = select(Tune).where(Tune.account_id == account.id, Tune.deleted_at.is_(None))
    if name.isascii() and name.isdecimal() and len(name) < 19:
        return session.scalar(mine.where(Tune.id == int(name)))
    return session.scalar(
        mine.where(or_(Tune.token == name, Tune.title == name)).order_by(Tune.id.desc())
    )


def _uses(
    session: Session, account: Account, text: str
) -> tuple[list[tuple[Tune, float]], list[str]]:
    """The tunes that the tags of a text name, and what is wrong with the tags."""
    found: dict[int, tuple[Tune, float]] = {}
    tags, wrong = TAG.findall(text), list[str]()
    if (named := len({name for _, name, _ in tags})) > language.MAX_LORAS:
        return [], [f"uses {named} LoRAs: use at most {language.MAX_LORAS}"]
    for kind, name, weight in tags:
        tune, strength = _own(session, account, name), _strength(weight)
        if tune is None or tune.failed_at:
            wrong.append(f"refers to tune {name}, which {'failed' if tune else 'does not exist'}")
        elif kind.lower() != tune.model_type:
            wrong.append(
                f"refers to tune {name} as <{kind.lower()}:...>, and it is of the type "
                f"{tune.model_type}: write <{tune.model_type}:{name}:{weight}>"
            )
        elif strength is None:
            wrong.append(f"gives tune {name} the strength {weight}, which is not a number")
        elif strength > language.MAX_WEIGHT:
            wrong.append(
                f"gives tune {name} the strength {weight}: use 0 to 4, most often 0.6 to 1.2"
            )
        else:
            found[tune.id] = (tune, strength)
    if BROKEN_TAG.search(TAG.sub("", text)):
        wrong.append("holds a tag that is not complete: write it like <lora:123:0.8>")
    return list(found.values()), wrong


def _words(text: str) -> str:
    """A text without its tags and flags."""
    return TAG.sub("", options.without_flags(text)).strip()


def _unfit(row: Base, uses: Sequence[tuple[Tune, float]]) -> list[str]:
    """What is wrong with LoRAs that were learnt on another base than the one that draws."""
    return [
        f"uses tune {tune.id}, a LoRA of {base_name(tune.base)}, which {row.name} cannot use: draw "
        f"on the base it was trained on, or train it again"
        for tune, _ in uses
        if tune.model_type != FACEID and tune.base != row.name and not _fits(tune.base, row)
    ]


def _fits(base: str, row: Base) -> bool:
    """Of a base that is not to be found any more, the engine says whether its LoRA fits."""
    try:
        return registry.fits(registry.find(base), row)
    except InputError:
        return True


def _strength(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text_faults(settings: Settings, text: str, triggers: Sequence[str], starts: bool) -> list[str]:
    """Known clients repair on these very words, and on those of `_rules`. What `starts` from a
    picture may say nothing."""
    if not _words(text):
        return [] if starts else ["can't be blank"]
    said = " ".join(text.lower().split())
    return (
        [f"must include `{words}`" for words in triggers if words.lower() not in said]
        if settings.require_trigger
        else []
    )


def _rules(settings: Settings, form: PromptForm, start: Container[str]) -> dict[str, list[str]]:
    """Those of FLUX, of its options, and of what starts from a picture."""
    wrong = _refusals(options.refusals(_asked(form, start)), form)
    if form.prompt_expansion and not settings.anthropic_api_key:
        wrong["prompt_expansion"] = [expansion.NO_KEY]
    if form.cfg_scale is not None and form.cfg_scale >= 5:
        wrong["cfg_scale"] = ["must be less than 5"]
    if form.negative_prompt and form.negative_prompt.strip():
        wrong["negative_prompt"] = ["not supported on Flux"]
    if "mask_image" in start and "input_image" not in start:
        wrong["mask_image"] = ["needs the input_image that it belongs to"]
    if unreachable := callbacks.faults(settings, form.callback):
        wrong["callback"] = unreachable
    if (form.w is None) != (form.h is None) and not {"w", "h"} & form.wrong.keys():
        wrong["w" if form.w is None else "h"] = ["must be given together with the other side"]
    return wrong


def _refusals(reasons: Mapping[str, str], form: PromptForm) -> dict[str, list[str]]:
    """Of options whose values are such as can be."""
    return {name: [reason] for name, reason in reasons.items() if name not in form.wrong}


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


def _base(settings: Settings, tune_id: int, tunes: Sequence[Tune]) -> str:
    """What draws a prompt: trials are on nano."""
    return "nano" if any(map(is_fast, tunes)) else settings.base_of(tune_id)


def spec_of(
    settings: Settings,
    form: PromptForm,
    tune_id: int,
    tunes: Sequence[Tune],
    pictures: Container[str] = (),
) -> dict[str, Any]:
    """The GenerateSpec but for its LoRA files and the `pictures` that it starts from.

    A seed that was not asked for is drawn now, so that a repeated job draws the same.
    """
    fast = any(map(is_fast, tunes))
    spec: dict[str, Any] = {
        "base": _base(settings, tune_id, tunes),
        "num_images": form.num_images,
        "steps": min(form.steps, FAST_STEPS) if fast and form.steps else form.steps,
        "seed": secrets.randbelow(2**32 - 8) if form.seed is None else form.seed % 2**32,
        "guidance": form.cfg_scale,
    }
    if registry.find(spec["base"]).guidance is None:
        del spec["guidance"]
    if form.w and form.h:
        spec |= {"width": max(64, form.w // 16 * 16), "height": max(64, form.h // 16 * 16)}
    elif form.aspect_ratio or form.ar != "1:1":
        spec["aspect_ratio"] = (
            form.aspect_ratio or {"portrait": "3:4", "landscape": "4:3", "16:9": "16:9"}[form.ar]
        )
    drawn = registry.resolve_drawing(GenerateSpec.read(spec))
    left_out = options.ignored(_asked(form, pictures))
    done = {name: value for name, value in form.enhancements().items() if name not in left_out}
    plain = drawn.model_dump(mode="json", exclude_none=True, exclude=set(Enhancements.model_fields))
    return plain | done


__all__ = [
    "check",
    "check_attributes",
    "cost",
    "create",
    "delete",
    "drawn_text",
    "duplicate",
    "enqueue_if_due",
    "get",
    "listed",
]
