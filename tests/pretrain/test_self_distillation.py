"""Guidance self-distillation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pretrain import self_distillation
from pretrain.distill import guided
from pretrain.self_distillation import Velocities, consistency_loss, usual, velocities
from tests.support.pretraining import Field


def test_one_pass_is_measured_by_the_classifier_free_guidance_of_its_network() -> None:
    empty, strength = torch.randn(2, 4, 3), torch.tensor([1.0, 3.0])
    toward = torch.ones(2, 4, 3)
    two = empty + torch.tensor([1.0, 3.0]).view(-1, 1, 1)
    field = Velocities(empty + toward, empty, two, strength)
    torch.testing.assert_close(field.guided, two)
    left, gap = field.residual()
    # the second picture is two away
    assert (float(left), float(gap)) == (pytest.approx(0, abs=1e-9), pytest.approx(2.0))
    left, gap = replace(field, conditioned=field.caption).residual()
    assert left == gap
    captions, x, sigma = ["man", "a dog"], torch.randn(2, 4, 3), torch.tensor([0.2, 0.9])
    asked = velocities(Field(0.5), x, sigma, captions, strength, (4, 4))  # type: ignore[arg-type]
    torch.testing.assert_close(
        asked.guided, guided(Field(0.5), x, sigma, Field(0.5).encode(captions), strength, (4, 4))[0]
    )  # type: ignore[arg-type]
    # a field that ignores the strength
    torch.testing.assert_close(asked.conditioned, asked.caption)


def test_at_the_usual_strength_a_student_is_held_to_the_reference() -> None:
    x, sigma = torch.randn(4, 4, 3), torch.tensor([0.2, 0.9, 0.5, 0.1])
    captions, strength = ["man", "a dog", "", "boy"], usual(torch.tensor([1.0, 1.5, 2.0, 5.0]))
    assert strength.tolist() == [3.0, 1.5, 3.0, 5.0]
    student = Field(0.5)
    field, loss = consistency_loss(student, Field(0.25), x, sigma, captions, strength, (4, 4))  # type: ignore[arg-type]
    far = (0.25 * x[::2]).square().mean()
    torch.testing.assert_close(
        loss,
        self_distillation.CONSISTENCY * field.residual()[0] + self_distillation.REFERENCE * far,
    )
    alike = consistency_loss(student, student, x, sigma, captions, strength, (4, 4))[1]  # type: ignore[arg-type]
    torch.testing.assert_close(alike, self_distillation.CONSISTENCY * field.residual()[0])
    [pull] = torch.autograd.grad(loss, [student.slope])
    assert pull > 0  # down, to the reference's
