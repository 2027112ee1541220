"""The bases by name, and whose a folder or file of one's own is. Reading this loads no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from fluxbooth import library_logging, picture_files
from fluxbooth.errors import InputError, did_you_mean
from fluxbooth.models import comfyui, weight_files
from fluxbooth.models.base import Base
from fluxbooth.models.description import Description
from fluxbooth.models.flux1 import description as flux1_description
from fluxbooth.models.flux2 import description as flux2_description
from fluxbooth.photos import faces
from fluxbooth.prompts import mask_words, options
from fluxbooth.specs import (
    PRESETS,
    GenerateSpec,
    ResolvedGenerateSpec,
    ResolvedTrainSpec,
    TrainSpec,
    steps_for,
)

# here, because what they warn of comes while they are imported, and every import of them passes
# here first
library_logging.silence()
FAMILIES: dict[str, Description] = {"flux1": flux1_description, "flux2": flux2_description}
T = TypeVar("T")
PHOTOGRAPHIC = "flux-dev"  # a base whose pictures look like photographs
# options that look for faces, and why they may be refused
OF_FACES = ("inpaint_faces", "face_correct", "multi", "use_regional")
NO_FACES = "needs a package that finds faces: install fluxbooth[faces], or leave it out"
NO_REFERENCES = "is not offered: {base} looks at no reference pictures: train a LoRA instead"
BASES: dict[str, Base] = {row.name: row for family in FAMILIES.values() for row in family.BASES}


def find(name: str) -> Base:
    """The row of a name or a Hugging Face id, or of weights of one's own, of which each family is
    asked whether they are its own.

    Raises InputError for anything else.
    """
    if name in BASES:
        return BASES[name]
    path = Path(name)
    if not path.exists():
        row = next((row for row in BASES.values() if row.source == name), None)
        if row is None:
            raise InputError(
                f"There is no base {name!r}{did_you_mean(name, BASES)}: use one of "
                f"{', '.join(BASES)}, or the path of a diffusers folder, of a "
                ".safetensors file of the network or of a ComfyUI."
            )
        return row
    rows = [row for family in FAMILIES.values() if (row := family.own(name, path)) is not None]
    if len(rows) > 1:
        several = ", ".join(row.source for row in rows)
        raise InputError(f"{path} holds several networks: give --base one of {several}.")
    if rows:
        _check_unquantised(Path(rows[0].source))
        return rows[0]
    if path.is_dir() and (gguf := comfyui.gguf(path)) is not None:
        raise weight_files.gguf_error(gguf)
    models = " or ".join(family.layers.model for family in FAMILIES.values())
    if path.is_dir() and not (path / "model_index.json").is_file():
        raise InputError(
            f"{path} is no diffusers folder (it has no model_index.json), and no {models} network "
            "is in it or in the folders of a ComfyUI below it: give --base the path of a diffusers "
            "folder or of a file such as flux1-dev.safetensors."
        )
    raise InputError(
        f"{path} holds {_what(path)}, which Fluxbooth cannot run: give --base the path of a "
        f"diffusers folder of {models}, of a file such as flux1-dev.safetensors or of a ComfyUI "
        "that holds one."
    )


def _check_unquantised(source: Path) -> None:
    """Raises InputError for a diffusers folder whose weights are quantised already."""
    for config in sorted(source.glob("*/config.json")):
        if how := json.loads(config.read_text()).get("quantization_config"):
            raise InputError(
                f"{config.parent} is quantised already ({how.get('quant_method', 'unknown')}): use "
                "the model's folder in bf16 or fp32, and --quantisation nf4 or int8."
            )


def description_of(row: Base) -> Description:
    return FAMILIES[row.family]


def find_to_train(name: str) -> Base:
    """The row of a base that can be trained.

    Raises InputError for one that can only be generated with.
    """
    row = find(name)
    if not row.trains:
        other = trained_instead_of(row)
        raise InputError(
            f"{row.called} cannot be trained, only generated with: train on {other.name}, its "
            f"LoRAs work on {row.called}."
        )
    return row


def trained_instead_of(row: Base) -> Base:
    """The base whose LoRAs work on one that cannot be trained."""
    others = [r for r in BASES.values() if r.family == row.family and r.trains and not r.small]
    return next((other for other in others if fits(other, row)), others[0])


def fits(trained_on: Base, drawn: Base) -> bool:
    """Whether a LoRA of one base works on another: both are networks of one family and size."""
    if trained_on.family != drawn.family:
        return False
    one, other = (description_of(row).shape(row.source) for row in (trained_on, drawn))
    return one.width == other.width and one.blocks == other.blocks


def resolve(spec: TrainSpec, pictures: int) -> ResolvedTrainSpec:
    """The spec with every default of its base filled in, for so many pictures.

    Raises InputError for a guidance that the base is not told in training.
    """
    row = find(spec.base)
    if spec.captioner == "reader" and row.reader is None:
        raise InputError(
            f"{row.called} has no reader of its pictures: write captions into text files beside "
            "the photos, and leave --captioner out."
        )
    if spec.guidance != 1 and (row.two_pass or row.guidance is None):
        raise InputError(f"{row.called} is told no guidance in training: leave --guidance out.")
    return ResolvedTrainSpec.read(
        spec.model_dump()
        | {
            "steps": steps_for(spec, pictures),
            "learning_rate": spec.learning_rate or _usual_rate(spec, row),
            "settle_steps": spec.settle_steps or row.settle_steps,
            "batch_size": spec.batch_size or row.batch_size,
            "resolutions": spec.resolutions or row.resolutions,
            "text_length": spec.text_length or row.text_length,
            "fit_text": _or(spec.fit_text, row.fit_text and spec.text_length is None),
            "stop_early": _or(spec.stop_early, spec.steps is None),
            "captioner": _or(spec.captioner, "reader" if row.reader else "none"),
            "outside_head": _or(
                spec.outside_head,
                row.outside_head if mask_words.is_person(spec.class_name) else 1.0,
            ),
        }
    )


def _usual_rate(spec: TrainSpec, row: Base) -> float:
    if spec.optimizer == "prodigy":
        return 1.0  # of the rate that it finds by itself (arXiv:2306.06101)
    return min(row.highest_rate, row.learning_rate * PRESETS[spec.preset].rate)


def _or(given: T | None, default: T) -> T:
    return default if given is None else given


def drawn_by(path: str | Path) -> Base:
    """The base that drew a picture, if its file says so, else one whose pictures look like
    photographs: what finds people and parts of them was taught on one kind or the other."""
    try:
        name = picture_files.base_said(Path(path).read_bytes())
    except OSError:  # what cannot be read is refused where it is decoded
        name = None
    return BASES.get(name or "", BASES[PHOTOGRAPHIC])


def refusals(asked: Mapping[str, Any], row: Base, given: Base | None = None) -> dict[str, str]:
    """Why not, by option, of those that are asked: what cannot be done at all, and what cannot be
    with this base on this machine. `given` is of the base that drew the input image, where that is
    known by now: until then any words of a mask may do."""
    wrong = options.refusals(asked)
    every = given is None or given.segmenter is not None
    for name in ("mask_prompt", "mask_negative"):
        if name in asked and name not in wrong:
            try:
                mask_words.parts_of(asked[name], every)
            except InputError as error:
                wrong[name] = f"will not do: {str(error)[0].lower()}{str(error)[1:].rstrip('.')}"
    if "input_faceid" in asked and not row.references:
        wrong["input_faceid"] = NO_REFERENCES.format(base=row.called)
    if "references" in asked and (why := _not_looked_at(asked, row)):
        wrong["references"] = why
    if kind(asked, row, given).heads is None and not faces.available():
        wrong |= {name: NO_FACES for name in OF_FACES if name in asked}
    return wrong


def kind(asked: Mapping[str, Any], row: Base, given: Base | None) -> Base:
    """Of the base that a picture looks like before the steps that follow: the one that draws it,
    unless only a part of the input image is drawn anew, or nothing."""
    part = options.keeps(asked) or "mask_prompt" in asked or "mask_image" in asked
    return given if given and part else row


def _not_looked_at(asked: Mapping[str, Any], row: Base) -> str | None:
    """Why not the pictures that a text is also drawn from; the input image is one of them."""
    if not row.references:
        some = " or ".join(one.name for one in BASES.values() if one.references)
        return f"is not possible, for {row.called} looks at no pictures: draw with {some}"
    # a base that looks at one picture looks at none beside one that it starts from
    with_input = edits(row, asked) or _seen_within_mask(row, asked)
    with_input |= row.references == 1 and "input_image" in asked
    given = len(asked["references"]) + with_input
    if given > row.references:
        return (
            f"names {given} pictures{', the input image among them,' if with_input else ''} and "
            f"{row.called} looks at {row.references} at most: leave some out"
        )
    return None


def edits(row: Base, asked: Mapping[str, Any]) -> bool:
    """As `options.edits`, with a base."""
    return row.references > 0 and options.edits(asked)


def looks_at(row: Base, asked: Mapping[str, Any]) -> int:
    """How many pictures a base looks at while it draws what is `asked`: references, and the input
    image unless the drawing only starts from it."""
    with_input = edits(row, asked) or _seen_within_mask(row, asked)
    return len(asked.get("references", ())) + with_input


def _seen_within_mask(row: Base, asked: Mapping[str, Any]) -> bool:
    """Whether the base looks at the picture as a whole while it draws a part of it."""
    masked = any(name in asked for name in options.MASKED)
    return row.references > 1 and masked and "input_image" in asked and not options.keeps(asked)


def resolve_drawing(spec: GenerateSpec, given: Base | None = None) -> ResolvedGenerateSpec:
    """The spec with the steps and the guidance of its base filled in; `given` as in `refusals`.

    Raises InputError for a guidance that the base cannot be told, and for an option that cannot be
    done with it.
    """
    row = find(spec.base)
    if wrong := refusals(spec.asked(), row, given):
        raise InputError(options.told(wrong))
    if spec.speed == "fast" and not row.fast:
        raise InputError(f"{row.called} cannot leave blocks out: leave --speed fast out.")
    if row.guidance is None and spec.guidance:
        raise InputError(
            f"{row.called} knows no guidance: leave --guidance out, or draw with flux-dev."
        )
    told = row.guidance or 0.0
    return ResolvedGenerateSpec.read(
        spec.model_dump()
        | {
            "steps": spec.steps or row.steps,
            "guidance": told if spec.guidance is None else spec.guidance,
        }
    )


def _what(path: Path) -> str:
    index = path / "model_index.json"
    if index.is_file():
        return f"a {json.loads(index.read_text()).get('_class_name', 'model')}"
    return "no network that it knows"
