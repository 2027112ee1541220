"""Pictures that a prompt starts from: taken out of a request, looked at, and kept beside the prompt
as files that we wrote.

A stranger's file is decoded in a process of its own and written anew, so that what is stored is
upright, of a bounded size, and without the place where a phone took it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from fluxbooth import picture_files
from fluxbooth.errors import InputError
from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.photos import inspection
from fluxbooth.service.contract.forms import BLANK, Callback
from fluxbooth.service.db.tables import Prompt
from fluxbooth.service.errors import Invalid
from fluxbooth.service.files import row_folders
from fluxbooth.service.files.store import Store
from fluxbooth.service.outgoing.fetch import Fetched, FetchError, FetchRules, check
from fluxbooth.service.safety import Judge

NAMES = ("input_image", "mask_image")
# of Prompt.fields: keys in the store by name, addresses still to be fetched
FILES, ADDRESSES = "inputs", "input_urls"
MOST_PIXELS = 2048 * 2048
ADDRESS = TypeAdapter(Callback)


@dataclass
class Inputs:
    """By name, files of ours that wait in the folder of incoming ones, and addresses."""

    files: dict[str, Path] = field(default_factory=dict[str, Path])
    addresses: dict[str, str] = field(default_factory=dict[str, str])
    judge: Judge | None = None  # that looked at the files; those that were here already have none

    def __contains__(self, name: str) -> bool:
        return name in self.files or name in self.addresses

    def digests(self) -> dict[str, str]:
        """What tells two requests apart that differ in nothing else."""
        return self.addresses | {name: _digest(path) for name, path in self.files.items()}

    def keep(self, session: Session, prompt: Prompt, store: Store) -> None:
        """Puts the files into the folder of the prompt, which has its id."""
        if self.files:
            row_folders.make(session, store, prompt)
        kept: dict[str, str] = {}
        for name, path in self.files.items():
            kept[name] = f"{prompt.folder}/{name}{path.suffix}"
            store.put(path, kept[name])
        prompt.input_bytes = sum(map(store.size, kept.values()))
        told = ({FILES: kept} if kept else {}) | (
            {ADDRESSES: self.addresses} if self.addresses else {}
        )
        prompt.fields = {**prompt.fields, **told}

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())

    def discard(self) -> None:
        for path in self.files.values():
            path.unlink(missing_ok=True)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Takes what says which pictures a prompt starts from out of its fields."""
    return {name: values.pop(name) for name in list(values) if name.startswith(NAMES)}


def named(given: dict[str, Any]) -> set[str]:
    """Which pictures are given, in whatever way."""
    return {
        name
        for name in NAMES
        for key, value in given.items()
        if key.startswith(name) and value not in BLANK
    }


