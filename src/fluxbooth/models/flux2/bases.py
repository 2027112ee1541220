"""The rows of FLUX.2 [klein]: the bases by name, and that of weights of one's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from fluxbooth.models.base import Base

APACHE = "Apache-2.0"
NON_COMMERCIAL = "FLUX Non-Commercial"
UNDISTILLED: dict[str, Any] = {"steps": 50, "guidance": 4.0, "two_pass": True}


def _klein(name: str, source: str, train_source: str, licence: str, **differences: Any) -> Base:
    """A distilled one: four steps, no guidance."""
    row = Base(
        name,
        "flux2",
        source,
        train_source,
        licence,
        native_area=1024**2,
        largest_area=2 * 1024**2,
        text_length=512,
        learning_rate=1e-4,
        batch_size=1,
        resolutions=(512, 768, 1024),
        steps=4,
        guidance=None,
        references=4,
        branch="flux2",
    )
    return replace(row, **differences)


def _hub(size: str, *, base: bool = False) -> str:
    return f"black-forest-labs/FLUX.2-klein-{'base-' if base else ''}{size}"


BASES = (
    _klein("flux2-klein", _hub("4B"), _hub("4B", base=True), APACHE),
    _klein("flux2-klein-base", _hub("4B", base=True), _hub("4B", base=True), APACHE, **UNDISTILLED),
    _klein("flux2-klein-9b", _hub("9B"), _hub("9B", base=True), NON_COMMERCIAL),
)


def own(name: str, path: Path) -> Base | None:
    """The row of klein's weights of one's own in a diffusers folder, called `name`; None if they
    are another family's."""
    index = path / "model_index.json"
    if not index.is_file():
        return None
    told = json.loads(index.read_text())
    if told.get("_class_name") != "Flux2KleinPipeline":
        return None
    row = _klein(name, str(path), str(path), "unknown: see where it is from")
    return row if told.get("is_distilled") else replace(row, **UNDISTILLED)
