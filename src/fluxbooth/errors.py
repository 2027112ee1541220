"""The two ways a command ends badly.

Both messages are one sentence or paragraph that names the thing and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FluxboothError(Exception):
    """The work could not be done: a full disk, a folder without permission, a loss that became
    NaN. Exit code 1."""


class InputError(FluxboothError):
    """What the user gave cannot be used; nothing was started and nothing was lost. Exit code 2."""


class DoesNotFit(InputError):
    """It needs more memory than is free."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` (did you mean 'steps'?)`, to stand behind what was not understood; empty where nothing
    known is spelt nearly so."""
    by_folded = {name.lower(): name for name in known}
    # numbers are no misspelling
    near = (
        difflib.get_close_matches(given.lower(), by_folded, n=1)
        if any(map(str.isalpha, given))
        else []
    )
    return f" (did you mean {by_folded[near[0]]!r}?)" if near else ""
