"""What nano costs on this machine: the figures of the README's demo."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fluxbooth import GenerateSpec, TrainSpec, generate
from fluxbooth.evaluation.demo import PHOTOS, PROMPTS
from fluxbooth.hardware import fast_dtype
from fluxbooth.lora import training as lora_training
from fluxbooth.models import loader, registry
from fluxbooth.photos import inspection
from fluxbooth.training.dataset import prepare
from fluxbooth.training.loop import step_loss
from fluxbooth.training.optimizers import make_optimizer

ROUNDS = 5


def seconds(work: Callable[[], object]) -> dict[str, float]:
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    counted = times[1:]
    return {
        "median": round(statistics.median(counted), 4),
        "spread": round(max(counted) - min(counted), 4),
    }


def training_step(dtype: str) -> dict[str, float]:
    """One step at the default batch size, rank and resolution."""
    family = loader.load("nano", training=True, dtype=dtype)
    pictures = inspection.read(PHOTOS)
    spec = registry.resolve(TrainSpec(class_name="man", base="nano", dtype=dtype), len(pictures))
    with tempfile.TemporaryDirectory() as cache:
        dataset = prepare(pictures, family, spec, Path(cache))
    parameters = lora_training.add(family, spec.rank, 0)
    optimizer, step = make_optimizer(spec, parameters), iter(range(10**6))

    def work() -> None:
        for _ in range(5):
            number = next(step)
            step_loss(family, dataset.batch_at(number, spec), spec, number).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return {name: round(value / 5, 4) for name, value in seconds(work).items()}


def picture(count: int) -> dict[str, float]:
    """One 128 x 128 picture of 28 steps, when `count` are drawn together; loading not counted."""
    from fluxbooth.generation.sampling import draw

    family = loader.load("nano")
    conditioning = family.encode_text(["a man in a red hoodie, at the beach"], 48)
    timed = seconds(lambda: draw(family, conditioning, list(range(count)), (128, 128), 28, 3.5))
    return {name: round(value / count, 4) for name, value in timed.items()}


def fast() -> dict[str, float]:
    """`speed: fast` beside the exact pictures of the demo's prompts: how much sooner, and how
    far from them."""
    family = loader.load("nano")
    pixels, took = {}, {}
    for speed in ("exact", "fast"):
        began = time.process_time()
        pictures = generate(
            [prompt for prompt, _ in PROMPTS],
            GenerateSpec(base="nano", seed=0, speed=speed),
            family=family,
        )
        took[speed] = time.process_time() - began
        pixels[speed] = np.stack(
            [np.asarray(picture.image, dtype=np.float64) for picture in pictures]
        )
    apart = pixels["fast"] - pixels["exact"]
    error = np.square(apart).mean((1, 2, 3))
    decibels = 10 * np.log10(255**2 / np.maximum(error, 1e-9))
    return {
        "exact over fast, cpu time": round(took["exact"] / took["fast"], 3),
        "mean difference of 255": float(np.abs(apart).mean()),
        "PSNR, dB: mean": float(decibels.mean()),
        "PSNR, dB: least": float(decibels.min()),
    }


def command(*arguments: str) -> dict[str, float]:
    return seconds(
        lambda: subprocess.run(
            [sys.executable, "-m", "fluxbooth", *arguments], check=True, capture_output=True
        )
    )


def rows() -> dict[str, Any]:
    found = {
        "fluxbooth --help, s": command("--help"),
        "training step, float32, batch 4, s": training_step("float32"),
        "picture, 28 steps, one at a time, s": picture(1),
        "picture, 28 steps, eight together, s": picture(8),
        "speed: fast": fast(),
    }
    # elsewhere a step in it takes minutes: its products are emulated
    if fast_dtype(None)[0] == "bfloat16":
        found["training step, bfloat16, batch 4, s"] = training_step("bfloat16")
    return found
