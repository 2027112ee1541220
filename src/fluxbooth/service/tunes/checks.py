"""Checks of a request for a tune, told all at once, before a picture is opened or a row is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from fluxbooth.errors import InputError
from fluxbooth.lora import file as lora_file
from fluxbooth.models import registry
from fluxbooth.prompts.language import trigger_words
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm, TuneForm
from fluxbooth.service.contract.public_bases import title
from fluxbooth.service.errors import Faults, Invalid
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.outgoing import fetch
from fluxbooth.service.prompts import checks as prompt_checks
from fluxbooth.service.prompts import references
from fluxbooth.service.prompts.input_images import Inputs
from fluxbooth.service.prompts.references import FACEID
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes.uploads import Upload, photos_of

MOST_IMAGES = 50


def check(
    context: Context,
    form: TuneForm,
    uploads: Sequence[Upload],
    lora_file: Upload | None = None,
) -> None:
    """Raises Invalid with all that will not do, what `form.wrong` holds and the nested prompts
    included; no picture is opened for it."""
    settings, faults, drawn_on = context.settings, Faults(form.wrong), None
    pictures = len(photos_of(uploads)) + len(form.image_urls)
    faceid = form.model_type == FACEID
    with faults.gathered():
        base, number, branch = base_of(settings, form)
        drawn_on = base if branch == "fast" else settings.base_of(number)
        if faceid:
            references.check_tune(settings, registry.find(base), pictures)
    with faults.gathered():
        if lora_file is None and "image_urls" not in form.wrong:
            _check_images(form, photos_of(uploads), fetch.rules_for(settings))
    with faults.gathered():
        callbacks.check_address(settings, form.callback)
    known = not faceid and not {"name", "token"} & form.wrong.keys()
    trigger = trigger_words(token_of(form), form.name) if known else ""
    coming = prompt_checks.Coming(trigger, pictures if faceid else 0)
    if "model_type" in faults:
        drawn_on = None
    for place, values in enumerate(form.prompts_attributes):
        with faults.gathered(f"prompts_attributes[{place}]"):
            nested = PromptForm.lenient(values)
            prompt_checks.check(context, nested, nested.text, Inputs(), coming, base=drawn_on)
    faults.tell()


def token_of(form: TuneForm) -> str:
    return form.token or ("sks" if form.branch == "fast" else "ohwx")


def base_of(settings: Settings, form: TuneForm) -> tuple[str, int, str]:
    """(base to train, or to look with at reference pictures; public id of it; branch) that a form
    asks for. Raises Invalid."""
    if form.branch == "fast":
        return "nano", form.base_tune_id or settings.own_number, "fast"
    number = form.base_tune_id or _number_of(settings, form.branch)
    if number not in settings.bases:
        asked = f"base_tune_id {number}" if number else f"branch {form.branch}"
        raise Invalid({"base_tune_id": [f"is not available: {asked} {_none_here(settings)}"]})
    base = settings.base_of(number)
    row = registry.find(base)
    if form.branch == "flux2" and row.branch != "flux2":
        raise Invalid({"branch": [f"is {row.branch} of base_tune_id {number}: leave it out"]})
    trained = base if form.model_type == FACEID else trained_for(settings, number)
    if trained is None:
        raise Invalid({"base_tune_id": [f"is not available: {number} can only be drawn with"]})
    return trained, number, row.branch


def trained_for(settings: Settings, number: int) -> str | None:
    """The base whose LoRAs a base_tune_id draws with: itself, or where it cannot be trained one
    that is served, too, and whose LoRAs work on it; None if there is none."""
    drawn = registry.find(settings.base_of(number))
    for base in (settings.base_of(number), settings.base, *map(settings.base_of, settings.bases)):
        row = registry.find(base)
        if row.trains and registry.fits(row, drawn):
            return base
    return None


def _number_of(settings: Settings, branch: str | None) -> int | None:
    """The base that is meant where its number is not named: the server's own, or the first of the
    branch. Clients that were written for the public API say flux1 whatever the server has."""
    if branch is None:
        return settings.own_number
    drawn = {number: registry.find(settings.base_of(number)) for number in settings.bases}
    of_branch = (number for number, row in drawn.items() if row.branch == branch)
    return next(of_branch, settings.own_number if branch == "flux1" else None)


def _none_here(settings: Settings) -> str:
    known = " or ".join(f"{number} ({title(number)})" for number in settings.bases)
    return f"is no FLUX base of this server; use {known}"


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
    row = registry.find(base)
    try:
        file = lora_file.read(upload.path, row)
        sizes = registry.description_of(row).layer_sizes(row.source)
        lora_file.check_fits(file, sizes, PurePath(base).name)
        lora_file.check_numbers(file)
    except InputError as error:
        raise Invalid({"lora_file": [str(error).replace(str(upload.path), "The file")]}) from None
