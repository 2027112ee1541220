"""Packs: texts that go together. A run of one draws them all of a new tune, or of tunes that
are there already."""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import Sequence

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from fluxbooth.models import registry
from fluxbooth.prompts import language
from fluxbooth.prompts.language import class_word, trigger_words
from fluxbooth.service.billing import ledger
from fluxbooth.service.context import Context
from fluxbooth.service.contract import response_models, responses
from fluxbooth.service.contract.forms import PackForm, PackRun, PromptForm, TuneForm
from fluxbooth.service.contract.public_bases import FLUX_DEV, title
from fluxbooth.service.db.tables import Account, Image, Order, Pack, Prompt, Template, Tune, now
from fluxbooth.service.errors import Faults, Invalid, NotFound
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.packs.starter_packs import STARTERS
from fluxbooth.service.prompts import checks as prompt_checks
from fluxbooth.service.prompts import drawing, prompts, references
from fluxbooth.service.prompts import templates as prompt_templates
from fluxbooth.service.prompts.references import FACEID
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import checks, tunes
from fluxbooth.service.tunes.uploads import Upload
from fluxbooth.types import Json

# what prompt_attributes cannot change
OF_THE_TEMPLATE = ("text", "tune_id", "pack_id", "lora_scale")


def stock(session: Session, account: Account) -> None:
    """The packs of a fresh installation, public, in the name of its owner."""
    for starter in STARTERS:
        pack = Pack(
            account_id=account.id,
            slug=starter.slug,
            title=starter.title,
            subtitle=starter.subtitle,
            base_tune_id=FLUX_DEV,
            own_base=True,
            preset="flux-lora-portrait",
            cover=f"/app/static/covers/{starter.slug}.webp",
            public_at=now(),
        )
        session.add(pack)
        session.flush()
        for class_name in starter.classes:
            for text in starter.texts:
                subject = f"ohwx {class_name}"
                session.add(
                    Template(
                        pack_id=pack.id,
                        class_name=class_name,
                        token="ohwx",
                        text=text.format(subject=subject),
                    )
                )
                session.flush()


def create(session: Session, settings: Settings, account: Account, form: PackForm) -> Pack:
    """An empty pack; prompts become its templates by `attach`."""
    base = form.base_tune_id or settings.own_number
    if base not in settings.bases:
        known = " or ".join(f"{number} ({title(number)})" for number in settings.bases)
        raise Invalid({"base_tune_id": [f"is not available: use {known}"]})
    if form.model_type == FACEID:
        references.check_tune(settings, registry.find(settings.base_of(base)), 1)
    pack = Pack(
        account_id=account.id,
        slug=_slug(session, form.title),
        title=form.title,
        subtitle=form.subtitle,
        base_tune_id=base,
        own_base=form.base_tune_id is None,
        model_type=FACEID if form.model_type == FACEID else "lora",
        token=form.token,
        preset=form.preset,
        cover=form.cover_url,
        public_at=now() if form.public else None,
    )
    session.add(pack)
    session.flush()
    return pack


def base_of(pack: Pack, settings: Settings) -> int:
    """The base_tune_id that a pack is drawn on: the server's own where it names none."""
    return settings.own_number if pack.own_base else pack.base_tune_id


def get(session: Session, account: Account | None, name: str) -> Pack:
    """One of the account's packs, or a public one, by id or slug."""
    by = (
        Pack.id == int(name)
        if name.isascii() and name.isdecimal() and len(name) < 19
        else Pack.slug == name
    )
    seen = (
        Pack.public_at.is_not(None)
        if account is None
        else or_(Pack.public_at.is_not(None), Pack.account_id == account.id)
    )
    pack = session.scalar(select(Pack).where(by, seen))
    if pack is None:
        raise NotFound
    return pack


