"""The rules of FLUX at the door: what of a prompt will not do, all at once."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fluxbooth.errors import InputError
from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.prompts import options
from fluxbooth.prompts.language import trigger_words
from fluxbooth.service.accounts import quotas
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.contract.responses import base_name
from fluxbooth.service.db.tables import FIRST_TUNE, Tune
from fluxbooth.service.errors import Faults, NotFound
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.outgoing import fetch
from fluxbooth.service.prompts import drawing, expansion, input_images, references, tags
from fluxbooth.service.prompts.input_images import Inputs
from fluxbooth.service.prompts.references import FACEID
from fluxbooth.service.settings import Settings


@dataclass(frozen=True)
class Coming:
    """A tune that a text uses, too, but that is not made yet: its trigger words, if it has any, and
    how many reference pictures it is."""

    trigger: str = ""
    references: int = 0


def fits(context: Context, form: PromptForm, *, target: int, pictures: Container[str]) -> None:
    """Refuses a prompt for what its fields say, before its pictures are decoded, of which
    `pictures` has the names.

    `target` is as in `create`.
    """
    text, tune_id = with_tag(context, form, target)
    check(context, form, text, pictures, base=context.settings.base_of(tune_id))
    quotas.check(context.session, context.settings, context.account)


def with_tag(context: Context, form: PromptForm, target: int) -> tuple[str, int]:
    """The text with the target's tag, and the base that draws it. Raises NotFound."""
    text = form.text
    if target < FIRST_TUNE:
        if target not in context.settings.bases:
            raise NotFound
        return text, target
    own = tags.own(context.session, context.account, str(target))
    if own is None:
        raise NotFound
    if str(own.id) not in {name for _, name, _ in tags.TAG.findall(text)}:
        text = f"<{own.model_type}:{own.id}:{form.lora_scale:g}> {text}"
    return text, own.base_tune_id


def check(
    context: Context,
    form: PromptForm,
    text: str,
    start: Container[str],
    coming: Coming = Coming(),
    *,
    base: str | None = None,
) -> list[tuple[Tune, float]]:
    """The tunes that a text uses, with their strengths. Raises Invalid with all that will not do,
    what `form.wrong` holds included.

    `start` has the names of the pictures that it starts from, `base` is what draws it, if it is
    known by now and none of its tunes is a trial.
    """
    settings, faults = context.settings, Faults(form.wrong)
    uses, wrong = list[tuple[Tune, float]](), list[str]()
    if "text" not in form.wrong:
        uses, wrong = tags.uses_of(context.session, context.account, text)
        wrong += _text_faults(settings, text, uses, coming, starts="input_image" in start)
    row = None
    if base is not None:
        row = registry.find(drawing.base_for(base, [tune for tune, _ in uses]))
        wrong += _unfit(row, uses)
        asked = options.left_of(drawing.asked(form, start))
        wrong += references.faults(settings, row, uses, coming.references, asked)
    if wrong:
        faults["text"] = [*faults.get("text", []), *wrong]
    faults.add(_rules(settings, form, start))
    if row is not None:
        faults.add(_refusals(_reasons(form, row, start), form))
    faults.tell()
    return uses


def _reasons(form: PromptForm, row: Base, start: Container[str]) -> dict[str, str]:
    """Why not, by option, on a base and from a picture that is here by now."""
    asked = drawing.asked(form, start)
    wrong = registry.refusals(asked, row, input_images.drawn_by(start))
    if "outpaint" in asked and not wrong and (size := drawing.size(form, row, start)):
        wrong |= {"outpaint": why} if (why := options.no_room(asked, size)) else {}
    return wrong


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


def _text_faults(
    settings: Settings,
    text: str,
    uses: Sequence[tuple[Tune, float]],
    coming: Coming,
    *,
    starts: bool,
) -> list[str]:
    """Known clients repair on these very words, and on those of `_rules`. What `starts` from a
    picture may say nothing. Reference pictures have no trigger words."""
    if not tags.words_of(text):
        return [] if starts else ["can't be blank"]
    if not settings.require_trigger:
        return []
    triggers = [trigger_words(tune.token, tune.name) for tune, _ in uses if tune.token]
    triggers += [coming.trigger] if coming.trigger else []
    said = " ".join(text.lower().split())
    return [f"must include `{words}`" for words in triggers if words.lower() not in said]


def _unfit(row: Base, uses: Sequence[tuple[Tune, float]]) -> list[str]:
    """What is wrong with LoRAs that were learnt on another base than the one that draws."""
    return [
        f"uses tune {tune.id}, a LoRA of {base_name(tune.base)}, which {row.called} cannot use: "
        "draw on the base that it was trained on, or train it again"
        for tune, _ in uses
        if tune.model_type != FACEID and tune.base != row.name and not _fits(tune.base, row)
    ]


def _fits(base: str, row: Base) -> bool:
    """Of a base that is not to be found any more, the engine says whether its LoRA fits."""
    try:
        return registry.fits(registry.find(base), row)
    except InputError:
        return True


def _rules(settings: Settings, form: PromptForm, start: Container[str]) -> dict[str, list[str]]:
    """Those of FLUX, of its options, and of what starts from a picture."""
    asked = drawing.asked(form, start)
    wrong = _refusals(options.refusals(asked) | options.idle(asked), form)
    if form.prompt_expansion and not settings.anthropic_api_key:
        wrong["prompt_expansion"] = [expansion.NO_KEY]
    if form.cfg_scale is not None and form.cfg_scale >= 5:
        wrong["cfg_scale"] = ["must be less than 5"]
    if form.negative_prompt and form.negative_prompt.strip():
        wrong["negative_prompt"] = ["not supported on Flux"]
    if "mask_image" in start and "input_image" not in start:
        wrong["mask_image"] = ["needs the input_image that it belongs to"]
    if isinstance(start, Inputs):
        wrong |= input_images.refused(start, fetch.rules_for(settings))
    if unreachable := callbacks.faults(settings, form.callback):
        wrong["callback"] = unreachable
    if (form.w is None) != (form.h is None) and not {"w", "h"} & form.wrong.keys():
        wrong["w" if form.w is None else "h"] = ["must be given together with the other side"]
    return wrong


def _refusals(reasons: Mapping[str, str], form: PromptForm) -> dict[str, list[str]]:
    """Of options whose values are such as can be."""
    return {name: [reason] for name, reason in reasons.items() if name not in form.wrong}
