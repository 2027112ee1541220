"""Lettering: whether the words that a prompt quotes stand in the picture, read back by RapidOCR
(extra `lettering`, whose models are part of the package: nothing is fetched)."""

from __future__ import annotations

import difflib
import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from fluxbooth.errors import InputError

LEAST = 512  # pixels of the longer side of what is read: smaller pictures are enlarged


def available() -> bool:
    return importlib.util.find_spec("rapidocr_onnxruntime") is not None


def read(picture: Image.Image) -> list[str]:
    """The lines that stand in a picture, from the top. InputError: the extra is not installed."""
    if not available():
        raise InputError(
            "Lettering is read by a package that is not here: pip install 'fluxbooth[lettering]'."
        )
    scale = max(1.0, LEAST / max(picture.size))
    size = round(picture.width * scale), round(picture.height * scale)
    seen = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    lines, _ = _reader()(np.asarray(seen)[:, :, ::-1])
    return [text for _, text, _ in lines or ()]


def found(wanted: str, lines: Sequence[str]) -> float:
    """0 to 1: the share of the letters of `wanted` that stand in the lines in their order; 1 only
    if they stand there word for word. Case, spaces and signs do not count."""
    letters, text = _letters(wanted), _letters("".join(lines))
    if not letters or letters in text:
        return 1.0
    match = difflib.SequenceMatcher(None, text, letters, autojunk=False)
    return min(sum(block.size for block in match.get_matching_blocks()) / len(letters), 0.99)


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


@functools.cache
def _reader() -> Any:
    """Loaded once, which takes half a second."""
    from rapidocr_onnxruntime import RapidOCR  # pyright: ignore[reportMissingImports]

    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
