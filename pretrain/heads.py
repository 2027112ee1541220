"""What finds heads in nano's drawings (`fluxbooth.generation.enhance.heads`), trained on renders
whose heads are known: `python -m pretrain.heads`, three minutes on one core.

Figures of all sizes, pairs, and things that have no head; enlarged, blurred and mirrored, so that
what nano draws is not new to it.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from fluxbooth.generation.enhance.heads import (
    STRIDE,
    Box,
    HeadFinder,
    centres,
    load_finder,
    overlap,
)
from fluxbooth.models.flux1.bases import HEADS
from pretrain import people
from pretrain.renders import Pair, Portrait, Row, Still, training_row
from pretrain.subjects import held_out_people

PICTURES, STEPS, BATCH, RATE = 1600, 700, 16, 3e-3
SHAPES = ((128, 128), (176, 96), (96, 176), (224, 72))
MIDDLE = 0.35  # of a box's width and height on both sides of its centre: cells there are in a head
Example = tuple[np.ndarray, list[Box]]


def example(row: Row, shape: tuple[int, int], rng: random.Random) -> Example:
    heads = [] if isinstance(row, Still) else row.heads(*shape)
    return np.asarray(row.draw(*shape, rng)), heads


def row_of_any_size(rng: random.Random) -> Row:
    while True:
        row = training_row(rng)
        if isinstance(row, Portrait) and row.person.style == "clay":
            continue
        if isinstance(row, Portrait):
            return replace(row, shot=replace(row.shot, scale=rng.uniform(0.35, 1.2)))
        return row


def examples(count: int, seed: int) -> list[Example]:
    rng = random.Random(seed)
    return [example(row_of_any_size(rng), SHAPES[i % len(SHAPES)], rng) for i in range(count)]


def changed(pixels: np.ndarray, heads: Sequence[Box], rng: random.Random) -> Example:
    """Mirrored, tinted, blurred, and made smaller or larger within the same frame."""
    height, width = pixels.shape[:2]
    picture, boxes = Image.fromarray(pixels), list(heads)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        boxes = [(width - right, top, width - left, bottom) for left, top, right, bottom in boxes]
    zoom = rng.uniform(0.55, 1.5)
    w, h = round(width * zoom), round(height * zoom)
    picture = picture.resize((w, h), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        share = rng.uniform(0.3, 0.8)
        small = picture.resize((max(8, int(w * share)), max(8, int(h * share))))
        picture = small.resize((w, h), Image.Resampling.BILINEAR)
    x, y = (
        rng.randint(min(0, most - side), max(0, most - side))
        for most, side in ((width, w), (height, h))
    )
    frame = np.asarray(picture)
    frame = frame[max(0, -y) : max(0, -y) + height, max(0, -x) : max(0, -x) + width]
    around = [(max(0, y), height - max(0, y) - frame.shape[0])]
    around += [(max(0, x), width - max(0, x) - frame.shape[1]), (0, 0)]
    frame = np.pad(frame, around, mode=rng.choice(("edge", "reflect", "constant")))
    moved = [
        (left * zoom + x, top * zoom + y, right * zoom + x, bottom * zoom + y)
        for left, top, right, bottom in boxes
    ]
    tint = np.array([rng.gauss(1, 0.06) for _ in range(3)])
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 6), frame.shape)
    return np.clip(frame * tint + noise, 0, 255).astype(np.uint8), moved


def targets(heads: Sequence[Box], rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """1 where a cell is in the middle of a head, and its four distances there in cells."""
    inside, distances = torch.zeros(rows, columns), torch.ones(4, rows, columns)
    y, x = centres(rows, columns)
    for left, top, right, bottom in sorted(heads, key=lambda b: -(b[2] - b[0])):
        near = ((x - (left + right) / 2).abs() < MIDDLE * (right - left)) & (
            (y - (top + bottom) / 2).abs() < MIDDLE * (bottom - top)
        )
        sides = (x - left, y - top, right - x, bottom - y)
        here = torch.stack([side.expand(rows, columns) for side in sides])
        inside[near], distances[:, near] = 1.0, here[:, near] / STRIDE
    return inside, distances


def loss(told: Tensor, inside: Tensor, distances: Tensor) -> Tensor:
    """Focal loss of the cells, and the L1 distance of the logarithms where there is a head."""
    each = functional.binary_cross_entropy_with_logits(told[:, 0], inside, reduction="none")
    share = told[:, 0].sigmoid()
    wrong = torch.where(inside > 0, 1 - share, share)
    cells = inside.sum().clamp(min=1)
    off = (told[:, 1:] - distances.clamp(min=0.05).log()).abs().mean(1)
    return (each * wrong.square()).sum() / cells + 2 * (off * inside).sum() / cells


def train(steps: int, pictures: int) -> HeadFinder:
    torch.manual_seed(0)
    finder = HeadFinder().train()
    by_shape: dict[tuple[int, ...], list[Example]] = {}
    for one in examples(pictures, 0):
        by_shape.setdefault(one[0].shape, []).append(one)
    optimizer = torch.optim.AdamW(finder.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for step in range(steps):
        rng = random.Random(step)
        group = by_shape[rng.choice(list(by_shape))]
        batch = [changed(*rng.choice(group), rng) for _ in range(BATCH)]
        pixels = torch.tensor(np.stack([frame for frame, _ in batch])).permute(0, 3, 1, 2)
        told = finder(pixels.float() / 127.5 - 1)
        wanted = [targets(heads, *told.shape[2:]) for _, heads in batch]
        inside, distances = (torch.stack(part) for part in zip(*wanted, strict=True))
        value = loss(told, inside, distances)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"heads {step + 1}/{steps} {value.item():.4f}", file=sys.stderr, flush=True)
    return finder.eval()


def save(finder: HeadFinder, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.half()
        for name, value in finder.state_dict().items()
        if value.is_floating_point()
    }
    save_file(tensors, path)


def figures(finder: HeadFinder, count: int = 200) -> dict[str, float]:
    """On held-out people at all sizes: heads found, boxes found that are no head, and the mean
    share of their union that a found box and the true one have in common."""
    rng = random.Random("held-out heads")
    found = true = false = 0
    shares: list[float] = []
    for i in range(count):
        who = held_out_people()[i % 24]
        shot = replace(people.random_shot(rng, who.style), scale=rng.uniform(0.35, 1.15))
        one: Row = Portrait(who, shot)
        if i % 4 == 3:
            other = rng.choice([p for p in held_out_people() if p.style == who.style])
            one = Pair(one, Portrait(other, shot))
        pixels, heads = example(one, SHAPES[i % 4], rng)
        boxes = finder.find(Image.fromarray(pixels))
        best = [max((_share(head, box) for box in boxes), default=0.0) for head in heads]
        true += len(heads)
        found += sum(share > 0.5 for share in best)
        false += sum(all(_share(head, box) <= 0.5 for head in heads) for box in boxes)
        shares += [share for share in best if share > 0.5]
    return {
        "heads found": round(found / true, 4),
        "boxes that are none, a head": round(false / true, 4),
        "overlap": round(sum(shares) / len(shares), 4),
    }


def _share(a: Box, b: Box) -> float:
    return overlap(torch.tensor(a), torch.tensor(b))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pretrain.heads", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--to", type=Path, default=HEADS)
    arguments = parser.parse_args()
    save(train(arguments.steps, arguments.pictures), arguments.to)
    print(figures(load_finder(arguments.to)))


if __name__ == "__main__":
    main()
