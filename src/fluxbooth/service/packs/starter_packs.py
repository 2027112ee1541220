"""The packs that a fresh installation has, of our own wording: `starter_packs.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel


class Starter(BaseModel, frozen=True):
    """A pack with one template a class; {subject} in its texts becomes `ohwx man` and so on."""

    slug: str
    title: str
    subtitle: str
    classes: tuple[str, ...]
    texts: tuple[str, ...]


_FILE = Path(__file__).with_suffix(".toml")
STARTERS = tuple(
    Starter(**pack) for pack in tomllib.loads(_FILE.read_text(encoding="utf-8"))["pack"]
)
