"""How long the steps take that may follow a drawing, held to the drawing itself.

    python -m bench.enhance seconds [--times N] [--keep]

On nano, with its own steps and at its own size: a picture is drawn, then each step works on it,
the least of N times. One drawing is 1; what a step takes is told for the pixels that it works on,
so that it can be had for any picture (`service/estimates.py`). `--keep` writes bench/results.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from PIL import Image

from bench import machine, tables
from fluxbooth.generation.enhance import background, film, heads, outpainting, upscaling
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.generation.generate import generate
from fluxbooth.lora.inference import AdapterCache
from fluxbooth.models import loader
from fluxbooth.specs import GenerateSpec

TEXT, WALL = "a man with red hair in front of a blue wall", "a blue wall"
STEPS, STRENGTH = 28, 0.5


def least(work: Callable[[], object], times: int) -> float:
    """Seconds of one thread's processor, which other processes have no part in."""
    found = list[float]()
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def seconds(times: int) -> tuple[float, dict[str, float]]:
    """Of a drawing, and of each step in drawings: those that draw by the strength and the pixels
    of a whole drawing, the others by the pixels that they begin with."""
    family, cache = loader.load("nano"), AdapterCache()
    spec = GenerateSpec(base="nano", steps=STEPS, seed=3)

    def draw() -> Image.Image:
        return generate(TEXT, spec, family=family, cache=cache)[0].image

    small = draw()
    texts = {text: cache.conditioning(text, family) for text in (TEXT, WALL)}
    family.load_network()
    redraw = Redraw(family, texts, TEXT, (), STEPS, family.row.guidance or 0.0)
    large = small.resize((2 * small.width, 2 * small.height), Image.Resampling.LANCZOS)
    network = upscaling.network_for(*small.size, "cpu")
    whole, side = least(draw, times), small.width
    taken = {
        "enlarged": lambda: upscaling.upscale(small, 2, network=network, device="cpu"),
        "drawn anew in one piece": lambda: redraw(small, strength=STRENGTH, seed=1),
        "drawn anew in tiles": lambda: redraw(large, strength=STRENGTH, seed=1),
        "drawn on": lambda: outpainting.outpaint(
            small, redraw, anchor="center", width=2 * side, height=2 * side, seed=1, text=WALL
        ),
        "heads found": lambda: heads.find(small, family.row),
        "background removed": lambda: background.remove(small, family.row),
        "graded": lambda: film.grade(large, "Ektar", 1),
        "grained": lambda: film.grain(large, 1),
    }
    share = {  # of what a whole drawing of as many pixels takes
        "drawn anew in one piece": STRENGTH,
        "drawn anew in tiles": 4 * STRENGTH,
        "drawn on": 4.0,
        "graded": 4.0,
        "grained": 4.0,
    }
    return whole, {
        name: least(work, times) / whole / share.get(name, 1.0) for name, work in taken.items()
    }


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--times", type=int, default=3)
    options.add_argument("--keep", action="store_true")
    asked = options.parse_args()
    told = machine.described(1)
    whole, taken = seconds(asked.times)
    table = {
        "machine": told,
        "by": "python -m bench.enhance seconds",
        "row": {"seconds of a drawing": whole, "in drawings": taken},
    }
    print(tables.shown(table))
    if asked.keep:
        tables.save("seconds", {"steps": table})
