"""The recipe of a picture, as its metadata has it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fluxbooth.generation.sampling import Canvas
from fluxbooth.lora.inference import Adapter
from fluxbooth.models.base import Base
from fluxbooth.specs import ResolvedGenerateSpec
from fluxbooth.version import __version__


def _recipe(
    text: str,
    spec: ResolvedGenerateSpec,
    row: Base,
    seed: int,
    canvas: Canvas,
    loras: Sequence[tuple[Adapter, float]],
) -> dict[str, Any]:
    width, height = canvas.size
    recipe: dict[str, Any] = {
        # of a folder or a file of one's own only its name: a picture is made to be given away
        "version": __version__,
        "base": Path(row.name).name,
        "text": text,
        "seed": seed,
        "width": width,
        "height": height,
        "steps": spec.steps,
        "guidance": spec.guidance,
        "loras": [{"name": _title(a.file.path), "weight": w, "sha256": a.sha256} for a, w in loras],
    }
    if row.two_pass:
        recipe["two_pass"] = True
    if row.revision:
        recipe["base_revision"] = row.revision
    if spec.speed != "exact":
        recipe["speed"] = spec.speed
    if canvas.drawn != canvas.size:
        recipe["drawn_at"] = f"{canvas.drawn[0]}x{canvas.drawn[1]}"
    if spec.style:
        recipe["style"] = spec.style
    if canvas.start:
        recipe["input"] = canvas.start.recipe
    if canvas.references:
        recipe["references"] = [reference.recipe for reference in canvas.references]
    return recipe


def _title(path: Path) -> str:
    """What a LoRA file is called: every run's is named ohwx, so its folder says more."""
    return path.parent.name if path.stem == "ohwx" else path.stem


def parameters_text(recipe: dict[str, Any]) -> str:
    """The recipe as A1111 writes it: the prompt, then one line of `Key: value` pairs."""
    # what would end a tag or a pair
    loras = [(re.sub(r'[<>:,"\s]+', " ", row["name"]).strip(), row) for row in recipe["loras"]]
    tags = "".join(f" <lora:{name}:{row['weight']:g}>" for name, row in loras)
    pairs = {
        "Steps": recipe["steps"],
        "Sampler": "Euler",
        **_guidance(recipe),
        "Seed": recipe["seed"],
        "Size": f"{recipe['width']}x{recipe['height']}",
        "Model": _quoted(recipe["base"]),
    }
    if loras:
        pairs["Lora hashes"] = (
            '"' + ", ".join(f"{name}: {row['sha256'][:12]}" for name, row in loras) + '"'
        )
    if "input" in recipe:
        pairs["Denoising strength"] = recipe["input"]["strength"]
    if "drawn_at" in recipe:
        pairs["Drawn at"] = recipe["drawn_at"]
    pairs["Version"] = f"fluxbooth {recipe['version']}"
    return f"{recipe['text']}{tags}\n" + ", ".join(
        f"{key}: {value}" for key, value in pairs.items()
    )


def _guidance(recipe: dict[str, Any]) -> dict[str, Any]:
    """Of two passes, or told to the network."""
    if recipe.get("two_pass"):
        return {"CFG scale": recipe["guidance"]}
    return {"CFG scale": 1, "Distilled CFG Scale": recipe["guidance"]}


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:"\n]', value) else value
