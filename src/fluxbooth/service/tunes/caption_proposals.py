"""Captions proposed for the photos of a draft: by the reader of the base's pictures where it has
one, and that is what would be trained on; else by Claude, if somebody asks for that."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from fluxbooth.models import registry
from fluxbooth.prompts.captions import Seen
from fluxbooth.service import commands
from fluxbooth.service.claude import photo_captions, photo_inspection
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes.photo_drafts import Draft, DraftPhoto

Proposer = Literal["reader", "claude"]


def proposer(settings: Settings, base: str) -> Proposer | None:
    """Who can propose captions for a training on a base; None if nobody can."""
    if registry.find(base).reader is not None:
        return "reader"
    return "claude" if photo_inspection.claude_looks(settings) else None


def unseen(draft: Draft, by: Proposer) -> list[DraftPhoto]:
    """The photos that it has not looked at, and whose captions nobody wrote."""
    return [photo for photo in draft.photos() if photo.caption is None and by not in photo.seen]


def propose(settings: Settings, draft: Draft, by: Proposer, base: str) -> None:
    """Looks at the photos that `by` has not seen, which takes seconds. One that is removed
    meanwhile is left out.

    Raises ServiceError if Claude gives no answer; what it saw until then is kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        copies = dict[int, Path]()
        for photo in unseen(draft, by):
            with contextlib.suppress(FileNotFoundError):
                copies[photo.number] = Path(
                    shutil.copy(photo.small, Path(folder) / photo.small.name)
                )
        for number, seen in _looked_at(settings, copies, by, base):
            draft.see(number, by, seen)


def _looked_at(
    settings: Settings, copies: dict[int, Path], by: Proposer, base: str
) -> Iterator[tuple[int, Seen]]:
    if by == "claude":
        for number, path in copies.items():
            yield number, photo_captions.look(settings, path)
    elif copies:
        # in the order in which they are named
        found = commands.asked("inspect", *map(str, copies.values()), "--base", base)
        yield from zip(copies, found["seen"], strict=True)
