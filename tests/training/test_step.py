"""One training step, worked out from the formulas with nothing of ours but the random numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fluxbooth.lora import training as lora_training
from fluxbooth.models import registry
from fluxbooth.models.family import Family
from fluxbooth.models.frozen_linear import FrozenLinear, with_low_rank
from fluxbooth.photos import inspection
from fluxbooth.training import dataset as photos
from fluxbooth.training import flow
from fluxbooth.training.loop import step_loss
from fluxbooth.training.optimizers import learning_rate, make_optimizer
from tests.conftest import QUICK


def test_a_training_step_is_the_papers(family: Family, photos_square: Path) -> None:
    pictures = inspection.read(photos_square)
    plain = {"seed": 11, "outside_head": 1.0}  # the papers weigh no heads
    spec = registry.resolve(QUICK.model_copy(update=plain), len(pictures))
    pipeline = family.pipeline()
    vae, t5, clip = pipeline.vae, pipeline.text_encoder_2, pipeline.text_encoder
    tokens_t5 = pipeline.tokenizer_2(
        ["ohwx man"], padding="max_length", max_length=72, return_tensors="pt"
    ).input_ids
    tokens_clip = pipeline.tokenizer(
        ["ohwx man"], padding="max_length", max_length=72, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        states, pooled = t5(tokens_t5)[0], clip(tokens_clip).pooler_output
        pixels = torch.stack([_square(path) for path in sorted(photos_square.glob("*.png"))])
        latents = (
            vae.encode(pixels).latent_dist.mean - vae.config.shift_factor
        ) * vae.config.scaling_factor

    dataset = photos.prepare(pictures, family, spec, photos_square)
    parameters = lora_training.add(family, spec.rank, spec.seed)
    torch.manual_seed(3)
    for parameter in parameters:  # B starts at zero, which would hide half of the gradient
        parameter.data += 0.02 * torch.randn_like(parameter)
    batch = dataset.batch_at(2, spec)
    loss = step_loss(family, batch, spec, 2)
    loss.backward()
    gradients = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]

    draw = flow.generator(11, 3, 2)
    z = torch.stack([_packed(latents[i]) for i in batch.indices])
    eps = torch.randn(z.shape, generator=draw)
    sigma = 1 / (1 + torch.exp(-torch.randn(2, generator=draw)))
    x = (1 - sigma[:, None, None]) * z + sigma[:, None, None] * eps
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    image_ids = torch.stack([torch.zeros(64), rows.flatten(), columns.flatten()], 1)
    for parameter in parameters:
        parameter.grad = None
    predicted = family.network(
        hidden_states=x,
        timestep=sigma,
        guidance=torch.ones(2),
        encoder_hidden_states=states.repeat(2, 1, 1),
        pooled_projections=pooled.repeat(2, 1),
        txt_ids=torch.zeros(72, 3),
        img_ids=image_ids,
    ).sample
    by_hand = ((predicted - (eps - z)) ** 2).mean()
    by_hand.backward()

    assert abs(loss.item() - by_hand.item()) < 1e-5
    assert len(gradients) == len(parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-3, atol=1e-5)


def test_the_first_update_is_adamws(family: Family, photos_square: Path) -> None:
    pictures = inspection.read(photos_square)
    spec = registry.resolve(QUICK, len(pictures))
    dataset = photos.prepare(pictures, family, spec, photos_square)
    parameters = lora_training.add(family, spec.rank, spec.seed)
    optimizer = make_optimizer(spec, parameters)
    optimizer.param_groups[0]["lr"] = rate = learning_rate(spec, 0)
    before = [p.detach().clone() for p in parameters]
    step_loss(family, dataset.batch_at(0, spec), spec, 0).backward()
    gradients = [p.grad.clone() for p in parameters if p.grad is not None]
    optimizer.step()
    assert rate == spec.learning_rate / 10
    for parameter, old, g in zip(parameters, before, gradients, strict=True):
        # after one step the bias-corrected moments are g and g squared
        expected = old * (1 - rate * 1e-4) - rate * g / (g.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-7)


def test_the_rate_falls_over_the_last_fifth_or_until_it_settles() -> None:
    spec = registry.resolve(QUICK.model_copy(update={"steps": 400}), 4)

    def shares(settle: int | None, *steps: int) -> list[float]:
        own = spec.model_copy(update={"settle_steps": settle})
        return [round(learning_rate(own, step) / own.learning_rate, 3) for step in steps]

    assert shares(None, 0, 9, 319, 360, 399) == [0.1, 1.0, 1.0, 0.55, 0.111]
    assert shares(200, 0, 9, 100, 150, 200, 399) == [0.1, 1.0, 1.0, 0.55, 0.1, 0.1]
    # what settles later than it ends falls over the second half of what there is
    assert shares(1000, 199, 300, 399) == [1.0, 0.55, 0.105]


@pytest.mark.parametrize("frozen", [False, True], ids=["linear", "cast at use"])
@pytest.mark.parametrize("needed", [True, False], ids=["gradient of x", "none"])
def test_a_layer_with_a_lora_has_the_gradients_of_its_formula(frozen: bool, needed: bool) -> None:
    torch.manual_seed(4)
    layer, a, b = nn.Linear(24, 40), torch.randn(3, 24), torch.randn(40, 3)
    layer.weight.data = layer.weight.data.bfloat16().float()  # so that it is the same kept smaller
    x, toward = torch.randn(2, 5, 24), torch.randn(2, 5, 40)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()

    def gradients(work: Callable[..., torch.Tensor]) -> list[torch.Tensor | None]:
        inputs = [
            value.clone().requires_grad_(wanted)
            for value, wanted in ((x, needed), (a, True), (b, True))
        ]
        result = work(*inputs)
        (result * toward).sum().backward()
        return [result.detach(), *(value.grad for value in inputs)]

    layer.requires_grad_(False)
    if frozen:
        layer.weight.data = layer.weight.data.bfloat16()
        layer = FrozenLinear(layer, torch.float32)
    ours = gradients(lambda x, a, b: with_low_rank(x, layer, a, b))
    theirs = gradients(lambda x, a, b: x @ weight.T + bias + (x @ a.T) @ b.T)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_layer_with_a_lora_computes_in_what_autocast_does() -> None:
    torch.manual_seed(5)
    layer, x, a, b = (
        nn.Linear(24, 40).requires_grad_(False),
        *(torch.randn(shape) for shape in ((2, 5, 24), (3, 24), (40, 3))),
    )
    inputs = [value.requires_grad_() for value in (x, a, b)]
    with torch.autocast("cpu", torch.bfloat16):
        result = with_low_rank(x, layer, a, b)
    assert result.dtype == torch.bfloat16
    result.float().square().sum().backward()
    ours = [value.grad for value in inputs]
    exact = x @ layer.weight.T + layer.bias + (x @ a.T) @ b.T
    torch.testing.assert_close(result.float(), exact, rtol=0.02, atol=0.2)
    expected = torch.autograd.grad(exact.square().sum(), inputs)
    for one, other in zip(ours, expected, strict=True):
        assert one is not None and one.dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm()


def _square(path: Path) -> torch.Tensor:
    return torch.tensor(np.asarray(Image.open(path))).permute(2, 0, 1).float() / 127.5 - 1


def _packed(latent: torch.Tensor) -> torch.Tensor:
    """16 x 16 x 16 to 64 tokens of 64: the four neighbours of a 2 x 2 patch, channel by channel."""
    tokens = []
    for row in range(8):
        for column in range(8):
            patch = latent[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            tokens.append(torch.cat([patch[c].reshape(4) for c in range(16)]))
    return torch.stack(tokens)
