"""Where results go: folders that can be written, names that replace nothing."""

from __future__ import annotations

from pathlib import Path

from fluxbooth.errors import FluxboothError, InputError


def cannot_write(path: Path, error: OSError) -> FluxboothError:
    return FluxboothError(f"{path} cannot be written ({error.strerror or error}): free space or choose another folder with --out.")


def make_folder(path: Path) -> None:
    """Creates the folder and tries a file in it, so that hours of work are not lost at their end.

    Raises InputError if it is a file, FluxboothError if it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".fluxbooth-probe"
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise InputError(f"{path} is a file: choose another folder with --out.") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def free_name(folder: Path, text: str, seed: int) -> Path:
    """A PNG name that says what it is and replaces nothing."""
    words = "".join(c if c.isalnum() else "-" for c in text.lower())
    stem = "-".join(filter(None, words.split("-")))[:60].strip("-") or "picture"
    path, copy = folder / f"{stem}-{seed}.png", 2
    while path.exists():
        path, copy = folder / f"{stem}-{seed}-{copy}.png", copy + 1
    return path
