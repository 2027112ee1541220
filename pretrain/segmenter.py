"""The segmenter of pictures (`fluxbooth.generation.enhance.segmenter`), trained on renders and the
exact parts of each, on their blurred and decoded likenesses, and on other backgrounds; and on what
is rare among them, drawn anew for each batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from fluxbooth.generation.enhance.segmenter import STRIDE, Segmenter
from fluxbooth.prompts.mask_words import PARTS
from pretrain import backgrounds, leaves, renders, vae
from pretrain.checkpoint import load_state, save_state
from pretrain.data import Shard
from pretrain.parts import parts
from pretrain.precision import autocast
from pretrain.reader import disturb
from pretrain.schedule import descend, set_rate

BATCH, LEARNING_RATE = 16, 4e-3
FINISHED = 1 / 4  # of that rate, for a model that is trained on
RARE = 4  # of a batch: two things, an empty scene, and somebody with a hat
# of the pictures get a background that no render has, one of so many
ELSEWHERE, BACKGROUNDS = 0.15, 32
WHOLE = 0.2  # of the batches are whole pictures
DECODED = 1 / 16  # of a batch have gone through the autoencoder


def train(
    model: Segmenter,
    shards: list[Shard],
    labels: list[np.ndarray],
    decoder: AutoencoderKL,
    steps: int,
    checkpoint: Path,
    rate: float = LEARNING_RATE,
) -> Iterator[tuple[int, float, Segmenter]]:
    """Yields (step, mean loss since the last yield, segmenter) every fifty steps; `labels` of
    each shard as `pretrain.parts` makes them. Resumes from `checkpoint`."""
    model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    start, losses = load_state(checkpoint, model, optimizer), list[float]()
    side, paint = max(max(shard.pictures.shape[1:3]) for shard in shards), np.random.default_rng(12)
    behind = np.stack([leaves.picture(side, paint) for _ in range(BACKGROUNDS)])
    for step in range(start, steps):
        set_rate([optimizer], rate, step, steps, warmup=50)
        rng = np.random.default_rng((13, step))
        number = rng.integers(len(shards))
        picks = rng.integers(len(shards[number].rows), size=BATCH - RARE)
        pictures, told = (
            np.concatenate(both)
            for both in zip(
                (shards[number].pictures[picks], labels[number][picks]),
                rare(shards[number].pictures.shape[1:3], rng),
                strict=True,
            )
        )
        order = rng.permutation(BATCH)  # any of them may go through the autoencoder
        pictures, told = pictures[order], told[order]
        if rng.random() < 0.5:
            pictures, told = pictures[:, :, ::-1], told[:, :, ::-1]
        pictures = elsewhere(pictures, told, behind, rng)
        pixels, exact = window(
            vae.to_model(pictures), torch.tensor(np.ascontiguousarray(told)), rng
        )
        pixels = disturb(pixels, decoder, rng, decoded=DECODED)
        loss = segmentation_loss(model, pixels.contiguous(memory_format=torch.channels_last), exact)
        descend(loss, [optimizer], model)
        losses.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, model, optimizer)
            yield step + 1, sum(losses) / len(losses), model
            losses.clear()


def rare(size: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """RARE pictures of height x width and their parts."""
    dice, (height, width) = random.Random(int(rng.integers(2**32))), size
    rows = [renders.still(dice), renders.still(dice), renders.hatted(dice)]
    pictures = [np.asarray(row.draw(width, height, dice)) for row in rows]
    name = dice.choice([*backgrounds.SCENES, *backgrounds.PLAIN_BACKGROUNDS])
    scene = renders.rasterised(backgrounds.background(name, width, height, dice), width, height)
    labels = [parts(row, width, height) for row in rows]
    nothing = np.zeros((height, width, 2), np.uint8)
    return np.stack([*pictures, np.asarray(scene)]), np.stack([*labels, nothing])


def elsewhere(
    pictures: np.ndarray, parts: np.ndarray, backgrounds: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Some of the pictures with another background behind what they show: those of the renders are
    not to be known by heart."""
    result = pictures.copy()
    height, width = pictures.shape[1:3]
    for i in np.flatnonzero(rng.random(len(pictures)) < ELSEWHERE):
        share = parts[i, ..., 1:] / np.float32(255)
        behind = backgrounds[rng.integers(len(backgrounds)), :height, :width]
        result[i] = share * pictures[i] + (1 - share) * behind
    return result


def window(pixels: Tensor, parts: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The batch (n x 3 x H x W, and n x H x W x 2), or mostly a part of it, made larger or smaller:
    three quarters of the sides are half of the work."""
    sides, size = pixels.shape[2:], [STRIDE * round(0.75 * s / STRIDE) for s in pixels.shape[2:]]
    if rng.random() < WHOLE:
        return pixels, parts
    share = rng.uniform(0.6, 1)
    h, w = (round(share * side) for side in sides)
    top, left = (int(rng.integers(s - n + 1)) for s, n in zip(sides, (h, w), strict=True))
    pixels = F.interpolate(
        pixels[:, :, top : top + h, left : left + w], size, mode="bilinear", antialias=True
    )
    cut = parts[:, top : top + h, left : left + w].permute(0, 3, 1, 2).float()
    return pixels, F.interpolate(cut, size, mode="nearest").permute(0, 2, 3, 1)


def segmentation_loss(model: Segmenter, pixels: Tensor, parts: Tensor) -> Tensor:
    """Cross-entropy with the share of each pixel that its part and the background cover."""
    with autocast():
        logits = model(pixels)
    share = parts[..., 1].float() / 255
    chances = logits.float().log_softmax(1)
    front = chances.gather(1, parts[..., 0].long()[:, None])[:, 0]
    return -(share * front + (1 - share) * chances[:, 0]).mean()


@torch.no_grad()
def overlap(model: Segmenter, pixels: Tensor, parts: np.ndarray) -> tuple[dict[str, float], float]:
    """Mean intersection over union of each part by picture where it is shown, and the mean error of
    the background's share, 0 to 1."""
    chances = torch.cat([model(part).softmax(1) for part in pixels.split(50)])
    told, share = torch.tensor(parts[..., 0]).long(), torch.tensor(parts[..., 1]).float() / 255
    told = torch.where(share > 0.5, told, 0)
    seen = chances.argmax(1)
    scores = {name: intersection_over_union(seen == i, told == i) for i, name in enumerate(PARTS)}
    scores["person"] = intersection_over_union(_person(seen), _person(told))
    return scores, float((1 - chances[:, 0] - share).abs().mean())


def intersection_over_union(seen: Tensor, told: Tensor) -> float:
    """The mean over the pictures, n x H x W bool, that show it."""
    shown = told.flatten(1).any(1)
    both, either = (
        (f(seen, told)).flatten(1).sum(1)[shown] for f in (torch.logical_and, torch.logical_or)
    )
    return float((both / either).mean())


def _person(labels: Tensor) -> Tensor:
    return (labels > 0) & (labels < PARTS.index("animal"))
