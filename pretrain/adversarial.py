"""Adversarial training of the attribute critics, before nano is trained on its own samples.

While the field learns by the flow, what deceives the critic costs it velocity. A sample is not held
so, and soon has the few strokes that a network takes for a bob and nobody else does. So the critic
is trained on such examples at last (arXiv 1706.06083, a single step of length up to `REACH`): what
then changes its logits has to look like a bob. But only once it can read one: a critic that sees
adversarial examples from its first step on reads half of the hair shapes. And there are two
critics, each begun from nothing, for what deceives one of them the other mostly sees through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fluxbooth.training import flow
from pretrain.attributes import Answers
from pretrain.checkpoint import load_state, save_state
from pretrain.critic import COUNTS, AttributeCritic
from pretrain.data import Shard
from pretrain.muon import optimizers_of
from pretrain.schedule import descend, set_rate
from pretrain.transformer import batch_at

LEARNING_RATE, WARMUP, FIRST_BATCH = 1.5e-3, 50, 40_000_000
CRITICS, CLEAN = 2, 0.75  # CLEAN: the share of the steps that are not adversarial yet
# at most, less than half way: another mood is 8 to 23 away, another hair 20 to 65
NOISE, REACH, HAIR_REACH = 0.5, 3.0, 8.0


def train(
    number: int, shards: list[Shard], latents: list[np.ndarray], steps: int, checkpoint: Path
) -> Iterator[tuple[int, float, AttributeCritic]]:
    """Yields (step, mean loss since then, critic) every fifty steps; resumes from `checkpoint`.
    Another `number` makes another critic."""
    torch.manual_seed(number)
    critic = AttributeCritic()
    optimizers = optimizers_of(critic, LEARNING_RATE, weight_decay=0.02)
    start, losses = load_state(checkpoint, critic, *optimizers), list[float]()
    for step in range(start, steps):
        set_rate(optimizers, LEARNING_RATE, step, steps, warmup=WARMUP)
        batch = batch_at(FIRST_BATCH + number * 1_000_000 + step, shards, latents)
        draw = flow.generator(11, number, step)
        answers = [row.answers() for row in batch.rows]
        z = batch.z + NOISE * torch.rand((len(batch.z), 1, 1), generator=draw) * torch.randn(
            batch.z.shape, generator=draw
        )
        if step >= CLEAN * steps:
            asked, reach = targets(answers)
            z = perturbed(critic, z, batch.shape, asked, reach * torch.rand(len(z), generator=draw))
        loss = critic.loss(z, batch.shape, answers, noise=0.0, counts=COUNTS)
        descend(loss, optimizers)
        losses.append(loss.item())
        if (step + 1) % 50 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, critic, *optimizers)
            yield step + 1, float(np.mean(losses)), critic
            losses.clear()


def targets(answers: Sequence[Answers]) -> tuple[list[Answers], Tensor]:
    """What of each picture is to be misread, and how far it may be moved for that: hair alone
    of every other one, and further."""
    asked = [
        {"hair": row["hair"]} if i % 2 and "hair" in row else row for i, row in enumerate(answers)
    ]
    return asked, torch.tensor([HAIR_REACH if row.keys() == {"hair"} else REACH for row in asked])


def perturbed(
    critic: AttributeCritic,
    z: Tensor,
    shape: tuple[int, int],
    answers: Sequence[Answers],
    reach: Tensor,
) -> Tensor:
    """z (n x tokens x 64), each picture moved by the distance `reach` (n) to where the critic
    misreads it most."""
    x = z.detach().requires_grad_()
    critic.requires_grad_(False)
    [uphill] = torch.autograd.grad(critic.loss(x, shape, answers, noise=0.0), [x])
    critic.requires_grad_(True)
    return z + reach.view(-1, 1, 1) * uphill / uphill.norm(dim=(1, 2), keepdim=True).clamp(
        min=1e-12
    )
