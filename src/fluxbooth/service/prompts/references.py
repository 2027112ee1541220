"""Reference pictures: what a prompt looks at while it is drawn, beside its text.

They are the photos of tunes of the type faceid, which learn nothing, and the input picture of a
prompt that says what to change in it. A base looks at so many of them; where it looks at none,
every way to ask for one is refused with the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.service.contract.public_bases import title
from fluxbooth.service.db.tables import Prompt, Tune
from fluxbooth.service.errors import Invalid
from fluxbooth.service.settings import Settings

FACEID = "faceid"  # the type of a tune that is reference pictures
EDITS = "edits"  # of Prompt.fields: its input picture is looked at


def none_here(settings: Settings, row: Base) -> str:
    """Why a base takes no reference pictures, and what to do instead."""
    others = [
        f"{title(number)} ({number})"
        for number in settings.bases
        if registry.find(settings.base_of(number)).references
    ]
    instead = f", or draw on {' or '.join(others)}" if others else ""
    return f"{row.called} looks at no reference pictures: train a LoRA instead{instead}"


def check_tune(settings: Settings, row: Base, pictures: int) -> None:
    """Raises Invalid for a tune of so many reference pictures that its base could not look at."""
    if not row.references:
        raise Invalid({"model_type": [f"faceid is not offered: {none_here(settings, row)}"]})
    if pictures > row.references:
        raise Invalid(
            {
                "images": [
                    f"has {pictures} pictures: {row.called} looks at {row.references} at most, so "
                    "give its best one"
                ]
            }
        )


def faults(
    settings: Settings,
    row: Base,
    uses: Sequence[tuple[Tune, float]],
    coming: int = 0,
    asked: Mapping[str, Any] = {},
) -> list[str]:
    """What is wrong with the references of a text: those of tunes that it uses with a strength, so
    many of a tune that is not made yet, and the input picture beside them, as it is `asked`."""
    tunes = [tune for tune, weight in uses if tune.model_type == FACEID and weight]
    if not row.references:
        return [
            f"refers to tune {tune.id}, which is a reference picture: {none_here(settings, row)}"
            for tune in tunes
        ]
    looked_at = sum(len(tune.photos) for tune in tunes) + coming
    beside = registry.looks_at(row, asked)
    if not looked_at or looked_at + beside <= row.references:
        return []
    named = f"{looked_at} and its input picture" if beside else f"{looked_at}"
    return [
        f"looks at {named}: {row.called} looks at {row.references} pictures at most: leave some out"
    ]


def photos(prompt: Prompt) -> Mapping[str, str]:
    """Keys of the photos that a prompt looks at, in the order of its tags, each with what a
    sentence calls it. A tune of strength 0 is not looked at."""
    return {
        photo.key: f"the picture of tune {use.tune_id}"
        for use in prompt.uses
        if use.tune.model_type == FACEID and use.weight
        for photo in use.tune.photos
        if photo.key
    }
