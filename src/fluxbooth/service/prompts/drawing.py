"""What a prompt asks of its base: the words, the spec, the price, and the hints on them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Container, Iterable, Sequence
from typing import Any

from PIL import Image

from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.photos.buckets import bucket
from fluxbooth.prompts import language, options
from fluxbooth.prompts.language import trigger_words
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.service.billing import prices
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Prompt, Tune
from fluxbooth.service.jobs.priority import is_fast
from fluxbooth.service.prompts import expansion, input_images
from fluxbooth.service.prompts.references import FACEID
from fluxbooth.service.prompts.tags import TAG, words_of
from fluxbooth.service.settings import Settings
from fluxbooth.specs import Enhancements, GenerateSpec

CHARACTERISTIC = re.compile(r"\{\{\s*([\w .-]{1,100}?)\s*\}\}")
FAST_STEPS = 30
RATIOS = {"portrait": "3:4", "landscape": "4:3", "16:9": "16:9"}  # of the field `ar`
SCALE = PromptForm.model_fields["lora_scale"].default
NO_SCALE = (
    "lora_scale is ignored: it is for a prompt on a tune that its text does not name; write "
    "<lora:NUMBER:SCALE> instead."
)


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
    form = _counted(form, options.ignored(asked(form, pictures)))
    fast = any(map(is_fast, tunes))
    spec: dict[str, Any] = {
        "base": base_for(settings.base_of(tune_id), tunes),
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
        spec["aspect_ratio"] = form.aspect_ratio or RATIOS[form.ar]
    drawn = registry.resolve_drawing(GenerateSpec.read(spec))
    plain = drawn.model_dump(mode="json", exclude_none=True, exclude=set(Enhancements.model_fields))
    return plain | form.enhancements()


def _counted(form: PromptForm, left_out: Iterable[str]) -> PromptForm:
    """The form with what counts for nothing as it is by default, but for its seed, which pictures
    are shown with."""
    fields = type(form).model_fields
    return form.model_copy(
        update={name: fields[name].default for name in left_out if name in fields.keys() - {"seed"}}
    )


def base_for(base: str, tunes: Sequence[Tune]) -> str:
    """What draws a prompt on a base: trials are on nano."""
    return "nano" if any(map(is_fast, tunes)) else base


def cost(
    settings: Settings,
    form: PromptForm,
    tune_id: int,
    tunes: Sequence[Tune] = (),
    pictures: Container[str] = (),
) -> int:
    """What a prompt on a base costs, in millicents. What is drawn with a tune of the branch `fast`
    is a trial: its plain pictures are free, its options are not. `pictures` are the names of those
    that it starts from."""
    given = asked(form, pictures)
    return prices.drawing_cost(
        settings.prices,
        spec_of(settings, form, tune_id, tunes, pictures),
        options.charged(given),
        trial=any(map(is_fast, tunes)) and not options.keeps(given),
    )


def advice(
    form: PromptForm,
    text: str,
    row: Base,
    uses: Sequence[tuple[Tune, float]],
    start: Container[str],
) -> list[language.Advice]:
    """The hints on a text that is drawn with a base, and on what is left out or given twice."""
    first = uses[0][0] if uses else None
    trigger = trigger_words(first.token, first.name) if first and first.token else None
    left_out = [*options.ignored(asked(form, start)).values()]
    left_out += [
        f"A reference picture has no strength: tune {tune.id} is looked at as with 1."
        for tune, weight in uses
        if tune.model_type == FACEID and weight not in (0, 1)
    ]
    if form.cfg_scale is not None and row.guidance is None:
        left_out.append(f"cfg_scale is ignored: {row.called} is drawn without guidance.")
    if form.lora_scale != SCALE and text == form.text:
        left_out.append(NO_SCALE)
    # else its text counts for nothing
    drawn = options.draws(options.left_of(asked(form, start)))
    return (
        (language.advise(text, trigger) if drawn else [])
        + [language.Advice("option_ignored", sentence, 0, 0) for sentence in left_out]
        + [language.Advice("option_doubled", sentence, 0, 0) for sentence in form.doubled]
        + [language.Advice("option_clamped", sentence, 0, 0) for sentence in form.clamped]
    )


def size(form: PromptForm, row: Base, start: Container[str]) -> tuple[int, int] | None:
    """Width and height of the picture before it is drawn on beyond its edges; None where they
    depend on one that is not here yet."""
    given = None
    if "input_image" in start:
        path = start.files.get("input_image") if isinstance(start, input_images.Inputs) else None
        if path is None:
            return None
        with Image.open(path) as image:
            given = image.size
        if options.keeps(asked(form, start)):
            return given
    if form.w and form.h:
        return max(64, form.w // 16 * 16), max(64, form.h // 16 * 16)
    ratio = form.aspect_ratio or RATIOS.get(form.ar)
    if given and not ratio:
        return bucket(*given, row.native_area)
    across, down = map(int, (ratio or "1:1").split(":"))
    return bucket(across * 1000, down * 1000, row.native_area)


def asked(form: PromptForm, start: Container[str]) -> dict[str, Any]:
    """All that is not as it is by default, the names of the pictures that are given, and whether
    the text beside them has no words."""
    fields = form.model_dump(exclude_none=True, exclude_defaults=True, exclude={*OPTIONS})
    wordless = (
        {options.WORDLESS: True} if "input_image" in start and not words_of(form.text) else {}
    )
    given = {name: True for name in input_images.NAMES if name in start}
    return fields | form.asked | given | wordless


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
