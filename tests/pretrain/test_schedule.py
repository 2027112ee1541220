"""Learning rates and steps down several gradients."""

from __future__ import annotations

import pytest
import torch

from pretrain.schedule import descend, set_rate


def test_a_stage_learns_slowly_at_first_and_at_last() -> None:
    optimizers = [torch.optim.SGD([torch.zeros(1)]), torch.optim.SGD([torch.zeros(1)])]
    rates = []
    for step in range(100):
        set_rate(optimizers, 3.0, step, 100, warmup=10)
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])
    assert rates[0] == [pytest.approx(0.3)] * 2
    assert rates[9:51] == [[3.0, 3.0]] * 42
    assert rates[75] == [pytest.approx(3 * 0.52)] * 2
    assert rates[99] == [pytest.approx(3 * 0.04)] * 2


def test_a_step_goes_down_all_gradients_and_no_further_than_allowed() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    optimizers = [torch.optim.SGD(network.parameters(), lr=1.0)]
    (0.25 * network.weight.sum()).backward()
    descend(0.25 * network.weight.sum(), optimizers)
    assert network.weight.item() == 0.5
    assert network.weight.grad is None
    descend(100 * network.weight.sum(), optimizers, network)
    assert network.weight.item() == pytest.approx(-0.5)