def listed(
    session: Session,
    account: Account | None,
    *,
    limit: int,
    offset: int,
    before: int | None,
    public: bool,
    listed: bool,
) -> Sequence[Pack]:
    """The account's packs, newest first; without an account, everybody's."""
    query = select(Pack)
    if account is not None:
        query = query.where(Pack.account_id == account.id)
    if public:
        query = query.where(Pack.public_at.is_not(None))
    if listed:
        query = query.where(Pack.unlisted_at.is_(None))
    if before is not None:
        query = query.where(Pack.id < before)
    return session.scalars(query.order_by(Pack.id.desc()).limit(limit).offset(offset)).all()


def templates(session: Session, pack: Pack) -> Sequence[Template]:
    """In the order that their owner gave them, else in which they were added; without those
    whose prompt was deleted, and those of an earlier version that need a picture to start from."""
    kept = (
        select(Template)
        .outerjoin(Prompt, Prompt.id == Template.id)
        .where(Template.pack_id == pack.id, Prompt.deleted_at.is_(None))
    )
    rows = session.scalars(kept.order_by(Template.position, Template.id))
    return [row for row in rows if not prompt_templates.lacking(row.text, row.fields)]


def train(context: Context, pack: Pack, values: Json, uploads: Sequence[Upload]) -> Tune:
    """Trains a tune as the pack says, and draws the pack's templates of its class with it."""
    form, run, chosen = _training(context, pack, values, uploads)
    tune = tunes.create(context, form, uploads)
    _draw(context, pack, run, [(tune, chosen)])
    return tune


def check_training(context: Context, pack: Pack, values: Json, uploads: Sequence[Upload]) -> None:
    """Refuses what `train` would refuse, as far as this can be told before pictures are decoded."""
    _training(context, pack, values, uploads)


def _training(
    context: Context, pack: Pack, values: Json, uploads: Sequence[Upload]
) -> tuple[TuneForm, PackRun, list[Template]]:
    """The tune that a pack asks for, how it is run, and the templates of its class.

    Raises Invalid with all that will not do.
    """
    asked = {
        "token": pack.token,
        "preset": pack.preset,
        **{k: v for k, v in values.items() if k != "prompts_attributes"},
    }
    form = TuneForm.lenient(
        {
            **asked,
            "base_tune_id": base_of(pack, context.settings),
            "model_type": pack.model_type,
        }
    )
    run = PackRun.lenient(values)
    faults, chosen = Faults(run.wrong), list[Template]()
    with faults.gathered():
        tunes.check(context, form, uploads)
    with faults.gathered():
        prompt_checks.check_attributes(context.settings, _changes(run))
    if "name" not in faults and "prompt_ids" not in faults:
        with faults.gathered():
            chosen = _chosen(
                context.session, pack, run, class_word(checks.token_of(form), form.name), "name"
            )
    faults.tell()
    return form, run, chosen


def draw(context: Context, pack: Pack, values: Json) -> response_models.PackDrawn:
    """Draws the pack's templates with tunes of the account, each of its class."""
    session, run, mine = context.session, PackRun.read(values), list[Tune]()
    for number in run.tune_ids:
        try:
            mine.append(tunes.get(session, context.account, number))
        except NotFound:
            raise Invalid({"tune_ids": [f"{number} is no tune of yours"]}) from None
    work = [
        (tune, _chosen(session, pack, run, class_word(tune.token or "", tune.name), "tune_ids"))
        for tune in mine
    ]
    prompt_checks.check_attributes(context.settings, _changes(run))
    order, made = _draw(context, pack, run, work)
    shown: response_models.Order = {
        "id": order.id,
        "tune_ids": run.tune_ids,
        "total_cost_mc": sum(prompt.cost_mc for prompt in made),
    }
    return {
        "status": 201,
        "message": "Prompts created",
        "order": shown,
        "prompt_ids": [prompt.id for prompt in made],
    }


def like(session: Session, prompt: Prompt, liked: bool) -> None:
    """A like of a prompt is one of all its pictures."""
    for image in prompt.images:
        image.liked = liked
    _count_like(session, prompt, liked)


