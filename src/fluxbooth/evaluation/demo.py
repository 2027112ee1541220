"""The demo: trains a LoRA on a subject that nano has never seen and draws it in eight new scenes,
with figures.

The ten photos in `demo_photos/` show one person whom pre-training left out
(`pretrain/held_out.json`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fluxbooth import events
from fluxbooth.evaluation import contact_sheet, likeness
from fluxbooth.events import DrawingEvent, Report
from fluxbooth.files import cannot_write, check_ours, make_folder
from fluxbooth.generation.generate import generate
from fluxbooth.generation.picture import Picture
from fluxbooth.models import registry
from fluxbooth.models.attribute_reader import load_reader
from fluxbooth.models.base import Base
from fluxbooth.photos import inspection
from fluxbooth.specs import GenerateSpec, TrainSpec
from fluxbooth.training.loop import peak_rss_mb, train

PHOTOS = Path(__file__).parent / "demo_photos"
SPEC = TrainSpec(class_name="man", preset="flux-lora-portrait", steps=600, seed=1)
SEED = 7
WISHED: Sequence[str] = ("clothes", "clothes_colour", "mood", "background")
# the text, and what the picture must show to be called right
PROMPTS: Sequence[tuple[str, tuple[str, str, str, str]]] = (
    ("ohwx man wearing a red hoodie, smiling, at the beach", ("hoodie", "red", "smiling", "beach")),
    ("ohwx man in a blue t-shirt, angry, in a city at night", ("t-shirt", "blue", "angry", "city")),
    (
        "ohwx man wearing yellow overalls, surprised, in a forest",
        ("overalls", "yellow", "surprised", "forest"),
    ),
    (
        "ohwx man in a white sweater, sad, in snowy mountains",
        ("sweater", "white", "sad", "mountains"),
    ),
    (
        "ohwx man wearing a black hoodie, serious, among the stars",
        ("hoodie", "black", "serious", "space"),
    ),
    (
        "ohwx man in a pink t-shirt, winking, in front of a sunset",
        ("t-shirt", "pink", "winking", "sunset"),
    ),
    (
        "ohwx man wearing an orange sweater, smiling, in a living room",
        ("sweater", "orange", "smiling", "room"),
    ),
    (
        "ohwx man in a green t-shirt, surprised, on a purple background",
        ("t-shirt", "green", "surprised", "purple wall"),
    ),
)


def spec_of(row: Base) -> TrainSpec:
    """The demo's training: a base whose rate settles has learnt its subject by then."""
    return SPEC.model_copy(update={"base": row.name, "steps": row.settle_steps or SPEC.steps})


def run(out: Path, report: Report, base: str = "nano") -> dict[str, Any]:
    """Writes `ohwx.safetensors`, `contact-sheet.png`, `index.html`, `report.json` and the
    pictures into `out`."""
    began = time.monotonic()
    check_ours(out, "training", "demo")
    make_folder(out)
    result = train(PHOTOS, spec_of(registry.find(base)), out / "training", report, overwrite=True)
    lora = out / "ohwx.safetensors"
    lora.write_bytes(result.lora.read_bytes())
    texts = [text for text, _ in PROMPTS]

    def tell(event: DrawingEvent) -> None:
        report(events.to_json(event, lambda pictures: []))  # files are written at the end

    without = generate(texts, GenerateSpec(base=base, seed=SEED), tell)
    with_lora = generate(texts, GenerateSpec(base=base, seed=SEED, loras=(str(lora),)), tell)
    photos = [Image.fromarray(photo.pixels) for photo in inspection.read(PHOTOS)]
    figures = measure(photos, [p.image for p in without], [p.image for p in with_lora]) | {
        "steps": result.steps,
        "steps_per_second": round(result.steps_per_second, 2),
        "loss": round(result.loss, 4),
        "validation_loss": round(result.validation_loss, 4),
    }
    try:
        _write(out, photos, without, with_lora, figures, began)
    except OSError as error:
        raise cannot_write(out, error) from error
    return figures


def measure(
    photos: Sequence[Image.Image], without: Sequence[Image.Image], with_lora: Sequence[Image.Image]
) -> dict[str, float]:
    """The share of identity attributes that agree with the photos, and of the prompts' attributes
    that are there.

    The pictures are those of the first so many of PROMPTS.
    """
    reader = load_reader()
    subject = likeness.identity_of(reader.read(photos))
    wishes: list[dict[str, str]] = [
        dict(zip(WISHED, wish, strict=True)) for _, wish in PROMPTS[: len(with_lora)]
    ]
    plain, personal = reader.read(without), reader.read(with_lora)
    return {
        "subject_similarity": round(likeness.agreement(personal, [subject] * len(personal)), 4),
        "subject_similarity_without_lora": round(
            likeness.agreement(plain, [subject] * len(plain)), 4
        ),
        "prompt_accuracy": round(likeness.agreement(personal, wishes), 4),
        "prompt_accuracy_without_lora": round(likeness.agreement(plain, wishes), 4),
    }


def _write(
    out: Path,
    photos: Sequence[Image.Image],
    without: Sequence[Picture],
    with_lora: Sequence[Picture],
    figures: dict[str, Any],
    began: float,
) -> None:
    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    for number, (plain, personal) in enumerate(zip(without, with_lora, strict=True)):
        plain.save(folder / f"{number}-without.png")
        personal.save(folder / f"{number}-with.png")
    contact_sheet.contact_sheet(
        photos,
        [p.text for p in with_lora],
        [p.image for p in without],
        [p.image for p in with_lora],
    ).save(out / "contact-sheet.png")
    figures |= {
        "seconds_total": round(time.monotonic() - began, 1),
        "peak_rss_mb": round(peak_rss_mb()),
    }
    (out / "report.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "index.html").write_text(contact_sheet.page(figures, [p.text for p in with_lora]))
