"""Training on own samples: trajectories and their captions."""

from __future__ import annotations

import pytest
import torch

from fluxbooth.training import flow
from pretrain import own_samples
from pretrain.critic import AttributeCritic
from pretrain.own_samples import EULER_STEPS, TrajectoryPool, sample_losses
from pretrain.people import Person, Shot
from pretrain.renders import Portrait, Row
from pretrain.transformer import Batch
from tests.support.pretraining import ROWS, Field


def a_pool(captions: list[str], rows: list[Row]) -> TrajectoryPool:
    z = torch.randn(len(captions), 64, 64, generator=flow.generator(1))
    return TrajectoryPool(
        Batch(z, captions, rows, torch.ones(len(z), 64, 1), (16, 16), 72), flow.generator(2)
    )


def test_a_trajectory_goes_from_noise_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_samples, "GIVEN_UP", 0)
    man = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    pool = a_pool(["sad"] * 15, [man] * 15)
    assert pool.sigma.tolist() == [1.0] * 15
    other = Batch(
        torch.zeros(15, 64, 64), ["man"] * 15, [man] * 15, torch.ones(15, 64, 1), (16, 16), 72
    )
    aim, began = torch.full((64, 64), 3.0), pool.x.clone()
    for step in range(EULER_STEPS):
        assert pool.captions[0] == "sad"
        assert pool.at[0] == step
        before = pool.x[0].clone()
        pool.step((pool.x - aim) / pool.sigma.view(-1, 1, 1), other, flow.generator(3, step))
        if step + 1 < EULER_STEPS:
            share = pool.sigma[0]
            torch.testing.assert_close(
                pool.x[0], share * began[0] + (1 - share) * aim, rtol=1e-4, atol=1e-4
            )
            assert torch.equal(pool.x[13], began[13])  # the fourteenth waits
    # one step from the aim
    torch.testing.assert_close(
        before - aim, (began[0] - aim) * pool.sigmas[-2], rtol=1e-3, atol=1e-3
    )
    # all noise levels are there
    assert pool.at.tolist() == [0, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert (pool.captions[0], pool.said[0]) == ("man", {"kind": "man"})
    assert 0.9 < float(pool.x[0].std()) < 1.1  # noise again


def test_of_three_captions_the_one_that_says_most_is_drawn() -> None:
    man = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    pool, captions = a_pool([""] * 56, [man] * 56), ["man, sad", "man", "", ""] * 14
    for step in range(2 * EULER_STEPS):
        pool.step(
            torch.zeros(56, 64, 64),
            Batch(pool.x, captions, [man] * 56, pool.x, (16, 16), 72),
            flow.generator(4, step),
        )
    fullest = [said for said in pool.said if said == {"kind": "man", "mood": "sad"}]
    assert 24 <= len(fullest) <= 44  # of 56, where a quarter is offered: 1 - (3/4)^3


def test_most_trajectories_are_at_their_first_steps() -> None:
    pool = a_pool([""] * 280, [ROWS[0]] * 280)
    other = Batch(pool.x, [""] * 280, [ROWS[0]] * 280, pool.x, (16, 16), 72)
    for step in range(3 * EULER_STEPS):
        pool.step(torch.zeros(280, 64, 64), other, flow.generator(4, step))
    assert int(pool.at.min()) == 0
    assert int(pool.at.max()) == EULER_STEPS - 1
    kept = (1 - own_samples.GIVEN_UP) ** torch.arange(EULER_STEPS)
    expected = float((kept * torch.arange(EULER_STEPS)).sum() / kept.sum())
    # 4.8; all noise levels alike would be 6.5
    assert abs(float(pool.at.float().mean()) - expected) < 0.8


def test_the_student_learns_from_the_critic_and_the_teacher() -> None:
    man = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    torch.manual_seed(0)
    critic, student = AttributeCritic(), Field(0.5)
    pool = a_pool(["man, sad", ""], [man, man])
    pool.strength = torch.ones(2)
    critic_loss, distance, velocity = sample_losses(pool, student, Field(0.25), critic)  # type: ignore[arg-type]
    torch.testing.assert_close(distance, (0.25 * pool.x).square().mean())
    assert not velocity.requires_grad
    [of_critic] = torch.autograd.grad(critic_loss, [student.slope], retain_graph=True)
    [of_teacher] = torch.autograd.grad(distance, [student.slope])
    assert of_critic != 0
    assert of_teacher > 0
    pool.said = [{}, {}]
    assert sample_losses(pool, student, Field(0.5), critic)[:2] == (0, 0)  # type: ignore[arg-type]