def like_picture(session: Session, image: Image, prompt: Prompt, liked: bool) -> None:
    """A prompt is liked as long as one of its pictures is."""
    image.liked = liked
    _count_like(session, prompt, any(one.liked for one in prompt.images))


def _count_like(session: Session, prompt: Prompt, liked: bool) -> None:
    """It counts for the prompt, and for the template that it was made from."""
    change = int(liked) - int(prompt.liked)
    if not change:
        return
    prompt.liked, prompt.likes = liked, prompt.likes + change
    session.flush()
    for number in (prompt.id, prompt.orig_prompt_id):
        session.execute(
            update(Template).where(Template.id == number).values(likes=Template.likes + change)
        )
    session.execute(
        update(Prompt).where(Prompt.id == prompt.orig_prompt_id).values(likes=Prompt.likes + change)
    )


def shape(session: Session, pack: Pack, settings: Settings) -> response_models.Pack:
    """The union of what lists and details show.

    Costs are those of the pictures; a training comes on top, by its photos.
    """
    rows = templates(session, pack)
    by_class: dict[str, list[Template]] = {}
    for row in rows:
        by_class.setdefault(row.class_name, []).append(row)
    cost_mc = {row.id: _cost(settings, pack, row) for row in rows}
    totals = {name: sum(cost_mc[row.id] for row in of) for name, of in by_class.items()}
    costs: dict[str, response_models.Cost] = {
        name: {
            "cost": ledger.cents(totals[name]),
            "cost_mc": totals[name],
            "num_images": sum(row.num_images for row in of),
        }
        for name, of in by_class.items()
    }
    pictures = _pictures(session, pack, settings)
    cover = pack.cover
    return {
        "id": pack.id,
        "base_tune_id": base_of(pack, settings),
        "user_id": pack.account_id,
        "slug": pack.slug,
        "title": pack.title,
        "subtitle": pack.subtitle,
        "token": pack.token,
        "created_at": responses.time(pack.created_at),
        "updated_at": responses.time(pack.updated_at),
        "multiplier": 1.0,
        "multiplier_api": 1.0,
        "model_type": pack.model_type,
        "preset": pack.preset,
        "public_at": responses.time(pack.public_at),
        "unlisted_at": responses.time(pack.unlisted_at),
        "cover_url": settings.url + cover if cover and cover.startswith("/") else cover,
        "logo": None,
        "main_class_name": next(iter(by_class), None),
        "cost_mc_hash": totals,
        "costs": costs,
        "prompts_per_class": {
            name: [{"id": row.id, "images": pictures.get(row.id, [])} for row in of]
            for name, of in by_class.items()
        },
        "template_prompts": [_template(row, cost_mc[row.id]) for row in rows],
    }


def _pictures(session: Session, pack: Pack, settings: Settings) -> dict[int, list[str]]:
    """Addresses of the pictures of a pack's prompts."""
    prompts_of = select(Prompt).where(Prompt.pack_id == pack.id)
    return {
        prompt.id: [settings.url + responses.image_path(image) for image in prompt.images]
        for prompt in session.scalars(prompts_of)
    }


def _template(row: Template, cost_mc: int) -> response_models.Template:
    return {
        "id": row.id,
        "text": row.text,
        "class_name": row.class_name,
        "num_images": row.num_images,
        "cost_mc": cost_mc,
        "prompt_likes_count": row.likes,
    }