def digests(given: dict[str, Any]) -> dict[str, Any]:
    """The same with the digests of files: what tells two requests apart."""
    return {
        name: _digest(value.path) if hasattr(value, "path") else value
        for name, value in given.items()
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take(values: dict[str, Any], incoming: Path, judge: Judge) -> Inputs:
    """The pictures of `input_image` and `mask_image`, with `_url` and `_base64`.

    Raises Invalid for what will not do.
    """
    taken = Inputs()
    try:
        for name in NAMES:
            given = {
                end: value
                for end in ("", "_url", "_base64")
                if (value := values.get(name + end)) not in BLANK
            }
            if len(given) > 1:
                raise Invalid({name: ["is given more than once"]})
            for end, value in given.items():
                if isinstance(value, str) and (
                    end == "_url" or value.startswith(("http://", "https://"))
                ):
                    taken.addresses[name] = _address(name, value)
                elif isinstance(value, str):
                    taken.files[name] = _decoded(name, value, incoming, judge)
                elif hasattr(value, "path"):
                    taken.files[name] = written(value.path, name, incoming, judge)
                else:
                    raise Invalid({name: ["must be a file, an address or base64"]})
    except Exception:  # whatever it was, nothing of it stays
        taken.discard()
        raise
    return taken


def refused(start: Inputs, rules: FetchRules) -> dict[str, list[str]]:
    """Addresses that would never be asked, each with the reason, by the field that gave it."""
    wrong: dict[str, list[str]] = {}
    for name, url in start.addresses.items():
        try:
            check(url, rules)
        except FetchError as error:
            wrong[name] = [str(error)]
    return wrong


def written(source: Path, name: str, folder: Path, judge: Judge) -> Path:
    """A new file with the pixels of a stranger's: a JPEG, or a PNG where some of it is transparent;
    of a mask a grey PNG. Of all that the other says of itself only whether it was made with AI, and
    by which base of ours, stays. Raises Invalid if it is no picture, or none that is taken."""
    try:
        (photo,) = inspection.read([source], max_pixels=MOST_PIXELS, alpha=name != "mask_image")
    except InputError as error:
        raise Invalid({name: [str(error).replace(source.name, f"the {name}")]}) from None
    picture, target = Image.fromarray(photo.pixels), folder / secrets.token_hex(16)
    if why := judge(np.asarray(picture_files.on_white(picture))):
        raise Invalid({name: [why]})
    clear = picture.mode == "RGBA"
    target = target.with_suffix(".png" if clear or name == "mask_image" else ".jpg")
    try:
        if name == "mask_image":
            picture.convert("L").save(target)
        else:
            how: dict[str, Any] = {} if clear else {"quality": 95, "subsampling": 0}
            data = source.read_bytes()
            said, base = picture_files.source_said(data), picture_files.base_said(data)
            picture_files.save(picture, target, said, base=base, **how)
    except OSError:  # the disk is full
        target.unlink(missing_ok=True)
        raise
    return target


def copied(prompt: Prompt, store: Store) -> Inputs:
    """Those of another prompt, for one like it. They stay where they are: nobody discards them."""
    files = {name: store.path(key) for name, key in prompt.fields.get(FILES, {}).items()}
    return Inputs(files, dict(prompt.fields.get(ADDRESSES, {})))


def of_file(store: Store, key: str) -> Inputs:
    """A stored picture of ours as the one to start from. It stays where it is, too."""
    return Inputs({"input_image": store.path(key)})


def drawn_by(start: Container[str]) -> Base | None:
    """What drew the picture that a prompt starts from, if that is here by now."""
    path = start.files.get("input_image") if isinstance(start, Inputs) else None
    return registry.drawn_by(path) if path else None


def missing(prompt: Prompt) -> dict[str, str]:
    """Addresses of the pictures that are not here yet, by name."""
    return {
        name: url
        for name, url in prompt.fields.get(ADDRESSES, {}).items()
        if name not in prompt.fields.get(FILES, {})
    }


def fetch_missing(
    prompt: Prompt, store: Store, fetch: Callable[[str, Path], Fetched], judge: Judge
) -> dict[str, Path]:
    """Downloads what a prompt knows by address alone; new files among the incoming ones, by name.

    Raises FetchError, or InputError for no picture, or none that is taken.
    """
    files: dict[str, Path] = {}
    for name, address in missing(prompt).items():
        there = store.incoming / f"prompt-{prompt.id}-{name}"
        try:
            fetch(address, there)
            files[name] = written(there, name, store.incoming, judge)
        except (InputError, OSError) as error:
            for path in files.values():
                path.unlink(missing_ok=True)
            if isinstance(error, Invalid):
                raise InputError(" ".join(error.sentences)) from None
            raise
        finally:
            there.unlink(missing_ok=True)
    return files


def _address(name: str, value: str) -> str:
    try:
        return ADDRESS.validate_python(value)
    except ValidationError:
        raise Invalid({name: ["must be a http or https address without a password"]}) from None


def _decoded(name: str, value: str, incoming: Path, judge: Judge) -> Path:
    """Of base64, alone or as a data: address."""
    try:
        data = base64.b64decode(
            value.partition(",")[2] if value.startswith("data:") else value, validate=True
        )
    except (binascii.Error, ValueError):
        raise Invalid({name: ["is not base64"]}) from None
    there = incoming / secrets.token_hex(16)
    try:
        there.write_bytes(data)
        return written(there, name, incoming, judge)
    finally:
        there.unlink(missing_ok=True)
