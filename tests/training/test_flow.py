from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from fluxbooth.training import flow


def test_interpolation_starts_at_the_latents_and_ends_at_the_noise() -> None:
    z, eps = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    assert torch.equal(flow.interpolate(z, eps, torch.zeros(3)), z)
    assert torch.equal(flow.interpolate(z, eps, torch.ones(3)), eps)
    mixed = flow.interpolate(z, eps, torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(mixed[0], 0.75 * z[0] + 0.25 * eps[0])
    torch.testing.assert_close(mixed[2], 0.25 * z[2] + 0.75 * eps[2])


def test_an_euler_step_along_the_true_velocity_lands_on_the_latents() -> None:
    z, eps, sigma = torch.randn(2, 6, 8), torch.randn(2, 6, 8), torch.tensor([0.3, 0.9])
    x = flow.interpolate(z, eps, sigma)
    torch.testing.assert_close(x - sigma.view(-1, 1, 1) * (eps - z), z)


def test_the_loss_is_zero_only_at_the_true_velocity_and_computed_in_float32() -> None:
    z, eps = torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    assert flow.velocity_loss(eps - z, z, eps).item() == 0
    assert flow.velocity_loss(z - eps, z, eps).item() == pytest.approx(
        4 * (eps - z).square().mean().item(), rel=1e-5
    )
    assert flow.velocity_loss((eps - z).bfloat16(), z, eps).dtype == torch.float32


@pytest.mark.parametrize("tokens", [64, 256, 1024, 4096])
def test_the_shift_is_that_of_diffusers_scheduler(tokens: int) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    sigmas = torch.linspace(0.05, 0.95, 10)
    scheduler.set_timesteps(sigmas=sigmas.tolist(), mu=calculate_shift(tokens))
    torch.testing.assert_close(
        flow.shift(sigmas, calculate_shift(tokens)),
        scheduler.sigmas[:-1].sort().values,
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_sigma_laws_have_the_distributions_they_are_named_after() -> None:
    draws = {
        law: flow.sample_sigma(law, 20_000, flow.generator(0, 1), 1.15)
        for law in ("logit-normal", "uniform", "shifted")
    }
    for sigma in draws.values():
        assert sigma.min() > 0
        assert sigma.max() < 1
    logits = torch.logit(draws["logit-normal"])
    assert abs(logits.mean()) < 0.03
    assert abs(logits.std() - 1) < 0.03
    assert abs(draws["uniform"].std() - 12**-0.5) < 0.01
    # a shift by e^mu adds mu to the logit
    assert abs(torch.logit(draws["shifted"]).mean() - 1.15) < 0.03


def test_random_numbers_follow_from_their_key_alone() -> None:
    def draw(*key: int) -> torch.Tensor:
        return torch.rand(4, generator=flow.generator(*key))

    assert torch.equal(draw(1, 2, 3), draw(1, 2, 3))
    keys = [(1, 2, 3), (1, 3, 2), (2, 2, 3), (1, 2), (1, 2, 4), (2**32 - 1, 0, 0)]
    assert len({tuple(draw(*key).tolist()) for key in keys}) == len(keys)


def test_a_weighted_loss_is_the_mean_of_each_pictures_weighted_mean() -> None:
    velocity, z, eps = torch.tensor([[1.0, 3.0], [2.0, 0.0]]), torch.zeros(2, 2), torch.zeros(2, 2)
    weight = torch.tensor([[1.0, 0.1], [1.0, 1.0]])
    by_hand = ((1 * 1 + 9 * 0.1) / 1.1 + (4 + 0) / 2) / 2
    assert flow.velocity_loss(velocity, z, eps, weight).item() == pytest.approx(by_hand)
    same = flow.velocity_loss(velocity, z, eps, torch.ones(2, 2))
    torch.testing.assert_close(same, flow.velocity_loss(velocity, z, eps))
