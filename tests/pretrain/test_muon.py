from __future__ import annotations

import torch
from torch import nn

from pretrain.muon import Muon, orthogonal


def test_singular_values_come_near_one() -> None:
    random = torch.Generator().manual_seed(0)
    for shape in ((3, 16, 64), (2, 64, 16)):
        made = orthogonal(torch.randn(shape, generator=random))
        assert made.shape == shape
        values = torch.linalg.svdvals(made)
        assert values.min() > 0.5 and values.max() < 1.3


def test_a_step_has_the_size_of_adamws() -> None:
    weight = nn.Parameter(torch.zeros(32, 64))
    # the size of a gradient does not matter
    weight.grad = torch.randn(32, 64, generator=torch.Generator().manual_seed(1)) * 1e-6
    Muon([weight], lr=0.1, weight_decay=0.0).step()
    size = weight.detach().square().mean().sqrt().item()
    assert 0.5 * 0.2 * 0.1 < size < 1.5 * 0.2 * 0.1


def test_a_resumed_optimiser_goes_on() -> None:
    def run(steps: int, weight: nn.Parameter, optimizer: Muon, first: int = 0) -> None:
        for step in range(first, steps):
            weight.grad = torch.randn(8, 8, generator=torch.Generator().manual_seed(step))
            optimizer.step()

    whole = nn.Parameter(torch.eye(8))
    run(4, whole, Muon([whole], lr=0.01))
    broken = nn.Parameter(torch.eye(8))
    first = Muon([broken], lr=0.01)
    run(2, broken, first)
    second = Muon([broken], lr=0.01)
    second.load_state_dict(first.state_dict())
    run(4, broken, second, first=2)
    assert torch.equal(whole, broken)


def test_muon_makes_a_convolution_of_its_filters_half_orthogonal() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(8, 16, 3, bias=False)
    before = layer.weight.detach().clone()
    layer(torch.randn(2, 8, 9, 9)).square().mean().backward()
    Muon([layer.weight], lr=1.0, weight_decay=0.0).step()
    update = (before - layer.weight.detach()).flatten(1)
    values = torch.linalg.svdvals(update) / (0.2 * 72**0.5)
    assert values.min() > 0.6
    assert values.max() < 1.3
