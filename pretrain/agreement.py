"""One pass that is told a strength, and two-pass guidance by the same network, are made to agree.

Distillation asks a network for what two passes of another give, whose every error guidance
magnifies up to five times; half of the gap stays, and drawing before judges leaves that other
network altogether. But which two velocities guidance is made of is free within what the data say.
So the teacher is the student: its velocities with the caption and without, at strength 1, and the
one at another strength meet in the middle, with gradients into all three. Three weights hold them
in their places: the flow of data for the first two, what the finished drawer drew at the usual
strength for the third, and the judges as before. They meet on pictures of the data under noise and
on drawings by turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fluxbooth.training import flow
from pretrain.checkpoint import load_state, save_state
from pretrain.data import Shard
from pretrain.distill import strengths
from pretrain.drawing import EASELS, JUDGE_NOISE, Easel
from pretrain.judge import COUNTS, Judge
from pretrain.precision import autocast
from pretrain.schedule import descend, set_rate
from pretrain.transformer import Nano, alone, batch_at

PICTURES, LEARNING_RATE, FIRST_BATCH = 32, 4e-4, 50_000_000
# the strength of the figures and of most pictures; every other picture in training has it
USUAL = 3.0
AGREE, WITH_CAPTION, WITHOUT, DRAWER, JUDGE = 2.0, 0.2, 0.4, 1.0, 0.3  # what each loss counts


@dataclass(frozen=True)
class Velocities:
    """Of one network at one place, n x tokens x 64 each."""

    caption: Tensor  # v, with the caption at strength 1
    empty: Tensor  # v_0, of the empty caption at strength 1
    told: Tensor  # with the caption and the strength
    strength: Tensor  # n

    @property
    def guided(self) -> Tensor:
        """v_0 + strength (v - v_0), what two passes give (arXiv 2207.12598)."""
        return self.empty + self.strength.view(-1, 1, 1) * (self.caption - self.empty)

    def residual(self) -> tuple[Tensor, Tensor]:
        """How far one pass is from two, and how far it would be if it ignored the strength:
        mean squares."""
        return (self.told - self.guided).square().mean(), (
            self.caption - self.guided
        ).square().mean()


def velocities(
    nano: Nano,
    x: Tensor,
    sigma: Tensor,
    captions: Sequence[str],
    strength: Tensor,
    shape: tuple[int, int],
) -> Velocities:
    one = torch.ones(len(x))
    with autocast():
        encoded, (empty, pooled) = nano.encode(list(captions)), nano.encode([""])
        nothing = empty.expand(len(x), -1, -1), pooled.expand(len(x), -1)
        caption, without, told = (
            nano.velocity(x, sigma, said, guidance, shape).float()
            for said, guidance in ((encoded, one), (nothing, one), (encoded, strength))
        )
    return Velocities(caption, without, told, strength)


def train(
    student: Nano,
    drawer: Nano,
    judges: Sequence[Judge],
    shards: list[Shard],
    latents: list[np.ndarray],
    steps: int,
    checkpoint: Path,
) -> Iterator[tuple[int, float, Nano]]:
    """Yields (step, mean share of the gap left on data, student) every fifty steps; resumes from
    `checkpoint`.

    `student` begins as the finished `drawer`; pictures in the making are not kept over a resume.
    """
    optimizers = alone(student, drawer, *judges)
    start = load_state(checkpoint, student, *optimizers)
    easels = dict[tuple[int, ...], Easel]()
    shares = list[float]()
    for step in range(start, steps):
        set_rate(optimizers, LEARNING_RATE, step, steps, warmup=20)
        batch = batch_at(FIRST_BATCH + step, shards, latents, prose=1.0, pictures=PICTURES)
        draw = flow.generator(13, step)
        place, easel = (*batch.shape, step // 2 % EASELS), None
        if step % 2:
            easel = (
                easels[place] if place in easels else easels.setdefault(place, Easel(batch, draw))
            )
            easel.strength = usual(easel.strength)
            field, loss = met(
                student, drawer, easel.x, easel.sigma, easel.captions, easel.strength, easel.shape
            )
            judge = judges[int(torch.randint(len(judges), (), generator=draw))]
            predicted = easel.x - easel.sigma.view(-1, 1, 1) * field.told
            loss = loss + JUDGE * judge.loss(
                predicted, easel.shape, easel.said, JUDGE_NOISE, COUNTS
            )
        else:
            eps = torch.randn(batch.z.shape, generator=draw)
            strength = usual(strengths(PICTURES, draw))
            sigma = flow.sample_sigma("uniform", PICTURES, draw, batch.z.shape[1])
            field, loss = met(
                student,
                drawer,
                flow.interpolate(batch.z, eps, sigma),
                sigma,
                batch.captions,
                strength,
                batch.shape,
            )
            for weight, velocity in ((WITH_CAPTION, field.caption), (WITHOUT, field.empty)):
                loss = (
                    loss + weight * ((velocity - (eps - batch.z)).square() * batch.weights).mean()
                )
            left, gap = field.residual()
            shares.append(left.item() / gap.item())
        descend(loss, optimizers, student.transformer)
        if easel:
            # which also draws strengths anew, so after the descent
            easel.step(field.told.detach(), batch, draw)
        if (step + 1) % 50 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, student, *optimizers)
            yield step + 1, float(np.mean(shares)), student
            shares.clear()


def usual(strength: Tensor) -> Tensor:
    """Every other strength is the usual one."""
    return torch.where(torch.arange(len(strength)) % 2 == 0, USUAL, strength)


def met(
    student: Nano,
    drawer: Nano,
    x: Tensor,
    sigma: Tensor,
    captions: Sequence[str],
    strength: Tensor,
    shape: tuple[int, int],
) -> tuple[Velocities, Tensor]:
    """The student's velocities, and a loss: one pass against two, and at the usual strength
    against the drawer's one pass."""
    field = velocities(student, x, sigma, captions, strength, shape)
    with torch.no_grad(), autocast():
        encoded = drawer.encode(list(captions[::2]))
        drawn = drawer.velocity(x[::2], sigma[::2], encoded, strength[::2], shape).float()
    return field, AGREE * field.residual()[0] + DRAWER * (field.told[::2] - drawn).square().mean()
