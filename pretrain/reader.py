"""The reader of attributes (`fluxbooth.evaluation.likeness`), trained on renders and on their
blurred and decoded likenesses.

The shipped one knows men and women of the first two styles, and reads them better than one of the
same size that knows everything; that one takes the figures of all else, and is not shipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from fluxbooth.models.attribute_reader import Reader
from pretrain import vae
from pretrain.checkpoint import load_state, save_state
from pretrain.data import Shard
from pretrain.muon import optimizers_of
from pretrain.precision import autocast
from pretrain.renders import Row, grown_up
from pretrain.schedule import descend

BATCH, LEARNING_RATE = 64, 2e-3


def train(
    model: Reader, shards: list[Shard], decoder: AutoencoderKL, steps: int, checkpoint: Path
) -> Iterator[tuple[int, float, Reader]]:
    """Yields (step, mean loss since the last yield, reader) every hundred steps; resumes from
    `checkpoint`."""
    model.train()
    optimizers = optimizers_of(model, LEARNING_RATE, weight_decay=0.05)
    start, losses = load_state(checkpoint, model, *optimizers), list[float]()
    for step in range(start, steps):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = (
                LEARNING_RATE
                * min(1, (step + 1) / 100)
                * 0.5
                * (1.01 + math.cos(math.pi * step / steps))
            )
        rng = np.random.default_rng((11, step))
        shard = shards[rng.integers(len(shards))]
        picks = rng.integers(len(shard.rows), size=BATCH)
        pixels = disturb(vae.to_model(shard.pictures[picks]), decoder, rng)
        loss = reading_loss(model, pixels, [shard.rows[i] for i in picks])
        descend(loss, optimizers)
        losses.append(loss.item())
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, model, *optimizers)
            yield step + 1, sum(losses) / len(losses), model
            losses.clear()


def grown_ups(shards: Sequence[Shard]) -> list[Shard]:
    """What of each shard the shipped reader knows."""
    kept = [[i for i, row in enumerate(shard.rows) if grown_up(row)] for shard in shards]
    return [
        Shard(shard.pictures[picks], [shard.rows[i] for i in picks], shard.path)
        for shard, picks in zip(shards, kept, strict=True)
    ]


def disturb(
    pixels: Tensor, decoder: AutoencoderKL, rng: np.random.Generator, decoded: float = 0.25
) -> Tensor:
    """A share of the batch through the autoencoder with noisy latents, all of it a little blurred,
    noisy and tinted."""
    torch.manual_seed(int(rng.integers(2**31)))
    few = int(len(pixels) * decoded)
    with torch.no_grad(), autocast():
        latents = decoder.encode(pixels[:few]).latent_dist.mode()
        latents = latents + rng.uniform(0, 0.25) * latents.std() * torch.randn_like(latents)
        pixels = torch.cat([decoder.decode(latents).sample.float(), pixels[few:]])
    if rng.random() < 0.5:
        height, width = pixels.shape[2:]
        share = rng.uniform(0.45, 1)
        small = F.interpolate(
            pixels, (int(height * share), int(width * share)), mode="bilinear", antialias=True
        )
        pixels = F.interpolate(small, (height, width), mode="bilinear")
    tint = 1 + 0.05 * torch.randn(len(pixels), 3, 1, 1)
    return pixels * tint + rng.uniform(0, 0.06) * torch.randn_like(pixels)


def reading_loss(model: Reader, pixels: Tensor, rows: Sequence[Row]) -> Tensor:
    with autocast():
        logits = model(pixels)
    answers = [row.answers() for row in rows]
    losses = []
    for name, values in model.attributes.items():
        wanted = torch.tensor([values.index(row[name]) if name in row else -1 for row in answers])
        each = F.cross_entropy(
            logits[name].float(), wanted, label_smoothing=0.02, ignore_index=-1, reduction="sum"
        )
        losses.append(each / max(1, int((wanted >= 0).sum())))
    return torch.stack(losses).sum()
