from __future__ import annotations

import numpy as np
import pytest

from fluxbooth.specs import TrainSpec
from fluxbooth.training import run_warnings

SPEC = TrainSpec(class_name="man", learning_rate=0.01)


@pytest.mark.parametrize("steps", [10, 30, 300])
def test_a_loss_that_ends_far_above_where_it_began_is_said(steps: int) -> None:
    noise = np.random.default_rng(steps).uniform(0.5, 1.5, steps)
    steady, diverged = noise * np.linspace(1.6, 0.8, steps), noise * np.geomspace(1.6, 137, steps)
    assert run_warnings.of_losses(steady.tolist(), SPEC) == []
    (sentence,) = run_warnings.of_losses(diverged.tolist(), SPEC)
    assert "diverged" in sentence and "lower learning rate than 0.01" in sentence


def test_of_a_few_steps_nothing_is_said() -> None:
    assert run_warnings.of_losses([0.4, 0.5, 137.0], SPEC) == []
