"""The rules of FLUX at the door: what of a prompt will not do, all at once."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from fluxbooth.models import registry
from fluxbooth.prompts import options
from fluxbooth.prompts.language import trigger_words
from fluxbooth.service.accounts import quotas
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import FIRST_TUNE, Tune
from fluxbooth.service.errors import Faults, NotFound
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.prompts import drawing, expansion, tags
from fluxbooth.service.prompts.input_images import Inputs
from fluxbooth.service.settings import Settings


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
        if target not in context.settings.base_tunes:
            raise NotFound
        return text, target
    own = tags.own(context.session, context.account, str(target))
    if own is None:
        raise NotFound
    if own.model_type == "lora" and str(own.id) not in {
        name for _, name, _ in tags.TAG.findall(text)
    }:
        text = f"<lora:{own.id}:{form.lora_scale:g}> {text}"
    return text, own.base_tune_id


def check(
    context: Context,
    form: PromptForm,
    text: str,
    start: Container[str],
    coming: str | None = None,
    *,
    base: str | None = None,
) -> list[tuple[Tune, float]]:
    """The tunes that a text uses, with their strengths. Raises Invalid with all that will not do,
    what `form.wrong` holds included.

    `start` has the names of the pictures that it starts from. `coming` are the trigger words of a
    tune that the text uses, too, but that is not made yet. `base` is what draws it, if it is known
    by now and none of its tunes is a trial.
    """
    faults, uses = Faults(form.wrong), list[tuple[Tune, float]]()
    if "text" not in faults:
        uses, wrong = tags.uses_of(context.session, context.account, text)
        triggers = [trigger_words(tune.token or "", tune.name) for tune, _ in uses] + (
            [coming] if coming else []
        )
        starts = "input_image" in start
        if wrong := wrong + _text_faults(context.settings, text, triggers, starts):
            faults["text"] = wrong
    faults.add(_rules(context.settings, form, start))
    if base is not None:
        row = registry.find(drawing.base_for(base, [tune for tune, _ in uses]))
        faults.add(_refusals(registry.refusals(drawing.asked(form, start), row), form))
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


def _text_faults(settings: Settings, text: str, triggers: Sequence[str], starts: bool) -> list[str]:
    """Known clients repair on these very words, and on those of `_rules`. What `starts` from a
    picture may say nothing."""
    if not tags.TAG.sub("", options.without_flags(text)).strip():
        return [] if starts else ["can't be blank"]
    said = " ".join(text.lower().split())
    return (
        [f"must include `{words}`" for words in triggers if words.lower() not in said]
        if settings.require_trigger
        else []
    )


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
    if unreachable := callbacks.faults(settings, form.callback):
        wrong["callback"] = unreachable
    if (form.w is None) != (form.h is None) and not {"w", "h"} & form.wrong.keys():
        wrong["w" if form.w is None else "h"] = ["must be given together with the other side"]
    return wrong


def _refusals(reasons: Mapping[str, str], form: PromptForm) -> dict[str, list[str]]:
    """Of options whose values are such as can be."""
    return {name: [reason] for name, reason in reasons.items() if name not in form.wrong}
