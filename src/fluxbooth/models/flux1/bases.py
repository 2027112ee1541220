"""The rows of FLUX.1: the bases by name, and that of weights of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fluxbooth.models.base import FLUX_DEV_LICENCE, Base
from fluxbooth.models.flux1 import files

NANO = Path(__file__).parents[1] / "nano"
READER = NANO / "reader" / "model.safetensors"
SEGMENTER = NANO / "segmenter" / "model.safetensors"
HEADS = NANO / "heads" / "model.safetensors"
IDENTITY = NANO / "identity" / "model.safetensors"


def _flux1(name: str, source: str, licence: str, **differences: Any) -> Base:
    row = Base(
        name,
        "flux1",
        source,
        source,
        licence,
        native_area=1024**2,
        largest_area=2 * 1024**2,
        text_length=512,
        learning_rate=1e-4,
        batch_size=1,
        resolutions=(512, 768, 1024),
    )
    return replace(row, **differences)


BASES = (
    _flux1(
        "nano",
        str(NANO),
        "Apache-2.0",
        native_area=128**2,
        largest_area=144**2,
        text_length=72,
        # its recipe, by `python -m bench.recipe`: docs/presets.md
        learning_rate=1e-3,
        highest_rate=1e-3,
        settle_steps=150,
        fit_text=True,
        outside_head=0.1,
        batch_size=4,
        resolutions=(128,),
        small=True,
        stored="float32",
        reader=READER,
        segmenter=SEGMENTER,
        heads=HEADS,
        identity=IDENTITY,
    ),
    _flux1(
        "flux-dev",
        "black-forest-labs/FLUX.1-dev",
        FLUX_DEV_LICENCE,
        revision="3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
    ),
    # no public source that could be checked names a commit of this one
    _flux1("flux-krea", "black-forest-labs/FLUX.1-Krea-dev", FLUX_DEV_LICENCE, trains=False),
    # draws with a picture that it looks at, as the words say
    _flux1(
        "flux-kontext",
        "black-forest-labs/FLUX.1-Kontext-dev",
        FLUX_DEV_LICENCE,
        trains=False,
        guidance=2.5,
        references=1,
    ),
    _flux1(
        "flux-schnell",
        "black-forest-labs/FLUX.1-schnell",
        "Apache-2.0",
        revision="741f7c3ce8b383c54771c7003378a50191e9efe9",
        trains=False,
        text_length=256,
        steps=4,
        guidance=None,
    ),
)


def own(name: str, path: Path) -> Base | None:
    """The row of FLUX.1 weights of one's own, called `name`: a diffusers folder, a single file of
    the network, a folder or a ComfyUI that holds one such file.

    None if they are another family's. Raises InputError for a file that cannot be read, and for
    several networks in one folder.
    """
    source = files.network(path)
    if source is None:
        return None
    kind = files.kind(source)
    if kind == "dev":
        return _flux1(name, str(source), FLUX_DEV_LICENCE)
    row = _flux1(name, str(source), "unknown: see where it is from")
    return replace(row, steps=4, guidance=None) if kind == "schnell" else row
