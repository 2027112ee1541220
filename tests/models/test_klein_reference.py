"""FLUX.2 [klein] against the outputs of the original authors' implementation, recorded by
`tests/support/klein_reference.py`."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from fluxbooth.generation import references
from fluxbooth.models import registry
from fluxbooth.models.flux2 import single_file
from fluxbooth.models.flux2.family import Flux2
from tests.support import klein
from tests.support import klein_reference as reference

SIZE = (reference.WIDTH, reference.HEIGHT)
CLOSE: dict[str, Any] = {"rtol": 0.0, "atol": 1e-4}


@pytest.fixture(scope="module")
def flux2(tmp_path_factory: pytest.TempPathFactory) -> Flux2:
    """The same random weights as the reference's, out of files as Black Forest Labs publish
    them."""
    folder = tmp_path_factory.mktemp("original")
    shapes = json.loads(reference.SHAPES.read_text())
    weights = reference.weights(shapes["network"], 1000)
    weights = {name: value for name, value in weights.items() if "guidance_in" not in name}
    save_file(weights, folder / "flux-2-klein-base-4b.safetensors")
    save_file(reference.weights(shapes["autoencoder"], 5000), folder / "ae.safetensors")
    network = single_file.transformer(folder / "flux-2-klein-base-4b.safetensors", torch.float32)
    autoencoder = single_file.autoencoder(folder / "ae.safetensors", torch.float32)
    pipeline = Flux2KleinPipeline(
        FlowMatchEulerDiscreteScheduler(**klein.SCHEDULER), autoencoder, None, None, network
    )
    return Flux2(registry.BASES["flux2-klein-base"], pipeline, torch.float32)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    return load_file(reference.OUTPUTS)


def velocity(flux2: Flux2, guidance: float = 1.0, **beside: Tensor) -> Tensor:
    given = reference.inputs()
    told = {"states": given["states"], **beside}
    with torch.no_grad():
        return flux2.velocity(given["x"], given["sigma"], told, guidance, SIZE)


def test_the_velocity_of_one_pass_is_the_references(
    flux2: Flux2, recorded: dict[str, Tensor]
) -> None:
    torch.testing.assert_close(velocity(flux2), recorded["velocity"], **CLOSE)
    # a base that is not guided by two passes hears no guidance
    torch.testing.assert_close(velocity(flux2, 4.0), recorded["velocity"], **CLOSE)


def test_the_velocity_of_two_passes_is_the_references(
    flux2: Flux2, recorded: dict[str, Tensor]
) -> None:
    told = velocity(flux2, reference.GUIDANCE, empty=reference.inputs()["empty"])
    without, with_text = recorded["velocity-empty"], recorded["velocity"]
    theirs = without + reference.GUIDANCE * (with_text - without)
    torch.testing.assert_close(told, theirs, **CLOSE)
    assert (told - with_text).abs().max() > 0.01  # guidance is heard
    alone = velocity(flux2, 1.0, empty=reference.inputs()["empty"])
    torch.testing.assert_close(alone, with_text, **CLOSE)


@pytest.mark.parametrize("count", [1, 3])
def test_the_velocity_with_references_is_the_references(
    flux2: Flux2, recorded: dict[str, Tensor], count: int
) -> None:
    pictures = reference.pictures()[:count]
    seen = flux2.encode_references([references.fitted(one, "picture") for one in pictures])
    torch.testing.assert_close(seen["references"], recorded[f"references-{count}"], **CLOSE)
    assert torch.equal(seen["reference_ids"], recorded[f"reference-ids-{count}"])
    told = velocity(flux2, **seen)
    torch.testing.assert_close(told, recorded[f"velocity-{count}"], **CLOSE)
    assert (told - recorded["velocity"]).abs().max() > 0.01  # they are seen


def test_packing_is_the_references(flux2: Flux2, recorded: dict[str, Tensor]) -> None:
    noise = reference.inputs()["noise"]
    assert flux2.image_tokens(*SIZE) == recorded["packed"].shape[1]
    assert torch.equal(Flux2KleinPipeline._pack_latents(noise), recorded["packed"])
    assert torch.equal(Flux2KleinPipeline._prepare_latent_ids(noise), recorded["ids"])
    grid = flux2.unpack(recorded["packed"], SIZE)
    assert grid.shape == (1, 32, reference.HEIGHT // 8, reference.WIDTH // 8)
    assert torch.equal(flux2.pack(grid), recorded["packed"])


@pytest.mark.parametrize(("steps", "tokens"), reference.SCHEDULES)
def test_the_schedule_is_the_references(
    flux2: Flux2, recorded: dict[str, Tensor], steps: int, tokens: int
) -> None:
    ours = torch.tensor(flux2.sigmas(steps, (16 * tokens, 16)))
    torch.testing.assert_close(ours, recorded[f"schedule-{steps}-{tokens}"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_whole_sampler_ends_where_the_reference_does(
    flux2: Flux2, recorded: dict[str, Tensor]
) -> None:
    given = reference.inputs()
    latents = flux2.pipeline()(
        width=SIZE[0],
        height=SIZE[1],
        num_inference_steps=reference.STEPS,
        latents=given["noise"],
        output_type="latent",
        **flux2.pipeline_arguments({"states": given["states"][:1]}, 1.0),
    ).images
    statistics = flux2.pipeline().vae.bn
    deviation = torch.sqrt(statistics.running_var + 1e-4)[:, None, None]
    theirs = flux2.unpack(recorded["denoised"], SIZE)
    grid = Flux2KleinPipeline._patchify_latents(latents)
    z = (grid - statistics.running_mean[:, None, None]) / deviation
    torch.testing.assert_close(Flux2KleinPipeline._unpatchify_latents(z), theirs, **CLOSE)


@torch.no_grad()
def test_the_autoencoder_is_the_references(flux2: Flux2, recorded: dict[str, Tensor]) -> None:
    encoded = recorded["encoded"]
    ours = flux2.encode_image(reference.inputs()["picture"])
    torch.testing.assert_close(ours, Flux2KleinPipeline._pack_latents(encoded), **CLOSE)
    decoded = flux2.decode_image(Flux2KleinPipeline._pack_latents(encoded), SIZE)
    torch.testing.assert_close(decoded, recorded["decoded"], **CLOSE)
