"""The base that is meant where none was named: the one place that decides, for the command line and
the library alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fluxbooth import hardware
from fluxbooth.errors import InputError
from fluxbooth.lora import file as lora_file
from fluxbooth.models import hub, registry
from fluxbooth.models.base import Base
from fluxbooth.prompts import language
from fluxbooth.specs import GenerateSpec, TrainSpec, lora_and_weight

if TYPE_CHECKING:
    from fluxbooth.models.family import Family

BEST = "flux-dev"
LOOKING = "flux2-klein"  # where a text comes with pictures to look at
LARGE_ENOUGH = 11 * hardware.GIB  # of a GPU for FLUX: cards of 12 GB have a little less to give
# whom which base suits, with the reasons
WHICH = (
    "Who sells pictures takes flux2-klein: its licence (Apache-2.0) allows any use, a picture is "
    "drawn in 4 steps instead of 28, and it looks at reference pictures.",
    "For photographs as real as can be take flux-dev, if its licence allows what you do: it is "
    "non-commercial, and a commercial one is bought from Black Forest Labs (bfl.ai/licensing).",
)
AnySpec = TypeVar("AnySpec", TrainSpec, GenerateSpec)


class NotHereError(InputError):
    """The base that suits this machine is not on it yet."""

    def __init__(self, row: Base) -> None:
        super().__init__(
            f"This machine has a GPU, but {row.name} is not on it: run `fluxbooth models "
            f"pull {row.name}` ({size(row)}), or take the "
            'small model with `--base nano`, in Python `base="nano"`.'
        )
        self.row = row


def suited() -> Base:
    """The base that suits this machine, whether it is here or not: nano without a GPU, flux-dev
    with one."""
    return registry.find("nano" if hardware.gpu() is None else BEST)


def which() -> tuple[str, ...]:
    """Whom which base suits, where this machine's GPU is large enough for a choice."""
    gpu = hardware.gpu()
    return WHICH if gpu is not None and gpu.total >= LARGE_ENOUGH else ()


def default() -> Base:
    """The base that suits this machine.

    Raises NotHereError if its weights are elsewhere: nothing is downloaded, nor nano taken instead.
    """
    row = suited()
    if hub.local(row) is None:
        raise NotHereError(row)
    return row


def with_base(
    spec: AnySpec,
    texts: Sequence[str] = (),
    folders: Sequence[Path] = (),
    family: Family | None = None,
) -> AnySpec:
    """The spec with a base in the place of "auto".

    That is the base that is in memory already (`family`), else the one that the first LoRA of the
    spec or of the texts was trained on, else with references `LOOKING`, else `default()`. Raises
    InputError for a LoRA that is not found in `folders` or cannot be read.
    """
    if spec.base != "auto":
        return spec
    if family is None:
        return spec.model_copy(update={"base": _asked(spec, texts, folders) or default().name})
    return spec.model_copy(update={"base": family.row.name})


def _asked(
    spec: TrainSpec | GenerateSpec, texts: Sequence[str], folders: Sequence[Path]
) -> str | None:
    """What a generation leaves no choice but: its LoRAs' base, or one that looks at pictures."""
    if not isinstance(spec, GenerateSpec):
        return None
    return of_loras(spec, texts, folders) or (LOOKING if spec.references else None)


def of_loras(spec: GenerateSpec, texts: Sequence[str], folders: Sequence[Path]) -> str | None:
    """The base that the first of the LoRAs that are asked for was trained on by Fluxbooth; None
    where none tells."""
    names = [lora_and_weight(text)[0] for text in spec.loras] + [
        tag.name for text in texts for tag in language.parse(text, may_be_blank=True).loras
    ]
    told = (lora_file.read(lora_file.find(name, folders)).spec.get("base") for name in names)
    return next((base for base in told if isinstance(base, str)), None)


def download_bytes(row: Base) -> int:
    """About how much its weights are to download: they come in bfloat16, and sets of them differ in
    the network alone."""
    whole = registry.description_of(row).shape(row.source)
    return 2 * (len(row.sets) * whole.transformer + whole.encoders + whole.autoencoder)


def size(row: Base) -> str:
    return f"{download_bytes(row) / 1e9:.0f} GB"
