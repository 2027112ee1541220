"""Guidance distillation (arXiv 2210.03142): the teacher's classifier-free guidance becomes one pass
that is conditioned on the strength.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fluxbooth.training import flow
from pretrain.checkpoint import load_state, save_state
from pretrain.data import Shard
from pretrain.precision import autocast
from pretrain.schedule import descend, set_rate
from pretrain.transformer import Batch, Nano, batch_at, freeze_rest

LEARNING_RATE, STRENGTHS, FIRST_BATCH = 6e-4, (1.0, 5.0), 10_000_000


def train(
    teacher: Nano, shards: list[Shard], latents: list[np.ndarray], steps: int, checkpoint: Path
) -> Iterator[tuple[int, float, Nano]]:
    """Yields (step, mean share of the gap left, student) every fifty steps; resumes from
    `checkpoint`."""
    student = copy.deepcopy(teacher)
    optimizers = freeze_rest(student, teacher)
    start, shares = load_state(checkpoint, student, *optimizers), list[float]()
    for step in range(start, steps):
        set_rate(optimizers, LEARNING_RATE, step, steps, warmup=20)
        loss, gap = student_loss(
            student, teacher, batch_at(FIRST_BATCH + step, shards, latents, prose=1.0), step
        )
        descend(loss, optimizers, student.transformer)
        shares.append(loss.item() / gap)
        if (step + 1) % 50 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, student, *optimizers)
            yield step + 1, sum(shares) / len(shares), student
            shares.clear()


def student_loss(student: Nano, teacher: Nano, batch: Batch, step: int) -> tuple[Tensor, float]:
    """The loss, and the gap: what it would be if the student ignored the strength and drew as
    at 1."""
    z, shape = batch.z, batch.shape
    draw = flow.generator(5, step)
    eps = torch.randn(z.shape, generator=draw)
    sigma = flow.sample_sigma("uniform", len(z), draw, 0.0)
    strength = strengths(len(z), draw)
    x = flow.interpolate(z, eps, sigma)
    with autocast():
        encoded = teacher.encode(batch.captions)
        target, with_caption = guided(teacher, x, sigma, encoded, strength, shape)
        velocity = student.velocity(x, sigma, encoded, strength, shape)
    return (velocity.float() - target).square().mean(), (
        with_caption - target
    ).square().mean().item()


def strengths(n: int, draw: torch.Generator) -> Tensor:
    low, high = STRENGTHS
    return low + (high - low) * torch.rand(n, generator=draw)


@torch.no_grad()
def guided(
    teacher: Nano,
    x: Tensor,
    sigma: Tensor,
    encoded: tuple[Tensor, Tensor],
    strength: Tensor,
    shape: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Velocity of classifier-free guidance, v_0 + strength (v - v_0) with v_0 that of the empty
    caption, and v."""
    one = torch.ones(len(x))
    empty, pooled = (t.expand(len(x), *t.shape[1:]) for t in teacher.encode([""]))
    velocity = teacher.velocity(x, sigma, encoded, one, shape).float()
    without = teacher.velocity(x, sigma, (empty, pooled), one, shape).float()
    return without + strength.view(-1, 1, 1) * (velocity - without), velocity
