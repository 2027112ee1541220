"""Training on own samples: an attribute critic's loss at every step of the sampler.

Everywhere else x is a picture of the data under noise, in which a moustache that the caption names
is half visible already. A sample whose first steps forgot it looks like nothing that was ever
trained on, and nothing puts it back. So trajectories are followed from noise, one Euler step of the
sampler at a time, each at a noise level of its own; at every step the loss is that of the critic on
the picture predicted from there (after ReFL, arXiv 2304.05977), beside the distance to the
teacher's classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor

from fluxbooth.training import flow
from pretrain.checkpoint import load_state, save_state
from pretrain.critic import COUNTS, AttributeCritic, said_and_unsaid
from pretrain.data import Shard
from pretrain.distill import guided, strengths
from pretrain.precision import autocast
from pretrain.schedule import descend, set_rate
from pretrain.transformer import Batch, Nano, batch_at, freeze_rest

# pools of each shape take turns: one alone would be overfitted
EULER_STEPS, PICTURES, POOLS = 14, 32, 6
# share of trajectories at each step: the first steps, which decide a shape, are then trained most
GIVEN_UP = 0.1
# noise: against details that only a network sees
LEARNING_RATE, CRITIC_WEIGHT, CRITIC_NOISE, FIRST_BATCH = 3e-4, 0.3, 0.3, 30_000_000


class TrajectoryPool:
    """Sampling trajectories of one shape; one that is finished or given up is replaced by another
    caption and fresh noise.

    At first they wait as noise, one Euler step longer each than the last, so that they come to
    all noise levels.
    """

    def __init__(self, batch: Batch, draw: torch.Generator) -> None:
        n, tokens = batch.z.shape[:2]
        self.shape = batch.shape
        self.sigmas = flow.shift(torch.linspace(1, 0, EULER_STEPS + 1), calculate_shift(tokens))
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
    critics: Sequence[AttributeCritic],
    shards: list[Shard],
    latents: list[np.ndarray],
    steps: int,
    checkpoint: Path,
) -> Iterator[tuple[int, float, float, Nano]]:
    """Yields (step, the critics' loss, distance to the teacher, student) every twenty steps;
    resumes from `checkpoint`.

    The critics' loss is the mean cross-entropy of all that a caption says; unfinished trajectories
    are not kept over a resume.
    """
    optimizers = freeze_rest(student, teacher, *critics)
    start = load_state(checkpoint, student, *optimizers)
    pools = dict[tuple[int, ...], TrajectoryPool]()
    rows = list[tuple[float, float]]()
    for step in range(start, steps):
        set_rate(optimizers, LEARNING_RATE, step, steps, warmup=20)
        batch = batch_at(FIRST_BATCH + step, shards, latents, prose=1.0, pictures=PICTURES)
        draw = flow.generator(9, step)
        place = (*batch.shape, step % POOLS)
        if place not in pools:
            pools[place] = TrajectoryPool(batch, draw)
        pool = pools[place]
        # what deceives one, another sees through
        critic = critics[int(torch.randint(len(critics), (), generator=draw))]
        critic_loss, distance, velocity = sample_losses(pool, student, teacher, critic)
        descend(distance + CRITIC_WEIGHT * critic_loss, optimizers, student.transformer)
        pool.step(velocity, batch, draw)
        rows.append((critic_loss.item(), distance.item()))
        if (step + 1) % 20 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, student, *optimizers)
            yield step + 1, *np.mean(rows, 0), student
            rows.clear()


def sample_losses(
    pool: TrajectoryPool, student: Nano, teacher: Nano, critic: AttributeCritic
) -> tuple[Tensor, Tensor, Tensor]:
    """The critic's loss on the pictures predicted from where the pool is, the distance of
    velocities to the teacher's, the velocity."""
    x, sigma, strength, shape = pool.x, pool.sigma, pool.strength, pool.shape
    with autocast():
        encoded = student.encode(pool.captions)
        target, _ = guided(teacher, x, sigma, encoded, strength, shape)
        velocity = student.velocity(x, sigma, encoded, strength, shape).float()
    predicted = x - sigma.view(-1, 1, 1) * velocity
    return (
        critic.loss(predicted, shape, pool.said, CRITIC_NOISE, COUNTS),
        (velocity - target).square().mean(),
        velocity.detach(),
    )
