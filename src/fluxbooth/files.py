"""Folders and files for results: folders that can be written, names that replace nothing."""

from __future__ import annotations

import errno
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from fluxbooth.errors import FluxboothError, InputError

if TYPE_CHECKING:
    from torch import Tensor


def is_full(error: BaseException | None) -> bool:
    """Whether the disk, a quota or a limit of the process left no room for a file; also of an
    error that was raised because of such a one."""
    while error is not None:
        told = re.search(r"\(os error (\d+)\)", str(error))  # safetensors has errors of its own
        number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__
    return False


def cannot_write(path: Path, error: Exception, flag: str = "--out") -> FluxboothError:
    reason = getattr(error, "strerror", None) or error
    return FluxboothError(
        f"{path} cannot be written ({reason}): free space or choose another folder with {flag}."
    )


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file whole or not at all.

    Raises FluxboothError if it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = path.with_suffix(".tmp")
    try:
        temporary.touch()
        # as of any new file here; safetensors lets nobody else read its own
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, metadata)
        temporary.chmod(mode)
        temporary.rename(path)
    # safetensors reports a full disk as an error of its own
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all. Raises OSError if it cannot be written."""
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_bytes(content)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """What identifies weights whatever their metadata: the hash of a safetensors file without
    any."""
    from safetensors.torch import save

    return hashlib.sha256(save(tensors)).hexdigest()


def make_folder(path: Path, flag: str = "--out") -> None:
    """Creates the folder, that of a `flag`, and tries a file in it, so that hours of work are not
    lost at their end.

    Raises InputError if it is a file, FluxboothError if it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".fluxbooth-probe"
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise InputError(f"{path} is a file: choose another folder with {flag}.") from error
    except OSError as error:
        raise cannot_write(path, error, flag) from error


def check_ours(path: Path, mark: str, kind: str) -> None:
    """Raises InputError if a folder holds anything but what an earlier `kind` left there, which
    is known by its `mark`."""
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / mark).is_dir()):
        raise InputError(
            f"{path} exists and is no {kind}'s output: choose another folder with --out."
        )


def folder_name(words: str) -> str:
    """A name for a folder that says these words: `ohwx man` is `ohwx-man`, and no part of it
    leads elsewhere."""
    return "-".join(re.findall(r"[\w.+-]*\w[\w.+-]*", words)).lstrip(".") or "training"


def free_name(folder: Path, text: str, number: int | None = None) -> Path:
    """A PNG name that says what it is, with a number such as its seed, and replaces nothing."""
    words = "".join(c if c.isalnum() else "-" for c in text.lower())
    stem = "-".join(filter(None, words.split("-")))[:60].strip("-") or "picture"
    stem += "" if number is None else f"-{number}"
    path, copy = folder / f"{stem}.png", 2
    while path.exists():
        path, copy = folder / f"{stem}-{copy}.png", copy + 1
    return path
