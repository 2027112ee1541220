"""The student draws pictures of its own, and a judge says at every step where they do not show what
their captions say.

Everywhere else x is a picture of the data under noise, in which a moustache that the caption names
is half visible already. A drawing whose first steps forgot it looks like nothing that was ever
trained on, and nothing puts it back. So pictures are drawn from noise, one Euler step of the
sampler at a time, each at a moment of its own; at every step the loss is the judge's opinion of the
picture predicted from there (after ReFL, arXiv 2304.05977), beside the distance to the teacher's
two-pass guidance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fluxbooth.training import flow
from pretrain.checkpoint import load_state, save_state
from pretrain.data import Shard
from pretrain.distill import guided, strengths
from pretrain.judge import COUNTS, Judge, said_and_unsaid
from pretrain.precision import autocast
from pretrain.schedule import descend, set_rate
from pretrain.transformer import Batch, Nano, alone, batch_at

# easels of each shape take turns: one alone would be learnt by heart
EULER_STEPS, PICTURES, EASELS = 14, 32, 6
GIVEN_UP = 0.1  # at each step, so that first strokes, which decide a shape, are made most often
# noise: against touches that only a network sees
LEARNING_RATE, JUDGE_WEIGHT, JUDGE_NOISE, FIRST_BATCH = 3e-4, 0.3, 0.3, 30_000_000


class Easel:
    """Pictures of one shape in the making; what is finished or given up makes room for another
    caption and fresh noise.

    At first they wait as noise, one Euler step longer each than the last, so that they come to
    stand at all moments.
    """

    def __init__(self, batch: Batch, draw: torch.Generator) -> None:
        n, tokens = batch.z.shape[:2]
        self.shape = batch.shape
        self.sigmas = flow.shift(torch.linspace(1, 0, EULER_STEPS + 1), tokens)
        # Euler steps behind each; below zero, steps to wait
        self.at = -(torch.arange(n) % EULER_STEPS)
        self.captions = list(batch.captions)
        self.said = said_and_unsaid(batch.rows, batch.captions)[0]
        self.x, self.strength = torch.randn(batch.z.shape, generator=draw), strengths(n, draw)

    @property
    def sigma(self) -> Tensor:
        return self.sigmas[self.at.clamp(min=0)]

    def step(self, velocity: Tensor, following: Batch, draw: torch.Generator) -> None:
        """One Euler step of each; those finished or given up are begun anew, with that of three
        captions of `following` which says most."""
        ahead = self.sigmas[(self.at + 1).clamp(min=0)] - self.sigma
        self.x = self.x + ahead.view(-1, 1, 1) * velocity
        self.at = self.at + 1
        n, (said, _) = len(self.x), said_and_unsaid(following.rows, following.captions)
        eps = torch.randn(self.x.shape, generator=draw)
        strength = strengths(n, draw)
        offered = torch.randint(n, (n, 3), generator=draw)
        over = (self.at == EULER_STEPS) | (
            (self.at > 0) & (torch.rand(n, generator=draw) < GIVEN_UP)
        )
        for i in torch.nonzero(over).flatten().tolist():
            taken = max(offered[i].tolist(), key=lambda j: len(said[j]))
            self.at[i], self.x[i], self.strength[i] = 0, eps[i], strength[i]
            self.captions[i], self.said[i] = following.captions[taken], said[taken]


def train(
    student: Nano,
    teacher: Nano,
    judges: Sequence[Judge],
    shards: list[Shard],
    latents: list[np.ndarray],
    steps: int,
    checkpoint: Path,
) -> Iterator[tuple[int, float, float, Nano]]:
    """Yields (step, what the judges miss, distance to the teacher, student) every twenty steps;
    resumes from `checkpoint`.

    The first is the mean cross-entropy of all that a caption says; pictures in the making are not
    kept over a resume.
    """
    optimizers = alone(student, teacher, *judges)
    start = load_state(checkpoint, student, *optimizers)
    easels = dict[tuple[int, ...], Easel]()
    rows = list[tuple[float, float]]()
    for step in range(start, steps):
        set_rate(optimizers, LEARNING_RATE, step, steps, warmup=20)
        batch = batch_at(FIRST_BATCH + step, shards, latents, prose=1.0, pictures=PICTURES)
        draw = flow.generator(9, step)
        place = (*batch.shape, step % EASELS)
        if place not in easels:
            easels[place] = Easel(batch, draw)
        easel = easels[place]
        # what deceives one, another sees through
        judge = judges[int(torch.randint(len(judges), (), generator=draw))]
        missed, distance, velocity = opinions(easel, student, teacher, judge)
        descend(distance + JUDGE_WEIGHT * missed, optimizers, student.transformer)
        easel.step(velocity, batch, draw)
        rows.append((missed.item(), distance.item()))
        if (step + 1) % 20 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, student, *optimizers)
            yield step + 1, *np.mean(rows, 0), student
            rows.clear()


def opinions(
    easel: Easel, student: Nano, teacher: Nano, judge: Judge
) -> tuple[Tensor, Tensor, Tensor]:
    """What the judge misses in the pictures predicted from where the easel is, their distance
    to the teacher's, the velocity."""
    x, sigma, strength, shape = easel.x, easel.sigma, easel.strength, easel.shape
    with autocast():
        encoded = student.encode(easel.captions)
        target, _ = guided(teacher, x, sigma, encoded, strength, shape)
        velocity = student.velocity(x, sigma, encoded, strength, shape).float()
    predicted = x - sigma.view(-1, 1, 1) * velocity
    return (
        judge.loss(predicted, shape, easel.said, JUDGE_NOISE, COUNTS),
        (velocity - target).square().mean(),
        velocity.detach(),
    )
