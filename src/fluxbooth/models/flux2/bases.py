"""The rows of FLUX.2 [klein]: the bases by name, and that of weights of one's own.

[klein] comes in pairs: a distilled one, which draws in four steps and cannot be trained on (LoRAs
of it draw grey pictures), and its base, which is trained on and whose LoRAs work on both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fluxbooth.models.base import KLEIN_9B_LICENCE, Base
from fluxbooth.models.flux2 import files, size


def _klein(name: str, source: str, train_source: str, licence: str, **differences: Any) -> Base:
    row = Base(
        name,
        "flux2",
        source,
        train_source,
        licence,
        native_area=1024**2,
        largest_area=2 * 1024**2,
        text_length=512,
        # the rate, batch and sizes of published recipes: see docs/presets.md
        learning_rate=1e-4,
        batch_size=1,
        resolutions=(512, 768, 1024),
        steps=4,
        guidance=None,
        references=4,
        fast=False,  # diffusers' FirstBlockCache fails on its blocks
        branch="flux2",
    )
    return replace(row, **differences)


UNDISTILLED: dict[str, Any] = {"steps": 50, "guidance": 4.0, "two_pass": True}
BASE_4B, BASE_9B = (f"black-forest-labs/FLUX.2-klein-base-{size}" for size in ("4B", "9B"))
BASE_4B_REVISION = "a3b4f4849157f664bdbc776fd7453c2783562f4d"
BASES = (
    _klein(
        "flux2-klein",
        "black-forest-labs/FLUX.2-klein-4B",
        BASE_4B,
        "Apache-2.0",
        revision="e7b7dc27f91deacad38e78976d1f2b499d76a294",
        train_revision=BASE_4B_REVISION,
    ),
    _klein(
        "flux2-klein-base",
        BASE_4B,
        BASE_4B,
        "Apache-2.0",
        revision=BASE_4B_REVISION,
        **UNDISTILLED,
    ),
    # no public source that could be checked names a commit of the distilled one
    _klein(
        "flux2-klein-9b",
        "black-forest-labs/FLUX.2-klein-9B",
        BASE_9B,
        KLEIN_9B_LICENCE,
        train_revision="32773329fbe7e81a90ef971740e8ba4b0364ecf3",
    ),
)


def own(name: str, path: Path) -> Base | None:
    """The row of [klein] weights of one's own, called `name`: a diffusers folder, a single file of
    the network, a folder or a ComfyUI that holds one such file.

    None if they are another family's. Raises InputError for a file that cannot be read, for several
    networks in one folder, and for FLUX.2 [dev].
    """
    source = files.network(path)
    if source is None:
        return None
    large = size.of_network(size.config(source)).width >= size.KLEIN_9B.width
    licence = KLEIN_9B_LICENCE if large else "unknown: see where it is from"
    row = _klein(name, str(source), str(source), licence)
    return replace(row, trains=False) if files.distilled(source) else replace(row, **UNDISTILLED)
