"""Pictures that came as base64 in a text field, as files: none is held in memory while its
request waits for something."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path
from typing import Any

from fluxbooth.service.errors import Invalid
from fluxbooth.types import is_list, is_object
from fluxbooth.web.http.limits import Limits, TooLarge, format_bytes
from fluxbooth.web.http.multipart import LONG, Upload, is_base64_name


def to_files(body: dict[str, Any], folder: Path, limits: Limits) -> None:
    """Puts an `Upload` in the place of each long text that is a picture, at any depth.

    Raises Invalid for one that is no base64, TooLarge for another long text. Nothing stays in the
    folder then.
    """
    made: list[Path] = []
    try:
        _walk(body, "", folder, limits, made)
    except (Invalid, TooLarge):
        for path in made:
            path.unlink()
        raise


def _walk(value: Any, name: str, folder: Path, limits: Limits, made: list[Path]) -> Any:
    """What comes in the place of a value that is called `name`; objects and lists stay, and
    change."""
    if is_object(value):
        for key, inner in value.items():
            value[key] = _walk(inner, key, folder, limits, made)
    elif is_list(value):
        value[:] = [_walk(inner, name, folder, limits, made) for inner in value]
    elif isinstance(value, Upload) and value.encoded:
        return _decoded(name, value.path.read_text("latin-1"), value.path)
    elif isinstance(value, str) and len(value) > LONG and is_base64_name(name):
        made.append(folder / f"{secrets.token_hex(16)}.part")
        return _decoded(name, value, made[-1])
    elif isinstance(value, str) and len(value) > limits.field:
        raise TooLarge(f"A field is larger than {format_bytes(limits.field)}.")
    return value


def _decoded(name: str, text: str, path: Path) -> Upload:
    try:
        data = base64.b64decode(
            text.partition(",")[2] if text.startswith("data:") else text, validate=True
        )
    except (binascii.Error, ValueError):
        path.touch()  # removed with the others
        raise Invalid({name.removesuffix("_base64"): ["is not base64"]}) from None
    return Upload(path, name, path.write_bytes(data))
