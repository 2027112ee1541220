"""The reader of attributes (`fluxbooth.likeness`), trained on renders and on their blurred and decoded likenesses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from fluxbooth.likeness import Reader
from pretrain import renders, vae
from pretrain.checkpoint import load_state, save_state
from pretrain.data import Shard
from pretrain.precision import autocast

BATCH, LEARNING_RATE, DECODED = 64, 2e-3, 0.5


def vocabulary() -> dict[str, list[str]]:
    hair = {*renders.MAN_HAIR, *renders.WOMAN_HAIR, *(h for kinds in renders.TOON_HAIR.values() for h in kinds)}
    return {
        "style": ["avatar", "toon"], "kind": ["man", "woman"], "hair": sorted(hair),
        "hair_colour": list(renders.HAIR_COLOURS), "skin": list(renders.SKINS), "glasses": list(renders.GLASSES),
        "beard": list(renders.BEARDS), "clothes": sorted({*renders.CLOTHES, *renders.TOON_CLOTHES}),
        "clothes_colour": list(renders.CLOTHES_COLOURS), "mood": list(renders.MOODS),
        "background": [f"{c} wall" for c in renders.PLAIN_BACKGROUNDS] + list(renders.SCENES),
        "position": list(renders.POSITIONS),
    }  # fmt: skip


def answer(person: renders.Person, shot: renders.Shot) -> dict[str, str]:
    row = renders.attributes(person, shot)
    if row["background"] in renders.PLAIN_BACKGROUNDS:
        row["background"] += " wall"
    return row


def said(person: renders.Person, shot: renders.Shot, text: str) -> dict[str, str]:
    """Those answers that a caption gives in words."""
    hair = person.hair.removeprefix("an ").removeprefix("a ")
    clothes = f"{shot.clothes_colour} {shot.clothes}"
    phrases = {
        "style": ["toon" if person.style == "toon" else "cartoon"], "kind": [person.kind],
        "hair": [hair], "hair_colour": [f"{person.hair_colour} {hair}", f"{person.hair_colour} hair"], "skin": [f"{person.skin} skin"],
        "glasses": [person.glasses], "beard": [person.beard], "clothes": [clothes], "clothes_colour": [clothes], "mood": [shot.mood],
        "background": [renders.SCENES.get(shot.background) or f"{shot.background} background", f"{shot.background} wall"],
        "position": [f"on the {shot.position}"],
    }  # fmt: skip
    return {name: value for name, value in answer(person, shot).items() if any(phrase in text for phrase in phrases[name])}


def train(shards: list[Shard], decoder: AutoencoderKL, steps: int, checkpoint: Path) -> Iterator[tuple[int, float, Reader]]:
    torch.manual_seed(0)
    model = Reader(vocabulary()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    start, total = load_state(checkpoint, model, optimizer), 0.0
    for step in range(start, steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 100) * 0.5 * (1.01 + math.cos(math.pi * step / steps))
        rng = np.random.default_rng((11, step))
        shard = shards[rng.integers(len(shards))]
        picks = rng.integers(len(shard.rows), size=BATCH)
        pixels = disturb(vae.to_model(shard.pictures[picks]), decoder, rng)
        loss = reading_loss(model, pixels, [shard.rows[i] for i in picks])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, model, optimizer)
            yield step + 1, total / 100, model
            total = 0.0


def disturb(pixels: Tensor, decoder: AutoencoderKL, rng: np.random.Generator) -> Tensor:
    """A quarter of the batch through the autoencoder with noisy latents, all of it a little blurred, noisy and tinted."""
    torch.manual_seed(int(rng.integers(2**31)))
    few = len(pixels) // 4
    with torch.no_grad(), autocast():
        latents = decoder.encode(pixels[:few]).latent_dist.mode()
        latents = latents + rng.uniform(0, 0.25) * latents.std() * torch.randn_like(latents)
        pixels = torch.cat([decoder.decode(latents).sample.float(), pixels[few:]])
    if rng.random() < 0.5:
        height, width = pixels.shape[2:]
        share = rng.uniform(0.45, 1)
        small = F.interpolate(pixels, (int(height * share), int(width * share)), mode="bilinear", antialias=True)
        pixels = F.interpolate(small, (height, width), mode="bilinear")
    tint = 1 + 0.05 * torch.randn(len(pixels), 3, 1, 1)
    return pixels * tint + rng.uniform(0, 0.06) * torch.randn_like(pixels)


def reading_loss(model: Reader, pixels: Tensor, rows: list[tuple[renders.Person, renders.Shot]]) -> Tensor:
    with autocast():
        logits = model(pixels)
    answers = [answer(person, shot) for person, shot in rows]
    losses = []
    for name, values in model.attributes.items():
        wanted = torch.tensor([values.index(row[name]) for row in answers])
        each = F.cross_entropy(logits[name].float(), wanted, label_smoothing=0.02, reduction="none")
        seen = torch.tensor([not (name == "hair_colour" and row["hair"] == "a bald head" and row["beard"] == "none") for row in answers])
        losses.append((each * seen).sum() / seen.sum())
    return torch.stack(losses).sum()
