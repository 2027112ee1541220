"""Our family code against the outputs of the original authors' implementation, recorded by
`tests/support/flux_reference.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from safetensors.torch import load_file, save_file
from torch import Tensor

from fluxbooth import InputError
from fluxbooth.models import registry
from fluxbooth.models.comfyui import ALL_IN_ONE
from fluxbooth.models.flux1 import single_file
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.training import flow
from tests.support import flux_reference as reference

# of FLUX.1-dev
SCHEDULER = {
    "use_dynamic_shifting": True,
    "shift": 3.0,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "max_image_seq_len": 4096,
}
SIZE = (reference.WIDTH, reference.HEIGHT)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same random weights as the reference's, in files as Black Forest Labs
    publish them."""
    folder = tmp_path_factory.mktemp("original")
    shapes = json.loads(reference.SHAPES.read_text())
    save_file(reference.weights(shapes["network"], 1000), folder / "flux1-dev.safetensors")
    save_file(reference.weights(shapes["autoencoder"], 5000), folder / "ae.safetensors")
    return folder


@pytest.fixture(scope="module")
def flux(files: Path) -> Flux1:
    network = single_file.transformer(
        files / "flux1-dev.safetensors", torch.float32, axes=reference.NETWORK["axes_dim"]
    )
    autoencoder = single_file.autoencoder(files / "ae.safetensors", torch.float32)
    pipeline = FluxPipeline(
        FlowMatchEulerDiscreteScheduler(**SCHEDULER), autoencoder, None, None, None, None, network
    )
    pipeline.set_progress_bar_config(disable=True)
    return Flux1(registry.BASES["flux-dev"], pipeline, torch.float32)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    return load_file(reference.OUTPUTS)


@pytest.mark.parametrize("guidance", [1.0, reference.GUIDANCE])
@torch.no_grad()
def test_the_velocity_is_the_references(
    flux: Flux1, recorded: dict[str, Tensor], guidance: float
) -> None:
    given = reference.inputs()
    velocity = flux.velocity(
        given["x"],
        given["sigma"],
        {"states": given["states"], "pooled": given["pooled"]},
        guidance,
        SIZE,
    )
    torch.testing.assert_close(velocity, recorded[f"velocity-{guidance}"], rtol=0, atol=1e-4)
    other = recorded[f"velocity-{reference.GUIDANCE if guidance == 1 else 1.0}"]
    assert (velocity - other).abs().max() > 0.01  # guidance is heard


def test_packing_and_position_ids_are_the_references(
    flux: Flux1, recorded: dict[str, Tensor]
) -> None:
    noise = reference.inputs()["noise"]
    assert torch.equal(FluxPipeline._pack_latents(noise, *noise.shape), recorded["packed"])
    rows, columns = reference.HEIGHT // 16, reference.WIDTH // 16
    assert flux.image_tokens(*SIZE) == len(recorded["img_ids"])
    assert torch.equal(
        FluxPipeline._prepare_latent_image_ids(
            1, rows, columns, torch.device("cpu"), torch.float32
        ),
        recorded["img_ids"],
    )
    assert not recorded["txt_ids"].any()  # as `velocity` gives them


@pytest.mark.parametrize(("steps", "tokens"), reference.SCHEDULES)
def test_the_schedule_is_the_references(
    flux: Flux1, recorded: dict[str, Tensor], steps: int, tokens: int
) -> None:
    theirs = recorded[f"schedule-{steps}-{tokens}"]
    scheduler = flux.pipeline().scheduler
    scheduler.set_timesteps(
        sigmas=torch.linspace(1, 1 / steps, steps).tolist(), mu=calculate_shift(tokens)
    )
    torch.testing.assert_close(scheduler.sigmas, theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        flow.shift(torch.linspace(1, 0, steps + 1), calculate_shift(tokens)),
        theirs,
        rtol=0,
        atol=1e-5,
    )


