"""Licences of the bases: what they allow, and which of them an operator states."""

from __future__ import annotations

import os

from fluxbooth.errors import InputError
from fluxbooth.models import registry
from fluxbooth.models.base import FLUX_DEV_LICENCE, KLEIN_9B_LICENCE, Base

STATED = "FLUXBOOTH_FLUX_DEV_LICENSE"
STATEMENTS = ("noncommercial", "commercial")
LIMITED = (
    "non-commercial use; commercial use needs a licence from Black Forest Labs (bfl.ai/licensing)"
)
MEANINGS = {
    "Apache-2.0": "any use, commercial too",
    FLUX_DEV_LICENCE: LIMITED,
    KLEIN_9B_LICENCE: LIMITED,
}
# under Black Forest Labs' commercial licence each picture is to be reported to them; what they call
# the model there (docs.bfl.ai, "Report Model Usage"), by the name of the base
METERED = {"flux-krea": "flux-1-krea-dev", "flux-kontext": "flux-1-kontext-dev"}


def is_limited(row: Base) -> bool:
    """Whether a base is under a licence that forbids commercial use, or allows it for money, and
    asks for a filter of what is drawn."""
    return MEANINGS.get(row.licence) == LIMITED


def meaning(row: Base) -> str:
    """What a base may be used for."""
    return MEANINGS.get(row.licence, f"its licence is {row.licence}")


def metered_as(row: Base) -> str | None:
    """What the licensor calls a base in reports of the pictures that were drawn with it; None
    where its licence wants none. What was made from FLUX.1-dev counts as that."""
    if row.licence != FLUX_DEV_LICENCE:
        return None
    return METERED.get(row.name, "flux-1-dev")


def notice(row: Base) -> str | None:
    """What to say of a base's licence before it is used; None where all is said. Raises
    InputError for a statement that is none."""
    if not is_limited(row):
        return None
    stated = os.environ.get(STATED)
    if stated in STATEMENTS:
        return None
    if stated is not None:
        raise InputError(
            f"{STATED}={stated} will not do: state noncommercial or commercial, as the "
            "licence is that you hold."
        )
    under = "is under" if row.name in registry.BASES else "is built as models are that are under"
    return (
        f"{row.name} {under} the {row.licence} License: {MEANINGS[row.licence]}. State which you "
        f"hold with {STATED}=noncommercial or =commercial, and this is not said again."
    )
