"""The folders of a ComfyUI: where networks, what belongs to them, and LoRAs lie in it. No torch.

Beside a single file of a network, autoencoder and text encoders are looked for in the file itself
(all-in-one checkpoints), in its folder, and in or under the `vae`, `text_encoders` and `clip`
folders of the ComfyUI it lies in. In a copy of the original authors' repository they are diffusers'
folders beside it. Nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxbooth.errors import InputError
from fluxbooth.models import weight_files
from fluxbooth.models.weight_files import Shapes

# the network's prefix in files that hold encoders and autoencoder as well
ALL_IN_ONE = "model.diffusion_model."
NETWORKS = ("diffusion_models", "unet", "checkpoints")  # folders that hold networks
FOLDERS = ("vae", "text_encoders", "clip")  # and what belongs to them
LORAS = "loras"


@dataclass(frozen=True)
class Component:
    """Something that belongs to a network: an encoder, an autoencoder."""

    prefix: str  # of its weights in an all-in-one file
    stems: tuple[str, ...]  # how files of its own are called
    beside: str = (
        ""  # diffusers' folder in a copy of the authors' repository, where it is looked for
    )
    key: str = ""  # a tensor of it that files of other models which are called alike lack


def network(path: Path, is_network: Callable[[Shapes], bool], model: str) -> Path | None:
    """The file of a model's network: `path` itself, or the one in that folder or ComfyUI; None if
    there is none.

    Raises InputError if there are several, or if a file is no safetensors file.
    """

    def fits(file: Path) -> bool:
        return is_network(weight_files.under(weight_files.shapes(file), ALL_IN_ONE))

    if path.is_file():
        return path if fits(path) else None
    found = {file.resolve(): file for file in _candidates(path, "safetensors") if fits(file)}
    if len(found) > 1:
        several = ", ".join(map(str, sorted(found.values())))
        raise InputError(f"{path} holds several {model} networks: give --base one of {several}.")
    return next(iter(found.values()), None)


def component(path: Path, kind: Component, model: str) -> Path:
    """The file or diffusers folder of a component of the network in a file.

    Raises InputError if it is not near.
    """
    if any(name.startswith(kind.prefix) for name in weight_files.shapes(path)):
        return path
    folders = [ancestor / folder for ancestor in path.resolve().parents[1:4] for folder in FOLDERS]
    near = list(path.parent.glob("*.safetensors"))
    near += [file for folder in folders for file in sorted(folder.rglob("*.safetensors"))]
    for stem in kind.stems:
        found = [file for file in near if _is_named(file.stem, stem) and _holds(file, kind.key)]
        if found:
            return min(found, key=lambda file: (_coarseness(file.stem), near.index(file)))
    folder = path.parent / kind.beside
    if kind.beside and (folder / "config.json").is_file():
        return folder
    raise InputError(
        f"{path} is {model}'s network alone and {kind.stems[0]}.safetensors is not near it: put it "
        "into the same folder, or use the file where it lies in ComfyUI."
    )


def gguf(path: Path) -> Path | None:
    """A GGUF file where a network would be, in a folder or ComfyUI; None if there is none."""
    return next(_candidates(path, "gguf"), None)


def lora_folder(comfyui: Path) -> Path:
    """Where a ComfyUI looks for LoRAs; `comfyui` may be its `models` folder, too.

    Raises InputError if there is no ComfyUI.
    """
    for models in (comfyui / "models", comfyui):
        if any((models / folder).is_dir() for folder in (LORAS, *NETWORKS)):
            return models / LORAS
    raise InputError(
        f"{comfyui} is no ComfyUI (there is no models/{LORAS} in it): give --comfyui the folder "
        "that holds its `models`."
    )


def _is_named(stem: str, wanted: str) -> bool:
    return stem == wanted or stem.startswith((f"{wanted}_", f"{wanted}-"))


def _holds(file: Path, key: str) -> bool:
    return not key or key in weight_files.shapes(file)


def _coarseness(stem: str) -> Sequence[bool]:
    """The exact one before the smaller ones, and of those the scaled one."""
    return ("fp4" in stem, "fp8" in stem, "scaled" not in stem)


def _candidates(folder: Path, ending: str) -> Iterator[Path]:
    yield from folder.glob(f"*.{ending}")
    for place in (folder / name for name in (*NETWORKS, *(f"models/{name}" for name in NETWORKS))):
        yield from place.rglob(f"*.{ending}")
