"""Guidance self-distillation: one pass conditioned on a strength, and classifier-free guidance by
the same network, are trained to be the same.

Distillation asks a network for what classifier-free guidance of another gives, whose every error
guidance magnifies up to five times; half of the gap stays, and training on own samples leaves that
other network altogether. But which two velocities guidance is made of is free within what the data
say. So the teacher is the student: its velocities with the caption and without, at strength 1, and
the one at another strength meet in the middle, with gradients into all three. Three losses hold
them in their places: the flow of data for the first two, the reference's velocity at the usual
strength for the third, and the critics as before. Pictures of the data under noise and own samples
take turns.
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
from pretrain.critic import COUNTS, AttributeCritic
from pretrain.data import Shard
from pretrain.distill import strengths
from pretrain.own_samples import CRITIC_NOISE, POOLS, TrajectoryPool
from pretrain.precision import autocast
from pretrain.schedule import descend, set_rate
from pretrain.transformer import Nano, batch_at, freeze_rest

PICTURES, LEARNING_RATE, FIRST_BATCH = 32, 4e-4, 50_000_000
# the strength of the figures and of most pictures; every other picture in training has it
USUAL = 3.0
CONSISTENCY, WITH_CAPTION, WITHOUT, REFERENCE, CRITIC = (
    2.0,
    0.2,
    0.4,
    1.0,
    0.3,
)  # what each loss counts


@dataclass(frozen=True)
class Velocities:
    """Of one network at one place, n x tokens x 64 each."""

    caption: Tensor  # v, with the caption at strength 1
    empty: Tensor  # v_0, of the empty caption at strength 1
    conditioned: Tensor  # with the caption and the strength
    strength: Tensor  # n

    @property
    def guided(self) -> Tensor:
        """v_0 + strength (v - v_0), classifier-free guidance (arXiv 2207.12598)."""
        return self.empty + self.strength.view(-1, 1, 1) * (self.caption - self.empty)

    def residual(self) -> tuple[Tensor, Tensor]:
        """How far one pass is from classifier-free guidance, and how far it would be if it ignored
        the strength: mean squares."""
        return (self.conditioned - self.guided).square().mean(), (
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
        caption, without, conditioned = (
            nano.velocity(x, sigma, said, guidance, shape).float()
            for said, guidance in ((encoded, one), (nothing, one), (encoded, strength))
        )
    return Velocities(caption, without, conditioned, strength)


def train(
    student: Nano,
    reference: Nano,
    critics: Sequence[AttributeCritic],
    shards: list[Shard],
    latents: list[np.ndarray],
    steps: int,
    checkpoint: Path,
) -> Iterator[tuple[int, float, Nano]]:
    """Yields (step, mean share of the gap left on data, student) every fifty steps; resumes from
    `checkpoint`.

    `student` begins as the finished `reference`; unfinished trajectories are not kept over a
    resume.
    """
    optimizers = freeze_rest(student, reference, *critics)
    start = load_state(checkpoint, student, *optimizers)
    pools = dict[tuple[int, ...], TrajectoryPool]()
    shares = list[float]()
    for step in range(start, steps):
        set_rate(optimizers, LEARNING_RATE, step, steps, warmup=20)
        batch = batch_at(FIRST_BATCH + step, shards, latents, prose=1.0, pictures=PICTURES)
        draw = flow.generator(13, step)
        place, pool = (*batch.shape, step // 2 % POOLS), None
        if step % 2:
            pool = (
                pools[place]
                if place in pools
                else pools.setdefault(place, TrajectoryPool(batch, draw))
            )
            pool.strength = usual(pool.strength)
            field, loss = consistency_loss(
                student, reference, pool.x, pool.sigma, pool.captions, pool.strength, pool.shape
            )
            critic = critics[int(torch.randint(len(critics), (), generator=draw))]
            predicted = pool.x - pool.sigma.view(-1, 1, 1) * field.conditioned
            loss = loss + CRITIC * critic.loss(
                predicted, pool.shape, pool.said, CRITIC_NOISE, COUNTS
            )
        else:
            eps = torch.randn(batch.z.shape, generator=draw)
            strength = usual(strengths(PICTURES, draw))
            sigma = flow.sample_sigma("uniform", PICTURES, draw, 0.0)
            field, loss = consistency_loss(
                student,
                reference,
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
        if pool:
            # which also draws strengths anew, so after the descent
            pool.step(field.conditioned.detach(), batch, draw)
        if (step + 1) % 50 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, student, *optimizers)
            yield step + 1, float(np.mean(shares)), student
            shares.clear()


def usual(strength: Tensor) -> Tensor:
    """Every other strength is the usual one."""
    return torch.where(torch.arange(len(strength)) % 2 == 0, USUAL, strength)


def consistency_loss(
    student: Nano,
    reference: Nano,
    x: Tensor,
    sigma: Tensor,
    captions: Sequence[str],
    strength: Tensor,
    shape: tuple[int, int],
) -> tuple[Velocities, Tensor]:
    """The student's velocities, and a loss: one pass against classifier-free guidance, and at the
    usual strength against the reference's one pass."""
    field = velocities(student, x, sigma, captions, strength, shape)
    with torch.no_grad(), autocast():
        encoded = reference.encode(list(captions[::2]))
        drawn = reference.velocity(x[::2], sigma[::2], encoded, strength[::2], shape).float()
    return field, CONSISTENCY * field.residual()[0] + REFERENCE * (
        field.conditioned[::2] - drawn
    ).square().mean()
