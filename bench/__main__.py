"""What nano costs on this machine: `make bench` prints a table and, with --json FILE, writes the numbers.

Each figure is the median of five after a warm-up, with the spread (largest minus smallest).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from fluxbooth import TrainSpec, lora, models, photocheck
from fluxbooth.demo import PHOTOS
from fluxbooth.photos import prepare
from fluxbooth.train import make_optimizer, peak_rss_mb, step_loss

ROUNDS = 5


def seconds(work: Callable[[], object]) -> dict[str, float]:
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    counted = times[1:]
    return {"median": round(statistics.median(counted), 4), "spread": round(max(counted) - min(counted), 4)}


def training_step(dtype: str) -> dict[str, float]:
    """One step at the default batch size, rank and resolution."""
    family = models.load("nano", training=True, dtype=dtype)
    pictures = photocheck.read(PHOTOS)
    spec = models.resolve(TrainSpec(class_name="man", dtype=dtype), len(pictures))
    with tempfile.TemporaryDirectory() as cache:
        dataset = prepare(pictures, family, spec, Path(cache))
    parameters = lora.add(family, spec.rank, 0)
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
    from fluxbooth.generate import draw

    family = models.load("nano")
    conditioning = family.encode_text(["a man in a red hoodie, at the beach"], 48)
    timed = seconds(lambda: draw(family, conditioning, list(range(count)), (128, 128), 28, 3.5))
    return {name: round(value / count, 4) for name, value in timed.items()}


def command(*arguments: str) -> dict[str, float]:
    return seconds(lambda: subprocess.run([sys.executable, "-m", "fluxbooth", *arguments], check=True, capture_output=True))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    arguments = parser.parse_args()
    rows = {
        "fluxbooth --help, s": command("--help"),
        "training step, float32, batch 4, s": training_step("float32"),
        "training step, bfloat16, batch 4, s": training_step("bfloat16"),
        "picture, 28 steps, one at a time, s": picture(1),
        "picture, 28 steps, eight together, s": picture(8),
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    for name, row in rows.items():
        print(f"{name:40}{row['median']:9.4f}  (spread {row['spread']:.4f})")
    print(f"{'peak memory, MB':40}{peak_rss_mb():9.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows | {"peak_rss_mb": peak_rss_mb()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
