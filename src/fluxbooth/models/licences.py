"""Licences of the bases: what they allow, and which of them an operator states."""

from __future__ import annotations

import os

from fluxbooth.errors import InputError
from fluxbooth.models import registry
from fluxbooth.models.base import FLUX_DEV_LICENCE, Base

STATED = "FLUXBOOTH_FLUX_DEV_LICENSE"
STATEMENTS = ("noncommercial", "commercial")
MEANINGS = {
    "Apache-2.0": "any use, commercial too",
    FLUX_DEV_LICENCE: (
        "non-commercial use; commercial use needs a licence from Black Forest Labs "
        "(bfl.ai/licensing)"
    ),
}


def notice(row: Base) -> str | None:
    """What to say of a base's licence before it is used; None where all is said. Raises
    InputError for a statement that is none."""
    if row.licence != FLUX_DEV_LICENCE:
        return None
    stated = os.environ.get(STATED)
    if stated in STATEMENTS:
        return None
    if stated is not None:
        raise InputError(
            f"{STATED}={stated} will not do: state noncommercial or commercial, as the "
            "licence is that you hold."
        )
    under = (
        "is under"
        if row.name in registry.BASES
        else "is built as FLUX.1-dev and what was made from it are, which are under"
    )
    return (
        f"{row.name} {under} the {row.licence} License: {MEANINGS[row.licence]}. State which you "
        f"hold with {STATED}=noncommercial or =commercial, and this is not said again."
    )
