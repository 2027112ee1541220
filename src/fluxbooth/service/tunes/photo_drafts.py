"""Photos that arrived before their tune is asked for: checked one by one, kept for a day, in a
folder of their account.

A draft is a folder of files, without a row: `NUMBER.jpg` (whatever the picture is), `NUMBER.webp`
(its small copy), `NUMBER.json` (its name, its caption and what was seen) and `NUMBER.reader` or
`NUMBER.claude` (what that saw beside the subject). Numbers grow, and are never used twice in a
draft. `order` lists them as they were put, `subject` says what they show and who proposes their
captions.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath

import numpy as np
from PIL import Image
from sqlalchemy import select

from fluxbooth.errors import InputError
from fluxbooth.files import write_whole
from fluxbooth.models import registry
from fluxbooth.photos import inspection
from fluxbooth.photos.folders import shown
from fluxbooth.prompts import captions
from fluxbooth.prompts.captions import Seen
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Account, Idempotency, Tune
from fluxbooth.service.errors import NotFound
from fluxbooth.service.files.store import Store
from fluxbooth.service.safety import Judge
from fluxbooth.service.tunes import uploads
from fluxbooth.types import Json

PROPOSERS = ("reader", "claude")
NAME = re.compile(r"[A-Za-z0-9_-]{16,64}")
DAY, MOST, SMALL, LONGEST_CAPTION = 86_400, 50, 512, 1000  # seconds, photos, pixels, characters


@dataclass(frozen=True)
class DraftPhoto:
    """A photo of a draft, and what was seen on it."""

    number: int
    filename: str
    width: int
    height: int
    crop: tuple[int, int, int, int]
    advice: list[str]
    path: Path
    small: Path
    caption: str | None = None  # as its owner wrote it, maybe nothing
    flagged: bool = False  # it looks explicit, and was taken all the same
    # beside the subject, by who looked; nothing of who did not
    seen: dict[str, Seen] = field(default_factory=dict[str, Seen])


@dataclass(frozen=True)
class DraftFile:
    """What `tunes.create` takes: a file, and a name that no other has."""

    path: Path
    filename: str


@dataclass(frozen=True)
class Draft:
    folder: Path

    def photos(self) -> list[DraftPhoto]:
        """In the order they were put in, then in that in which they arrived."""
        order = self.folder / "order"
        places = (
            {number: place for place, number in enumerate(json.loads(order.read_text()))}
            if order.is_file()
            else {}
        )
        numbers = sorted(
            (int(path.stem) for path in self.folder.glob("*.json")),
            key=lambda n: (places.get(n, len(places)), n),
        )
        return [self.photo(number) for number in numbers]

    def uploads(self) -> list[DraftFile]:
        """The photos, and their captions as files beside them.

        Many phones call every photo the same, so each gets its place first.
        """
        files: list[DraftFile] = []
        for place, photo in enumerate(self.photos(), 1):
            name = PurePath(f"{place:02d}-{photo.filename}")
            files.append(DraftFile(photo.path, str(name)))
            caption = self.caption_of(photo)
            if not caption and self._proposed(photo):  # which was deleted: it is to say nothing
                caption = captions.TRIGGER
            if caption:
                text = self.folder / f"{photo.number}.txt"
                text.write_text(caption)
                files.append(DraftFile(text, str(name.with_suffix(".txt"))))
        return files

    def move(self, number: int, by: int) -> None:
        """Puts a photo `by` places later, or earlier if that is negative; at most to the end of
        the row."""
        numbers = [photo.number for photo in self.photos()]
        if number not in numbers:
            raise NotFound
        place = numbers.index(number)
        numbers.insert(min(max(place + by, 0), len(numbers) - 1), numbers.pop(place))
        (self.folder / "order").write_text(json.dumps(numbers))

    def replace(self, old: int, new: int) -> None:
        """Puts a photo that arrived in the place of another, which goes with its caption."""
        self.photo(old)
        numbers = [photo.number for photo in self.photos() if photo.number != new]
        numbers[numbers.index(old)] = new
        (self.folder / "order").write_text(json.dumps(numbers))
        self.remove(old)

    def describe(self, class_name: str, proposer: str | None) -> None:
        """What the photos show, as far as it is known, and who proposes captions for them; of a
        draft without photos nothing is kept."""
        if self.folder.is_dir():
            self._note("subject", {"class_name": class_name, "proposer": proposer or ""})

    def caption_of(self, photo: DraftPhoto) -> str:
        """As it was written, else as it is proposed, if it is."""
        return self._proposed(photo) if photo.caption is None else photo.caption

    def _proposed(self, photo: DraftPhoto) -> str:
        path = self.folder / "subject"
        subject: Json = json.loads(path.read_text()) if path.is_file() else {}
        seen = photo.seen.get(subject.get("proposer", ""))
        if not seen:
            return ""
        return captions.caption(seen, subject["class_name"] or captions.UNSAID)

    def see(self, number: int, proposer: str, seen: Seen) -> None:
        """Keeps what somebody saw on a photo, unless that was removed meanwhile."""
        if (self.folder / f"{number}.json").is_file():
            # a file of its own: its owner may write a caption meanwhile
            self._note(f"{number}.{proposer}", seen)

    def _note(self, name: str, facts: Mapping[str, object]) -> None:
        """Whole or not at all: others may read it meanwhile."""
        write_whole(self.folder / name, json.dumps(facts).encode())

    def write_caption(self, number: int, text: str) -> None:
        """What the photo shows, in words; without any, its caption is the trigger words. Raises
        InputError."""
        photo = self.photo(number)
        words = " ".join(text.split())
        if len(words) > LONGEST_CAPTION:
            raise InputError(f"A caption has at most {LONGEST_CAPTION} characters: shorten it.")
        self._keep(replace(photo, caption=words))

    def caption_file(self, upload: Path, filename: str) -> None:
        """A text file that was dropped beside its photo, which is called the same and came first.

        Raises InputError.
        """
        stem = PurePath(filename).stem.lower()
        photo = next(
            (photo for photo in self.photos() if PurePath(photo.filename).stem.lower() == stem),
            None,
        )
        if photo is None:
            raise InputError(
                f"{filename} is no photo, and there is none of that name that it could be "
                "the caption of: choose both together."
            )
        try:
            self.write_caption(photo.number, upload.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError:
            raise InputError(
                f"The caption {filename} is not UTF-8 text: save it as UTF-8."
            ) from None

    def photo(self, number: int) -> DraftPhoto:
        path = self.folder / f"{number}.json"
        if not path.is_file():
            raise NotFound
        return self._photo(path)

    def add(self, upload: Path, filename: str, base: str, judge: Judge) -> DraftPhoto:
        """Looks at a picture, in a process of its own, and keeps it.

        Raises InputError if it cannot be read, is not taken or is one too many.
        """
        known = [int(path.stem) for path in self.folder.glob("*.json")]
        if len(known) >= MOST:
            raise InputError(f"There are {MOST} photos already: remove one first.")
        try:
            seen = inspection.read([upload], max_pixels=SMALL * SMALL * 2)[0]
        except InputError as error:
            raise InputError(str(error).replace(upload.name, filename)) from None
        if why := judge(seen.pixels):
            raise InputError(f"{shown(filename)} {why}")
        report = inspection.inspect([seen], max(registry.find(base).resolutions) ** 2).photos[0]
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = max(known, default=0) + 1
        path, small = self.folder / f"{number}.jpg", self.folder / f"{number}.webp"
        upload.rename(path)
        copy = Image.fromarray(seen.pixels)
        copy.thumbnail((SMALL, SMALL))
        copy.save(small, "WEBP", quality=85)
        photo = DraftPhoto(
            number,
            filename,
            seen.width,
            seen.height,
            report.crop,
            report.advice,
            path,
            small,
            flagged=judge.flagged,
        )
        self._keep(photo)
        return photo

    def remove(self, number: int) -> None:
        for path in self.folder.glob(f"{number}.*"):
            path.unlink()

    def alike(self) -> dict[int, list[int]]:
        """For each photo the places, counted from 1, of those that look nearly the same."""
        photos = self.photos()
        looks = [
            inspection.Photo(
                p.small, np.asarray(Image.open(p.small).convert("RGB")), p.width, p.height, None
            )
            for p in photos
        ]
        pairs = inspection.near_duplicates(looks)
        return {
            p.number: [(b if a == i else a) + 1 for a, b in pairs if i in (a, b)]
            for i, p in enumerate(photos)
        }

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keep(self, photo: DraftPhoto) -> None:
        facts = {
            name: value
            for name, value in asdict(photo).items()
            if name not in ("path", "small", "seen")
        }
        (self.folder / f"{photo.number}.json").write_text(json.dumps(facts))

    def _photo(self, path: Path) -> DraftPhoto:
        facts: Json = json.loads(path.read_text())
        facts["crop"] = tuple(facts["crop"])
        number = facts["number"]
        return DraftPhoto(
            **facts,
            path=self.folder / f"{number}.jpg",
            small=self.folder / f"{number}.webp",
            seen={
                by: json.loads(path.read_text())
                for by in PROPOSERS
                if (path := self.folder / f"{number}.{by}").is_file()
            },
        )


def draft(store: Store, account: Account, name: str) -> Draft:
    """A draft of an account; the folder is made with its first photo. NotFound for a name that
    cannot be one."""
    if not NAME.fullmatch(name):
        raise NotFound
    return Draft(store.drafts / str(account.id) / name)


def fill(draft: Draft, store: Store, tune: Tune, base: str, judge: Judge) -> None:
    """Puts in the photos of a tune, with their captions, so that both can be changed."""
    told = uploads.captions(tune, store)
    for photo in tune.photos[:MOST]:
        if photo.key is None:
            continue
        copy = store.incoming / secrets.token_hex(16)
        shutil.copyfile(store.path(photo.key), copy)
        try:
            added = draft.add(copy, photo.filename, base, judge)
        finally:
            copy.unlink(missing_ok=True)
        if caption := told.get(photo.id):
            draft.write_caption(added.number, caption[:LONGEST_CAPTION])


def asked_as(name: str) -> str:
    """The idempotency key under which a draft becomes a tune, once."""
    return f"draft-{name}"


def sweep(db: Database, store: Store, moment: datetime.datetime) -> None:
    """Deletes the drafts that nobody touched for a day, those that became tunes, and those of
    accounts that are deleted."""
    for folder in store.drafts.glob("*/*"):
        owner = int(folder.parent.name)
        with db.read() as session:
            account = session.get(Account, owner)
            key = Idempotency.account_id == owner, Idempotency.key == asked_as(folder.name)
            over = (
                account is None
                or account.deleted_at is not None
                or session.scalar(select(Idempotency.id).where(*key)) is not None
            )
        if (
            over
            or max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            < moment.timestamp() - DAY
        ):
            shutil.rmtree(folder, ignore_errors=True)
    for folder in store.drafts.glob("*"):
        with contextlib.suppress(OSError):  # it has drafts in it
            folder.rmdir()
