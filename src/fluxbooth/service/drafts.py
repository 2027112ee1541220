"""Photos that arrived before their tune is asked for: checked one by one, kept for a day, in a folder of their account.

A draft is a folder of files, without a row: `NUMBER.jpg` (whatever the picture is), `NUMBER.webp` (its small copy) and `NUMBER.json`
(its name and what was seen). Numbers grow, and are never used twice in a draft.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fluxbooth import models, photocheck
from fluxbooth.errors import InputError
from fluxbooth.service.errors import NotFound
from fluxbooth.service.store import Store
from fluxbooth.service.tables import Account

NAME = re.compile(r"[A-Za-z0-9_-]{16,64}")
DAY, MOST, SMALL = 86_400, 50, 512  # seconds, photos, pixels


@dataclass(frozen=True)
class DraftPhoto:
    """A photo of a draft; also the `Upload` that `tunes.create` takes."""

    number: int
    filename: str
    width: int
    height: int
    crop: tuple[int, int, int, int]
    advice: list[str]
    path: Path
    small: Path


@dataclass(frozen=True)
class Draft:
    folder: Path

    def photos(self) -> list[DraftPhoto]:
        """In the order in which they arrived."""
        return [self._photo(path) for path in sorted(self.folder.glob("*.json"), key=lambda p: int(p.stem))]

    def photo(self, number: int) -> DraftPhoto:
        path = self.folder / f"{number}.json"
        if not path.is_file():
            raise NotFound
        return self._photo(path)

    def add(self, upload: Path, filename: str, base: str) -> DraftPhoto:
        """Looks at a picture, in a process of its own, and keeps it. Raises InputError if it cannot be read or is one too many."""
        known = [int(path.stem) for path in self.folder.glob("*.json")]
        if len(known) >= MOST:
            raise InputError(f"There are {MOST} photos already: remove one first.")
        try:
            seen = photocheck.read([upload], max_pixels=SMALL * SMALL * 2)[0]
        except InputError as error:
            raise InputError(str(error).replace(upload.name, filename)) from None
        report = photocheck.inspect([seen], max(models.find(base).resolutions) ** 2).photos[0]
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = max(known, default=0) + 1
        path, small = self.folder / f"{number}.jpg", self.folder / f"{number}.webp"
        upload.rename(path)
        copy = Image.fromarray(seen.pixels)
        copy.thumbnail((SMALL, SMALL))
        copy.save(small, "WEBP", quality=85)
        photo = DraftPhoto(number, filename, seen.width, seen.height, report.crop, report.advice, path, small)
        facts = {name: value for name, value in asdict(photo).items() if name not in ("path", "small")}
        (self.folder / f"{number}.json").write_text(json.dumps(facts))
        return photo

    def remove(self, number: int) -> None:
        for path in self.folder.glob(f"{number}.*"):
            path.unlink()

    def alike(self) -> dict[int, list[int]]:
        """For each photo the places, counted from 1, of those that look nearly the same."""
        photos = self.photos()
        looks = [photocheck.Photo(p.small, np.asarray(Image.open(p.small).convert("RGB")), p.width, p.height, None) for p in photos]
        pairs = photocheck.near_duplicates(looks)
        return {p.number: [(b if a == i else a) + 1 for a, b in pairs if i in (a, b)] for i, p in enumerate(photos)}

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _photo(self, path: Path) -> DraftPhoto:
        facts: dict[str, Any] = json.loads(path.read_text())
        number, crop = facts["number"], tuple(facts["crop"])
        return DraftPhoto(**{**facts, "crop": crop}, path=self.folder / f"{number}.jpg", small=self.folder / f"{number}.webp")


def draft(store: Store, account: Account, name: str) -> Draft:
    """A draft of an account; the folder is made with its first photo. NotFound for a name that cannot be one."""
    if not NAME.fullmatch(name):
        raise NotFound
    return Draft(store.incoming / "drafts" / str(account.id) / name)


def sweep(store: Store) -> None:
    """Deletes the drafts that nobody touched for a day."""
    for folder in (store.incoming / "drafts").glob("*/*"):
        if folder.stat().st_mtime < time.time() - DAY:
            shutil.rmtree(folder, ignore_errors=True)
