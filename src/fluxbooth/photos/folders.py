"""The photos of a folder, and the files beside them that are left out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.photos.decoder import FORMATS

SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".webp",
        ".avif",
        ".tif",
        ".tiff",
        ".bmp",
        ".heic",
        ".heif",
    }
)
OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")  # beside what begins with a dot
MOST_NAMES = 5


def find(photos: str | Path | Sequence[str | Path]) -> list[Path]:
    """The pictures of a folder (by suffix, sorted by name), or the files named (any suffix), or
    both; none twice.

    InputError: a path that is not there, a folder without pictures, nothing named at all.
    """
    found = [path for one in _named(photos) for path in _pictures_at(Path(one))]
    if not found:
        raise InputError("No photos were given: name a folder or some picture files.")
    return list(dict.fromkeys(found))


def left_out(photos: str | Path | Sequence[str | Path]) -> list[str]:
    """What lies in the named folders and is no photo of theirs, in a sentence for each kind of
    it."""
    inside = [path for one in _named(photos) if Path(one).is_dir() for path in _inside(Path(one))]
    stems = {path.with_suffix("") for path in inside if _is_picture(path)}
    rest = [
        path for path in inside if not _is_picture(path) and path.name.lower() not in OF_THE_SYSTEM
    ]
    captions = [path for path in rest if path.suffix.lower() == ".txt" and path.is_file()]
    folders = [path for path in rest if path.is_dir()]
    others = [path for path in rest if path not in captions and path not in folders]
    alone = [path for path in captions if path.with_suffix("") not in stems]
    kinds = (
        (others, f"left out, because they are no {FORMATS} files"),
        (folders, "left out, because only the folders that are named are read"),
        (alone, "captions left out, because no photo has their name"),
    )
    return [f"{why}: {some([shown(path.name) for path in paths])}" for paths, why in kinds if paths]


def some(names: Sequence[str]) -> str:
    """The first few of many names."""
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def shown(name: str | Path) -> str:
    """For messages: a name chosen by a stranger must not steer the terminal that prints it."""
    escaped = (c.encode("unicode_escape").decode() if _steers(c) else c for c in str(name))
    return "".join(escaped)


def _steers(c: str) -> bool:
    return unicodedata.category(c)[0] == "C" or c in "\u2028\u2029"


def _named(photos: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return [photos] if isinstance(photos, str | Path) else photos


def _pictures_at(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        raise InputError(f"There is no file or folder {shown(path)}: check the path.")
    if not path.is_dir():
        raise InputError(
            f"{shown(path)} is neither a file nor a folder: name a folder or some picture files."
        )
    found = [p for p in _inside(path) if _is_picture(p)]
    if not found:
        raise InputError(f"The folder {shown(path)} has no pictures: put {FORMATS} files into it.")
    return found


def _inside(folder: Path) -> list[Path]:
    """By name, without what the system hides."""
    try:
        return sorted(
            (p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: p.name
        )
    except PermissionError as error:
        raise FluxboothError(
            f"The folder {shown(folder)} may not be read: change its permissions."
        ) from error


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()
