"""Themes: ten prompts on a subject for each tune, written by Claude, or put together here where a
setting allows it.

Whoever wrote them, they are held to the same rules before anything is drawn: see `faults`.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sqlalchemy.orm import Session

from fluxbooth.models import registry
from fluxbooth.prompts import language
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm, ThemeForm
from fluxbooth.service.db.tables import Account, Prompt, Tune
from fluxbooth.service.errors import Invalid, NotFound, ServiceError
from fluxbooth.service.prompts import checks, prompts, references
from fluxbooth.service.settings import Settings
from fluxbooth.service.themes import theme_writer
from fluxbooth.service.tunes import tunes

COUNT, FEWEST_WORDS, MOST_WORDS = 10, 8, 60
ALIKE = 0.7  # share of words in common from which two prompts are the same idea
COMPOSER = "composer"
NO_KEY = (
    "Themes are written by Claude, and this server has no key: set "
    "FLUXBOOTH_ANTHROPIC_API_KEY, or allow the built-in composer by "
    "FLUXBOOTH_THEME_COMPOSER=true."
)
PLACES = (
    "in a sunlit room with tall windows", "on a quiet old street", "at the edge of a lake",
    "in front of a painted canvas backdrop", "in a garden full of flowers",
    "on a rooftop above the city", "in a forest clearing", "at a wooden table",
    "on a wide sandy beach", "beside a large stone wall",
)  # fmt: skip
LIGHTS = (
    "soft daylight from the left", "golden evening sun", "blue light of dusk",
    "one large studio light", "bright clear noon", "warm lamp light", "mist and pale morning sun",
    "candle light", "light reflected from water", "even overcast light",
)  # fmt: skip
FRAMINGS = (
    "close portrait", "waist-up photograph", "full-figure photograph",
    "wide shot with much surrounding", "portrait in profile", "seated, looking into the camera",
    "walking, seen from the front", "seen from slightly below", "looking to one side, relaxed",
    "head and shoulders, friendly look",
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """Texts for one tune, and who wrote them: a model's name, or `composer`."""

    tune_id: int
    texts: list[str]
    writer: str


def subjects(session: Session, settings: Settings, account: Account, form: ThemeForm) -> list[Tune]:
    """The tunes that a theme is for, and whether it can be written at all.

    Raises Invalid or ServiceError.
    """
    if not settings.anthropic_api_key and not settings.theme_composer:
        raise ServiceError(NO_KEY)
    found: list[Tune] = []
    for number in dict.fromkeys(form.tune_ids):
        try:
            tune = tunes.get(session, account, number)
        except NotFound:
            raise Invalid({"tune_ids": [f"{number} is no tune of yours"]}) from None
        if tune.failed_at:
            raise Invalid({"tune_ids": [f"{number} failed"]})
        if tune.model_type == references.FACEID:
            row = registry.find(settings.base_of(tune.base_tune_id))
            if wrong := references.faults(settings, row, [(tune, 1.0)]):
                raise Invalid({"tune_ids": wrong})
        found.append(tune)
    checks.check_attributes(settings, _changes(form))
    return found


def write(settings: Settings, form: ThemeForm, found: Sequence[Tune]) -> list[Written]:
    """Ten texts for each tune; takes seconds, so no transaction is held. Raises ServiceError if
    the writer has no answer that will do."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(functools.partial(_written, settings, form.theme), found))


def create(context: Context, form: ThemeForm, texts: Sequence[Written]) -> None:
    """The prompts of what was written."""
    for written in texts:
        for text in written.texts:
            values = {**_changes(form), "text": text, "theme": form.theme}
            prompt: Prompt = prompts.create(
                context, PromptForm.read(values), target=written.tune_id
            )
            prompt.fields = {**prompt.fields, "theme_writer": written.writer}


def faults(texts: Sequence[str], trigger: str) -> list[str]:
    """What is wrong with written prompts by the rules of FLUX, each in words that a writer can
    mend it by."""
    wrong = [] if len(texts) == COUNT else [f"There must be {COUNT} prompts, not {len(texts)}."]
    for number, text in enumerate(texts, 1):
        words = len(text.split())
        if not text.lower().startswith(trigger.lower()):
            wrong.append(f'Prompt {number} must begin with "{trigger}".')
        if not FEWEST_WORDS <= words <= MOST_WORDS:
            wrong.append(f"Prompt {number} has {words} words: write about thirty.")
        if re.search(r"[<>{}]|(?<!\w)--\w|[\x00-\x1f\ud800-\udfff]", text):
            wrong.append(
                f"Prompt {number} has tags, flags, braces or line breaks: write plain sentences."
            )
        wrong += [f"Prompt {number}: {advice.message}" for advice in language.advise(text, trigger)]
    pairs = combinations(enumerate(_words(text, trigger) for text in texts), 2)
    wrong += [
        f"Prompts {i + 1} and {j + 1} are nearly the same."
        for (i, a), (j, b) in pairs
        if len(a & b) >= ALIKE * max(1, min(len(a), len(b)))
    ]
    return wrong


def compose(theme: str, trigger: str) -> list[str]:
    """Ten prompts without a language model: the theme with ten places, lights and framings, the
    same each time."""
    said = " ".join(re.sub(r"[<>{}\x00-\x1f]", " ", language.plain(theme)).split())
    said = language.first_words(said, 20).strip(" ,.")
    rng = random.Random(f"{theme}\n{trigger}")
    columns = [rng.sample(column, COUNT) for column in (PLACES, LIGHTS, FRAMINGS)]
    texts = [
        f"{trigger}, {said}, {place}, {light}, {framing}"
        for place, light, framing in zip(*columns, strict=True)
    ]
    # what they have in common is the theme, which is meant to be: only the rules for each are asked
    # here
    if wrong := [fault for fault in faults(texts, trigger) if "nearly the same" not in fault]:
        raise Invalid({"theme": [f"will not do: {wrong[0]}"]})
    return texts


def _written(settings: Settings, theme: str, tune: Tune) -> Written:
    trigger = language.trigger_words(tune.token or "", tune.name)
    if not settings.anthropic_api_key:
        return Written(tune.id, compose(theme, trigger), COMPOSER)
    check = functools.partial(faults, trigger=trigger)
    return Written(
        tune.id,
        theme_writer.write_prompts(settings, theme, trigger, tune.characteristics, COUNT, check),
        settings.theme_model,
    )


def _changes(form: ThemeForm) -> dict[str, Any]:
    return {
        name: value
        for name, value in form.prompt_attributes.items()
        if name not in ("text", "tune_id", "pack_id", "theme")
    }


def _words(text: str, trigger: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.lower().replace(trigger.lower(), "")))
