"""The two ways a command ends badly. Both messages are one sentence or paragraph that names the thing and the remedy."""

from __future__ import annotations


class FluxboothError(Exception):
    """The work could not be done: a full disk, a folder without permission, a loss that became NaN. Exit code 1."""


class InputError(FluxboothError):
    """What the user gave cannot be used; nothing was started and nothing was lost. Exit code 2."""
