"""The identity embedding (`fluxbooth.evaluation.identity`), learnt from rendered individuals:
`python -m pretrain.embedding --work DIR`, half an hour on one core; it resumes where it stopped, and
is examined at last (`pretrain.embedding_figures`).

A batch holds families of two lookalikes, a few pictures each. Its convolutions begin as those of
the reader of attributes, whose errors it may share therefore.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from fluxbooth.evaluation.identity import SIDE, Embedding
from fluxbooth.models.attribute_reader import load_reader
from fluxbooth.models.flux1.bases import IDENTITY, NANO
from pretrain import identities, vae
from pretrain.checkpoint import load_state, save_state
from pretrain.muon import optimizers_of
from pretrain.precision import autocast
from pretrain.schedule import descend

FAMILIES, STEPS = 1500, 1600
BATCH = 12  # families
RATE, TEMPERATURE = 1.5e-3, 0.1
DECODED = 0.25  # share of a batch that has been through nano's autoencoder
EXAMINED = 100  # the last families calibrate


def begun() -> Embedding:
    torch.manual_seed(0)
    network = Embedding()
    network.stages.load_state_dict(load_reader().stages.state_dict())
    return network


def train(
    network: Embedding, renders: np.ndarray, decoder: AutoencoderKL, steps: int, checkpoint: Path
) -> Iterator[tuple[int, float]]:
    """Yields (step, mean loss since the last yield) every fifty steps; resumes from
    `checkpoint`."""
    network.train()
    optimizers = optimizers_of(network, RATE, weight_decay=0.05)
    start, losses = load_state(checkpoint, network, *optimizers), list[float]()
    for step in range(start, steps):
        rate = RATE * min(1, (step + 1) / 50) * 0.5 * (1.02 + math.cos(math.pi * step / steps))
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = rate
        rng = np.random.default_rng((13, step))
        chosen = renders[rng.choice(len(renders), BATCH, replace=False)]
        pixels = vae.to_model(chosen.reshape(-1, *chosen.shape[3:]))
        whose = torch.arange(BATCH * 2).repeat_interleave(identities.PICTURES)
        loss = contrastive(network(disturbed(pixels, decoder, rng)), whose)
        descend(loss, optimizers)
        losses.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, network, *optimizers)
            yield step + 1, sum(losses) / len(losses)
            losses.clear()


def contrastive(embedded: Tensor, whose: Tensor) -> Tensor:
    """Khosla et al. 2020, arXiv:2004.11362, equation 2, of n x LENGTH vectors of length 1."""
    alone = torch.eye(len(whose), dtype=torch.bool)
    logits = (embedded @ embedded.T / TEMPERATURE).masked_fill(alone, -1e4)
    same = (whose[:, None] == whose[None]) & ~alone
    return -(F.log_softmax(logits, 1) * same).sum(1).div(same.sum(1)).mean()


def disturbed(pixels: Tensor, decoder: AutoencoderKL, rng: np.random.Generator) -> Tensor:
    """Mirrored, framed differently, blurred, tinted, noisy, and some decoded from noisy latents: n
    x 3 x SIDE x SIDE."""
    torch.manual_seed(int(rng.integers(2**31)))
    pixels = framed(pixels)
    few = torch.randperm(len(pixels))[: int(DECODED * len(pixels))]
    with torch.no_grad(), autocast():
        latents = decoder.encode(pixels[few]).latent_dist.mode()
        latents = latents + rng.uniform(0, 0.4) * latents.std() * torch.randn_like(latents)
        pixels[few] = decoder.decode(latents).sample.float()
    if rng.random() < 0.5:
        side = round(SIDE * rng.uniform(0.35, 0.9))
        small = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        pixels = F.interpolate(small, (SIDE, SIDE), mode="bilinear")
    tint = 1 + 0.05 * torch.randn(len(pixels), 3, 1, 1)
    bright = 0.05 * torch.randn(len(pixels), 1, 1, 1)
    return pixels * tint + bright + rng.uniform(0, 0.08) * torch.randn_like(pixels)


def framed(pixels: Tensor) -> Tensor:
    """Stored pictures as a finder of heads that errs a little would frame them."""
    n = len(pixels)
    size = torch.empty(n).uniform_(0.82, 1.22) / identities.WIDER
    turn = torch.randn(n) * 0.06  # radians
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    x, y = torch.empty(2, n).uniform_(-0.1, 0.1)
    rows = torch.stack(
        [size * mirror * turn.cos(), -size * turn.sin(), x, size * mirror * turn.sin(),
         size * turn.cos(), y], 1,
    )  # fmt: skip
    grid = F.affine_grid(rows.view(n, 2, 3), [n, 3, SIDE, SIDE], align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


@torch.no_grad()
def embedded(network: Embedding, pictures: np.ndarray) -> Tensor:
    """Of uint8 ... x SIDE x SIDE x 3 as stored: ... x LENGTH of the head in its true frame."""
    margin = round(identities.SIDE * (1 - 1 / identities.WIDER) / 2)
    flat = pictures.reshape(-1, *pictures.shape[-3:])[:, margin:-margin, margin:-margin]
    parts = [
        network(F.interpolate(vae.to_model(part), (SIDE, SIDE), mode="bilinear", antialias=True))
        for part in np.array_split(flat, max(1, len(flat) // 64))
    ]
    return torch.cat(parts).reshape(*pictures.shape[:-3], -1)


def calibrate(same: Tensor, other: Tensor) -> dict[str, float]:
    """Slope and even of the logistic that tells both kinds of similarities apart best, when there
    are as many of each."""
    slope, even = torch.tensor(10.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    search = torch.optim.LBFGS([slope, even], max_iter=200, line_search_fn="strong_wolfe")

    def off() -> Tensor:
        search.zero_grad()
        loss = F.softplus(-slope * (same - even)).mean() + F.softplus(slope * (other - even)).mean()
        loss.backward()
        return loss

    search.step(off)
    return {"slope": round(slope.item(), 3), "even": round(even.item(), 4)}


def similarities(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """To the middle of the other pictures of an individual: of each of their pictures, of
    somebody else's, and of their lookalike's. `vectors` are families x 2 x pictures x LENGTH."""
    same, other, alike = [], [], []
    for number, family in enumerate(vectors):
        stranger = vectors[(number + 1) % len(vectors)].flatten(0, 1)
        for one, twin in ((0, 1), (1, 0)):
            for left_out in range(family.shape[1]):
                rest = torch.cat([family[one, :left_out], family[one, left_out + 1 :]])
                middle = F.normalize(rest.mean(0), dim=0)
                same.append(family[one, left_out] @ middle)
                other.append(stranger @ middle)
                alike.append(family[twin] @ middle)
    return torch.stack(same), torch.cat(other), torch.cat(alike)


def save(network: Embedding, calibration: dict[str, float], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.half().contiguous()
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }
    save_file(tensors, path, {"calibration": json.dumps(calibration)})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pretrain.embedding", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of renders, checkpoint")
    parser.add_argument("--families", type=int, default=FAMILIES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=math.inf, help="then stop, to go on later")
    parser.add_argument("--to", type=Path, default=IDENTITY)
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    for done in identities.render(arguments.work / "renders", arguments.families, math.inf):
        print(f"render {done}/{arguments.families}", file=sys.stderr, flush=True)
    renders = identities.load(arguments.work / "renders")
    decoder = vae.AutoencoderKL.from_pretrained(NANO / "vae", torch_dtype=torch.float32).eval()
    network, checkpoint = begun(), arguments.work / "embedding.safetensors"
    for step, loss in train(network, renders[:-EXAMINED], decoder, arguments.steps, checkpoint):
        print(f"embedding {step}/{arguments.steps} {loss:.4f}", file=sys.stderr, flush=True)
        if time.monotonic() > end:
            break
    load_state(checkpoint, network)
    same, other, alike = similarities(embedded(network.eval(), renders[-EXAMINED:]))
    save(network, calibrate(same, torch.cat([other, alike])), arguments.to)
    from pretrain import embedding_figures  # which needs what is above

    embedding_figures.examine(arguments.to)


if __name__ == "__main__":
    main()
