"""Pictures that came as base64 in a text field, as files: none is held in memory while its
request waits for something."""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path
from typing import Any

from fluxbooth.service.errors import Invalid
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


def _walk(value: Any, name: str, folder: Path, limits: Limits, made: list[Path]) -> None:
    """Of a dict or a list."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        name = str(key) if isinstance(value, dict) else name
        if isinstance(inner, dict | list):
            _walk(inner, name, folder, limits, made)
        elif isinstance(inner, Upload) and inner.encoded:
            value[key] = _decoded(name, inner.path.read_text("latin-1"), inner.path)
        elif isinstance(inner, str) and len(inner) > LONG and is_base64_name(name):
            made.append(folder / f"{secrets.token_hex(16)}.part")
            value[key] = _decoded(name, inner, made[-1])
        elif isinstance(inner, str) and len(inner) > limits.field:
            raise TooLarge(f"A field is larger than {format_bytes(limits.field)}.")


def _decoded(name: str, text: str, path: Path) -> Upload:
    try:
        data = base64.b64decode(
            text.partition(",")[2] if text.startswith("data:") else text, validate=True
        )
    except (binascii.Error, ValueError):
        path.touch()  # removed with the others
        raise Invalid({name.removesuffix("_base64"): ["is not base64"]}) from None
    return Upload(path, name, path.write_bytes(data))