def _chosen(
    session: Session, pack: Pack, run: PackRun, class_name: str, field: str
) -> list[Template]:
    """The templates of a class, of those that the run names. Raises Invalid if there is none."""
    rows = templates(session, pack)
    if unknown := set(run.prompt_ids) - {row.id for row in rows}:
        raise Invalid({"prompt_ids": [f"{min(unknown)} is no prompt of this pack"]})
    of_class = [row for row in rows if row.class_name == class_name.strip().lower()]
    if not of_class:
        known = ", ".join(dict.fromkeys(row.class_name for row in rows)) or "nothing yet"
        raise Invalid(
            {field: [f"{class_name} is no class of this pack, which has prompts for {known}"]}
        )
    chosen = [row for row in of_class if not run.prompt_ids or row.id in run.prompt_ids]
    if not chosen:
        raise Invalid({"prompt_ids": [f"has no prompt for {class_name}"]})
    return chosen


def _cost(settings: Settings, pack: Pack, template: Template) -> int:
    form = PromptForm.lenient(
        {"num_images": template.num_images, **template.fields, "text": template.text}
    )
    return drawing.cost(settings, form, base_of(pack, settings))


def _changes(run: PackRun) -> Json:
    """What a run gives to all its prompts."""
    return {
        name: value for name, value in run.prompt_attributes.items() if name not in OF_THE_TEMPLATE
    }


def _draw(
    context: Context,
    pack: Pack,
    run: PackRun,
    work: Sequence[tuple[Tune, Sequence[Template]]],
) -> tuple[Order, list[Prompt]]:
    session = context.session
    callbacks.check_address(context.settings, run.prompts_callback, "prompts_callback")
    changes, faults = _changes(run), Faults()
    order = Order(account_id=context.account.id, pack_id=pack.id)
    session.add(order)
    session.flush()
    made: list[Prompt] = []
    for tune, chosen in work:
        for template in chosen:
            text, weight = adapted(template, tune)
            values = {
                "num_images": template.num_images,
                **template.fields,
                **changes,
                "text": text,
                "lora_scale": weight,
            }
            with faults.gathered(f"prompt_ids[{template.id}]"):
                prompt = prompts.create(context, PromptForm.lenient(values), target=tune.id)
            if faults:
                continue
            # else it is a repeated prompt of an account that wants those answered by the first
            if prompt.order_id is None:
                prompt.base_pack_id = pack.id
                prompt.orig_prompt_id = template.id
                prompt.order_id = order.id
                order.callback = run.prompts_callback
            made.append(prompt)
    faults.tell()
    session.flush()
    return order, made


def adapted(template: Template, tune: Tune) -> tuple[str, float]:
    """A template's text for another tune, without the tag of its own, and the strength that the
    tag had."""
    own = re.compile(
        rf"<(?:lora|faceid):(?:{template.tune_id}|{re.escape(template.token)})"
        r":([0-9]+\.?[0-9]*|\.[0-9]+)>",
        re.IGNORECASE,
    )
    tag = own.search(template.text)
    text = language.outside_quotations(
        own.sub(" ", template.text), lambda part: re.sub(r"\s+", " ", part)
    ).strip()
    # a reference picture has no trigger words: it is spoken of
    trigger = trigger_words(tune.token, tune.name) if tune.token else f"the {tune.name}"
    for old, new in (
        (trigger_words(template.token, template.class_name), trigger),
        (template.token, tune.token or ""),
    ):
        if old:
            pattern = rf"(?<![\w<:]){re.escape(old)}(?![\w:>])".replace(r"\ ", r"\s+")
            renamed = functools.partial(
                re.sub, pattern, lambda _, new=new: new, flags=re.IGNORECASE
            )
            text = language.outside_quotations(text, renamed)
    if (trigger if tune.token else tune.name).lower() not in text.lower():
        text = f"{trigger} {text}"
    return text, float(tag[1]) if tag else 1.0


def _slug(session: Session, title: str) -> str:
    """Of the title's letters; a number never, for ids are looked up by number."""
    plain = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "pack"
    slug = f"pack-{plain}" if plain.isdecimal() else plain
    taken = session.scalar(select(Pack.id).where(Pack.slug == slug)) is not None
    return f"{slug}-{secrets.token_hex(4)}" if taken else slug
