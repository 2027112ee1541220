"""The critic reads named attributes, and is taught nothing else."""

from __future__ import annotations

import pytest
import torch

from pretrain.critic import AttributeCritic, said_and_unsaid
from pretrain.people import Person, Shot
from pretrain.renders import Portrait


def test_what_is_said_and_what_is_not_are_all_that_can_be_seen() -> None:
    row = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0),
    )
    [said, nothing], [unsaid, everything] = said_and_unsaid(
        [row, row], ["man with a beard, sad", ""]
    )
    assert said == {"kind": "man", "beard": "a beard", "mood": "sad"}
    assert not said.keys() & unsaid.keys()  # else the two could agree on a code
    assert said | unsaid == row.answers() == everything
    assert nothing == {}


def test_the_critic_s_loss_is_of_named_attributes_alone() -> None:
    torch.manual_seed(0)
    critic = AttributeCritic()
    z = torch.randn(2, 64, 64, requires_grad=True)
    critic.loss(z, (16, 16), [{"mood": "sad"}, {}]).backward()
    assert z.grad is not None
    assert z.grad[0].abs().sum() > 0
    assert z.grad[1].abs().sum() == 0
    assert critic.heads["mood"].weight.grad is not None
    assert float(critic.heads["hair"].weight.grad.abs().sum()) == 0  # type: ignore[union-attr]


def test_the_critic_can_count_an_attribute_twice() -> None:
    torch.manual_seed(0)
    critic, z = AttributeCritic(), torch.randn(1, 64, 64)
    both = [{"mood": "sad", "hair": "an afro"}]

    def loss(said: list[dict[str, str]], counts: dict[str, float]) -> float:
        return critic.loss(z, (16, 16), said, noise=0.0, counts=counts).item()

    assert loss(both, {"hair": 2.0}) == pytest.approx(
        loss(both, {}) + loss([{"hair": "an afro"}], {})
    )
