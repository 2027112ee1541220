"""Adversarial training: the critic must not be taught to look for a secret code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pretrain import adversarial
from pretrain.adversarial import HAIR_REACH, REACH, perturbed, targets
from pretrain.critic import AttributeCritic
from pretrain.people import Person, Shot
from pretrain.renders import Portrait
from pretrain.transformer import Batch


def test_a_picture_is_perturbed_where_the_critic_misreads_it() -> None:
    torch.manual_seed(0)
    critic, answers = AttributeCritic(), [{"mood": "sad"}, {"mood": "angry"}]
    z, reach = torch.randn(2, 64, 64), torch.tensor([0.0, 3.0])
    touched = perturbed(critic, z, (16, 16), answers, reach)
    torch.testing.assert_close((touched - z).norm(dim=(1, 2)), reach)
    assert not touched.requires_grad
    assert critic.heads["mood"].weight.grad is None
    assert all(p.requires_grad for p in critic.parameters())
    chance = z + torch.nn.functional.normalize(torch.randn(2, 4096), dim=1).view(
        2, 64, 64
    ) * reach.view(-1, 1, 1)
    mild, plain, misled = (
        critic.loss(x, (16, 16), answers, noise=0.0).item() for x in (chance, z, touched)
    )
    assert misled - plain > 5 * abs(mild - plain)


def test_every_other_picture_is_to_be_misread_in_its_hair_alone() -> None:
    bald = {"kind": "dog", "background": "beach"}
    asked, reach = targets(
        [{"mood": "sad", "hair": "an afro"}, {"mood": "sad", "hair": "a bob"}, bald, bald]
    )
    assert asked == [{"mood": "sad", "hair": "an afro"}, {"hair": "a bob"}, bald, bald]
    assert reach.tolist() == [REACH, HAIR_REACH, REACH, REACH]


def test_a_critic_learns_to_read_before_adversarial_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    step, touched = -1, []

    def batch_at(*_: object) -> Batch:
        nonlocal step
        step += 1
        return Batch(
            torch.randn(2, 64, 64), ["", ""], [row, row], torch.ones(2, 64, 1), (16, 16), 48
        )

    def misled(critic: AttributeCritic, z: torch.Tensor, *_: object) -> torch.Tensor:
        touched.append(step)
        return z

    monkeypatch.setattr(adversarial, "batch_at", batch_at)
    monkeypatch.setattr(adversarial, "perturbed", misled)
    [(done, loss, _)] = adversarial.train(0, [], [], 8, tmp_path / "critic.safetensors")
    assert (done, touched) == (8, [6, 7])
    assert loss > 0