def test_schnells_schedule_is_the_references(recorded: dict[str, Tensor]) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False)
    scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / 4, 4).tolist())
    torch.testing.assert_close(scheduler.sigmas, recorded["schedule-schnell"], rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_whole_sampler_ends_where_the_reference_does(
    flux: Flux1, recorded: dict[str, Tensor]
) -> None:
    given = reference.inputs()
    arguments = flux.pipeline_arguments(
        {"states": given["states"][:1], "pooled": given["pooled"][:1]}, reference.GUIDANCE
    )
    width, height = SIZE
    latents = flux.pipeline()(
        width=width,
        height=height,
        num_inference_steps=reference.STEPS,
        latents=recorded["packed"],
        output_type="latent",
        **arguments,
    ).images
    torch.testing.assert_close(latents, recorded["denoised"], rtol=0, atol=1e-4)
    torch.testing.assert_close(
        FluxPipeline._unpack_latents(latents, height, width, 8),
        recorded["unpacked"],
        rtol=0,
        atol=1e-4,
    )


@torch.no_grad()
def test_the_autoencoder_is_the_references(flux: Flux1, recorded: dict[str, Tensor]) -> None:
    picture, z = reference.inputs()["picture"], recorded["encoded"]
    torch.testing.assert_close(
        flux.encode_image(picture), FluxPipeline._pack_latents(z, *z.shape), rtol=0, atol=1e-4
    )
    vae: AutoencoderKL = flux.pipeline().vae
    decoded = vae.decode(z / vae.config["scaling_factor"] + vae.config["shift_factor"]).sample
    torch.testing.assert_close(decoded, recorded["decoded"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("factor_key", "marks"),
    [("scale_weight", ["scaled_fp8"]), ("weight_scale", ["img_in.comfy_quant"])],
)
def test_an_all_in_one_file_in_scaled_fp8_gives_the_same_network(
    files: Path, flux: Flux1, tmp_path: Path, factor_key: str, marks: list[str]
) -> None:
    """As ComfyUI has them: other models beside the network's prefix, weights in fp8 with a
    factor each."""
    stored = {"vae.decoder.conv_in.weight": torch.zeros(1)} | {
        f"{ALL_IN_ONE}{mark}": torch.zeros(2) for mark in marks
    }
    for name, value in load_file(files / "flux1-dev.safetensors").items():
        full = ALL_IN_ONE + name
        if value.ndim < 2:
            stored[full] = value
            continue
        factor = value.abs().max() / 448
        stored[full] = (value / factor).to(torch.float8_e4m3fn)
        stored[full.removesuffix("weight") + factor_key] = factor
    save_file(stored, tmp_path / "all.safetensors")
    network = single_file.transformer(
        tmp_path / "all.safetensors", torch.float32, axes=reference.NETWORK["axes_dim"]
    )
    exact = flux.network.state_dict()
    for name, value in network.state_dict().items():
        assert (
            (value - exact[name]).abs()
            <= 2**-4 * exact[name].abs() + 2**-9 * exact[name].abs().max()
        ).all(), name
    stored[f"{ALL_IN_ONE}img_in.weight"] = stored[f"{ALL_IN_ONE}img_in.weight"].view(torch.int8)
    save_file(stored, tmp_path / "int8.safetensors")
    with pytest.raises(InputError, match=r"int8\.safetensors is quantised"):
        single_file.transformer(tmp_path / "int8.safetensors", torch.float32)


def test_the_original_layout_is_split_as_diffusers_splits_it(tmp_path: Path) -> None:
    """At FLUX.1's real heights, which diffusers' converter takes for granted; one column of
    each weight is enough."""
    shapes = json.loads(reference.SHAPES.read_text())["network"]
    width = reference.NETWORK["hidden_size"]
    tall = {
        name: [shape[0] * 3072 // width, *([1] if len(shape) > 1 else [])]
        for name, shape in shapes.items()
    }
    tensors = reference.weights(tall, 9000)
    save_file(tensors, tmp_path / "flux1-dev.safetensors")
    ours = dict(single_file.weights(tmp_path / "flux1-dev.safetensors"))
    theirs = convert_flux_transformer_checkpoint_to_diffusers(dict(tensors))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_another_kind_of_file_is_refused_by_name(files: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ae\.safetensors is no FLUX\.1"):
        single_file.transformer(files / "ae.safetensors", torch.float32)
    with pytest.raises(InputError, match=r"flux1-dev\.safetensors holds no autoencoder"):
        single_file.autoencoder(files / "flux1-dev.safetensors", torch.float32)
    (tmp_path / "page.safetensors").write_text("<html>")
    with pytest.raises(InputError, match=r"page\.safetensors"):
        single_file.transformer(tmp_path / "page.safetensors", torch.float32)
    tensors = load_file(files / "flux1-dev.safetensors")
    del tensors["double_blocks.1.img_mlp.0.bias"]
    save_file(tensors, tmp_path / "short.safetensors")
    with pytest.raises(
        InputError,
        match=r"lacks 1 weights of FLUX\.1, such as transformer_blocks\.1\.ff\.net\.0\.proj\.bias",
    ):
        single_file.transformer(
            tmp_path / "short.safetensors", torch.float32, axes=reference.NETWORK["axes_dim"]
        )
