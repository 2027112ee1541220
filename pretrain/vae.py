"""The autoencoder: AutoencoderKL, 8x downsampling, 16 latent channels, no attention (so that
crops train it)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image, ImageOps

from fluxbooth.errors import InputError
from pretrain import leaves
from pretrain.checkpoint import load_state, save_state
from pretrain.data import Shard
from pretrain.muon import optimizers_of
from pretrain.precision import autocast
from pretrain.schedule import descend

CROP, BATCH, LEARNING_RATE, KL_WEIGHT = 64, 16, 2e-3, 1e-3
EDGE_WEIGHT, SQUARE_WEIGHT = 0.5, 4.0
# of a batch's crops, how many are no render; what a moved latent of a render costs
LEAVES, TETHER = 8, 1.0


def build() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 128),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=8,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


def train(
    shards: list[Shard], steps: int, checkpoint: Path, finished: AutoencoderKL | None = None
) -> Iterator[tuple[int, float, AutoencoderKL]]:
    """Yields (step, mean loss since the last yield, model) every hundred steps; resumes from
    `checkpoint`.

    Of a `finished` one the latents of renders are held where they are, for what was trained on
    them; other pictures' may move.
    """
    torch.manual_seed(0)
    before = copy.deepcopy(finished).requires_grad_(False) if finished else None
    model, highest = (finished.train(), LEARNING_RATE / 2) if finished else (build(), LEARNING_RATE)
    optimizers = optimizers_of(model, LEARNING_RATE, weight_decay=1e-4)
    start = load_state(checkpoint, model, *optimizers)
    total = 0.0
    for step in range(start, steps):
        rng = np.random.default_rng((7, step))
        pixels = crops(shards, rng)
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = (
                highest
                * min(1.0, (step + 1) / 200)
                * 0.5
                * (1.02 + 0.98 * math.cos(math.pi * step / steps))
            )
        torch.manual_seed(step)
        with autocast():
            posterior = model.encode(pixels).latent_dist
            decoded = model.decode(posterior.sample()).sample
        loss = (
            reconstruction_loss(decoded.float(), pixels)
            + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
        )
        if before:
            loss = loss + TETHER * moved(before, pixels[LEAVES:], posterior.mean[LEAVES:])
        descend(loss, optimizers, model)
        total += loss.item()
        if (step + 1) % 100 == 0:
            yield step + 1, total / 100, model
            total = 0.0
        if (step + 1) % 1000 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, model, *optimizers)


def moved(before: AutoencoderKL, pixels: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    """Mean square distance of `latents` from those that `before` makes of the same pixels."""
    with torch.no_grad(), autocast():
        mean = before.encode(pixels).latent_dist.mean
    return F.mse_loss(latents.float(), mean.float())


def reconstruction_loss(decoded: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """L1 and squares on the pixels, and L1 on their horizontal and vertical differences, so
    that outlines stay sharp."""
    loss = F.l1_loss(decoded, pixels) + SQUARE_WEIGHT * F.mse_loss(decoded, pixels)
    for dim in (2, 3):
        loss = loss + EDGE_WEIGHT * F.l1_loss(decoded.diff(dim=dim), pixels.diff(dim=dim))
    return loss


def crops(shards: list[Shard], rng: np.random.Generator) -> torch.Tensor:
    batch = [leaves.picture(CROP, rng) for _ in range(LEAVES)]
    for _ in range(BATCH - LEAVES):
        shard = shards[rng.integers(len(shards))]
        picture = shard.pictures[rng.integers(len(shard.pictures))]
        y, x = (rng.integers(side - CROP + 1) for side in picture.shape[:2])
        crop = picture[y : y + CROP, x : x + CROP]
        batch.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
    return to_model(np.stack(batch))


def to_model(pixels: np.ndarray) -> torch.Tensor:
    """uint8 n x H x W x 3 to float n x 3 x H x W in -1..1."""
    return torch.tensor(pixels).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


@torch.inference_mode()
def psnr(model: AutoencoderKL, pixels: np.ndarray) -> float:
    """Peak signal to noise ratio in dB of whole pictures, reconstructed from the posterior's
    mean."""
    x = to_model(pixels)
    decoded = model.decode(model.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
    mse = ((decoded - x) / 2).square().mean(dim=(1, 2, 3))
    return float((-10 * torch.log10(mse)).mean())


def photographs(folder: Path) -> np.ndarray:
    """The middle of each picture in `folder`, uint8 n x 128 x 128 x 3."""
    if not folder.is_dir() or not any(folder.iterdir()):
        raise InputError(f"There are no photographs in {folder}: name a folder that holds some.")
    pictures = [
        ImageOps.fit(Image.open(path).convert("RGB"), (128, 128))
        for path in sorted(folder.iterdir())
    ]
    return np.stack([np.asarray(picture) for picture in pictures])


def linear_code(pictures: np.ndarray) -> float:
    """dB of the best linear code of 8 x 8 blocks by 16 numbers each, as few as the autoencoder
    has, fitted to these very pictures."""
    n, height, width, _ = pictures.shape
    blocks = (
        pictures.reshape(n, height // 8, 8, width // 8, 8, 3)
        .swapaxes(2, 3)
        .reshape(-1, 192)
        .astype(np.float64)
    )
    centred = blocks - blocks.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:16]
    missed = np.square(centred - centred @ axes.T @ axes).reshape(n, -1).mean(1)
    return float(np.mean(10 * np.log10(255**2 / missed)))


@torch.inference_mode()
def normalise(model: AutoencoderKL, shards: list[Shard]) -> None:
    """Sets shift and scale in the config so that latents have mean 0 and standard deviation 1,
    as FLUX's have."""
    latents = torch.cat(
        [
            model.encode(to_model(shard.pictures[:24])).latent_dist.mode().flatten()
            for shard in shards[:24]
        ]
    )
    model.register_to_config(
        shift_factor=float(latents.mean()), scaling_factor=float(1 / latents.std())
    )


@torch.inference_mode()
def encode(model: AutoencoderKL, shard: Shard) -> np.ndarray:
    """Normalised latents of a shard, float16 n x 16 x H/8 x W/8."""
    with autocast():
        parts = [
            model.encode(to_model(shard.pictures[i : i + 50])).latent_dist.mode()
            for i in range(0, len(shard.rows), 50)
        ]
    latents = (torch.cat(parts).float() - model.config.shift_factor) * model.config.scaling_factor
    return latents.half().numpy()
