"""Checks of a request for a tune, told all at once, before a picture is opened or a row is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from fluxbooth.errors import InputError
from fluxbooth.lora import file as lora_file
from fluxbooth.models import registry
from fluxbooth.models.flux1 import layer_sizes
from fluxbooth.prompts.language import trigger_words
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm, TuneForm
from fluxbooth.service.contract.public_bases import FLUX_DEV
from fluxbooth.service.errors import Faults, Invalid
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.outgoing import fetch
from fluxbooth.service.prompts import checks as prompt_checks
from fluxbooth.service.prompts.input_images import Inputs
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes.uploads import Upload, photos_of

MOST_IMAGES = 50
SD_BRANCHES = ("sd15", "sdxl1")


def check(
    context: Context,
    form: TuneForm,
    uploads: Sequence[Upload],
    lora_file: Upload | None = None,
) -> None:
    """Raises Invalid with all that will not do, what `form.wrong` holds and the nested prompts
    included; no picture is opened for it."""
    settings, faults, drawn_on = context.settings, Faults(form.wrong), None
    with faults.gathered():
        base, number, branch = base_of(settings, form)
        drawn_on = base if branch == "fast" else settings.base_of(number)
    with faults.gathered():
        if lora_file is None and "image_urls" not in form.wrong:
            _check_images(form, photos_of(uploads), fetch.rules_for(settings))
    with faults.gathered():
        callbacks.check_address(settings, form.callback)
    known = form.model_type != "faceid" and not {"name", "token"} & form.wrong.keys()
    coming = trigger_words(token_of(form), form.name) if known else None
    for number, values in enumerate(form.prompts_attributes):
        with faults.gathered(f"prompts_attributes[{number}]"):
            nested = PromptForm.lenient(values)
            prompt_checks.check(context, nested, nested.text, Inputs(), coming, base=drawn_on)
    faults.tell()


def token_of(form: TuneForm) -> str:
    return form.token or ("sks" if form.branch == "fast" else "ohwx")


def base_of(settings: Settings, form: TuneForm) -> tuple[str, int, str]:
    """(base to train, public id of it, branch) that a form asks for."""
    if form.branch == "fast":
        return "nano", form.base_tune_id or FLUX_DEV, "fast"
    number = form.base_tune_id or (None if form.branch in SD_BRANCHES else FLUX_DEV)
    if number not in settings.base_tunes:
        asked = f"base_tune_id {number}" if number else f"branch {form.branch}"
        raise Invalid(
            {
                "base_tune_id": [
                    (
                        f"is not available: {asked} is no FLUX base of this server; use "
                        f"{FLUX_DEV} (Flux1.dev)"
                    )
                ]
            }
        )
    return settings.base, number, "flux1"


def _check_images(form: TuneForm, pictures: Sequence[Upload], rules: fetch.FetchRules) -> None:
    count = len(pictures) + len(form.image_urls)
    if pictures and form.image_urls:
        raise Invalid({"images": ["give images or image_urls, not both"]})
    if not 1 <= count <= MOST_IMAGES:
        raise Invalid(
            {
                "images": [
                    "can't be blank"
                    if not count
                    else f"has {count} pictures: give 4-20, at most {MOST_IMAGES}"
                ]
            }
        )
    refused: list[str] = []
    for url in form.image_urls:
        try:
            fetch.check(url, rules)
        except fetch.FetchError as error:
            refused.append(str(error))
    if refused:
        raise Invalid({"image_urls": refused})


def check_lora(settings: Settings, form: TuneForm, upload: Upload) -> None:
    """Looks at a LoRA file as far as it takes to know that it can be drawn with.

    Raises Invalid with the reason if it cannot.
    """
    base, *_ = base_of(settings, form)
    try:
        file = lora_file.read(upload.path)
        lora_file.check_fits(
            file, layer_sizes.sizes(registry.find(base).source), PurePath(base).name
        )
        lora_file.check_numbers(file)
    except InputError as error:
        raise Invalid({"lora_file": [str(error).replace(str(upload.path), "The file")]}) from None
