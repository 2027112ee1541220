"""The models by name.

Each is a row; what rows share is code in the family's module. Reading this loads no weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fluxbooth import library_logging
from fluxbooth.errors import InputError, did_you_mean
from fluxbooth.specs import PRESETS, TrainSpec, steps_for

if TYPE_CHECKING:
    pass


# here, because what they warn of comes while they are imported, and every import of them passes
# here first
library_logging.silence()
NANO = Path(__file__).parent / "nano"
FLUX_DEV_LICENCE = "FLUX.1 [dev] Non-Commercial"


@dataclass(frozen=True)
class Base:
    name: str
    family: str  # module of fluxbooth.models that runs it
    source: str  # diffusers folder or Hugging Face id of the weights that generate
    train_source: str  # the weights to train on; the same but for distilled models
    licence: str
    native_area: int  # pixels: a square of the side it is at home at
    largest_area: int  # pixels: beyond this it repeats itself
    text_length: int  # T5 tokens
    learning_rate: float
    batch_size: int
    resolutions: tuple[int, ...]
    trains: bool = True
    guided: bool = True  # knows the guidance of a GenerateSpec
    # commit of the Hugging Face repository; None: unknown until `models pull` records one
    revision: str | None = None
    small: bool = False  # a picture or a step of it is too little work for two threads
    # what its unquantised weights and its LoRA files are kept in
    stored: Literal["bfloat16", "float32"] = "bfloat16"

    @property
    def native_side(self) -> int:
        return round(self.native_area**0.5)


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


BASES: dict[str, Base] = {
    row.name: row
    for row in (
        Base(
            "nano",
            "flux1",
            str(NANO),
            str(NANO),
            "Apache-2.0",
            native_area=128**2,
            largest_area=144**2,
            text_length=72,
            learning_rate=3e-4,
            batch_size=4,
            resolutions=(128,),
            small=True,
            stored="float32",
        ),
        _flux1(
            "flux-dev",
            "black-forest-labs/FLUX.1-dev",
            FLUX_DEV_LICENCE,
            revision="3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
        ),
        # no public source that could be checked names a commit of this one
        _flux1("flux-krea", "black-forest-labs/FLUX.1-Krea-dev", FLUX_DEV_LICENCE, trains=False),
        _flux1(
            "flux-schnell",
            "black-forest-labs/FLUX.1-schnell",
            "Apache-2.0",
            revision="741f7c3ce8b383c54771c7003378a50191e9efe9",
            trains=False,
            text_length=256,
            guided=False,
        ),
    )
}


def find(name: str) -> Base:
    """The row of a name or a Hugging Face id, or of FLUX.1 weights of one's own: a diffusers
    folder, a single file of its network, a folder or a ComfyUI that holds one such file. Raises
    InputError for anything else.
    """
    if name in BASES:
        return BASES[name]
    path = Path(name)
    if not path.exists():
        row = next((row for row in BASES.values() if row.source == name), None)
        if row is None:
            raise InputError(
                f"There is no base {name!r}{did_you_mean(name, BASES)}: use one of "
                f"{', '.join(BASES)}, or the path of a diffusers "
                "folder, of a FLUX.1 .safetensors file or of a ComfyUI."
            )
        return row
    from fluxbooth.models import weight_files

    if path.is_dir() and not (path / "model_index.json").is_file():
        path = weight_files.network(path)
    if weight_files.is_dev(path):
        return _flux1(name, str(path), FLUX_DEV_LICENCE)
    return _flux1(name, str(path), "unknown: see where it is from")


def find_to_train(name: str) -> Base:
    """The row of a base that can be trained.

    Raises InputError for one that can only be generated with.
    """
    row = find(name)
    if not row.trains:
        raise InputError(
            f"{row.name} cannot be trained, only generated with: train on flux-dev, its "
            f"LoRAs work on {row.name}."
        )
    return row


def resolve(spec: TrainSpec, pictures: int) -> TrainSpec:
    """The spec with every default of its base filled in, for so many pictures."""
    row = find(spec.base)
    _, rate = PRESETS[spec.preset]
    return spec.model_copy(
        update={
            "steps": steps_for(spec, pictures),
            "learning_rate": spec.learning_rate or row.learning_rate * rate,
            "batch_size": spec.batch_size or row.batch_size,
            "resolutions": spec.resolutions or row.resolutions,
            "text_length": spec.text_length or row.text_length,
        }
    )
