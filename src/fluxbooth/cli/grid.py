"""`fluxbooth generate --grid`: each text with its LoRAs at several strengths, from the same noise,
and one picture that shows them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fluxbooth import files
from fluxbooth.errors import InputError
from fluxbooth.prompts import language
from fluxbooth.specs import GenerateSpec
from fluxbooth.types import Json

STRENGTHS = (0.0, 0.4, 0.7, 1.0, 1.3)  # where none are named


def cells(texts: Sequence[str], spec: GenerateSpec, strengths: Sequence[float]) -> list[str]:
    """The text of each cell, row by row: the LoRAs of the spec stand in them, too.

    Raises InputError where there is nothing to compare.
    """
    if spec.num_images > 1:
        raise InputError("--grid draws one picture a cell: leave out --num-images.")
    tags = "".join(f" <lora:{lora}>" for lora in spec.loras)
    whole = [text + tags for text in texts]
    for text in whole:
        if not language.parse(text, may_be_blank=True).loras:
            raise InputError(
                "--grid compares strengths of a LoRA: name one with --lora, or in each text."
            )
    return [language.at_strength(text, strength) for text in whole for strength in strengths]


def write(out: Path, texts: Sequence[str], strengths: Sequence[float], drawn: Json) -> Path:
    """The sheet of what was drawn, in its folder."""
    from PIL import Image

    from fluxbooth.evaluation import contact_sheet

    pictures = [Image.open(row["path"]).convert("RGB") for row in drawn["pictures"]]
    columns = len(strengths)
    rows = [pictures[first : first + columns] for first in range(0, len(pictures), columns)]
    path = files.free_name(out, "grid")
    heads = [f"strength {strength:g}" for strength in strengths]
    try:
        contact_sheet.grid(texts, heads, rows).save(path)
    except OSError as error:
        raise files.cannot_write(path, error) from error
    return path
