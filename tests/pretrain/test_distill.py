"""Classifier-free guidance as the teacher of one pass."""

from __future__ import annotations

import torch

from pretrain.distill import guided
from tests.support.pretraining import Field


def test_classifier_free_guidance_goes_on_past_the_caption() -> None:
    x, sigma = torch.randn(2, 4, 3), torch.tensor([0.2, 0.9])
    field, strength = Field(0.5), torch.tensor([1.0, 4.0])
    target, plain = guided(field, x, sigma, field.encode(["man", "a dog"]), strength, (4, 4))  # type: ignore[arg-type]
    empty = 0.5 * x + sigma.view(-1, 1, 1)
    torch.testing.assert_close(plain, empty + torch.tensor([3.0, 5.0]).view(-1, 1, 1))
    torch.testing.assert_close(target, empty + torch.tensor([3.0, 20.0]).view(-1, 1, 1))
