"""The original single files (`flux1-dev.safetensors`, `ae.safetensors`, ComfyUI's fp8 and all-in-one ones) as diffusers' models.

Nothing is fetched: the architecture follows from the shapes in the file. Weights are cast one by one as they are read, so
that there are never two copies of the base in memory.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from accelerate.utils import set_module_tensor_to_device
from diffusers import AutoencoderKL, FluxTransformer2DModel
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fluxbooth.errors import InputError
from fluxbooth.models.original import SHIFT_FIRST, heights, norm_of, parts_of

ALL_IN_ONE = "model.diffusion_model."  # the network's prefix in files that hold encoders and autoencoder as well
ROPE_AXES = (16, 56, 56)  # of FLUX.1's heads of 128; the one thing that no shape tells
# what ComfyUI's quantised files keep beside the weights, older and newer; of these only the factor of a weight matters here
QUANTISER_KEYS = (".scale_weight", ".weight_scale", ".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")
AUTOENCODER: dict[str, Any] = {
    "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 16, "layers_per_block": 2,
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "norm_num_groups": 32, "sample_size": 1024, "scaling_factor": 0.3611, "shift_factor": 0.1159, "force_upcast": True,
    "use_quant_conv": False, "use_post_quant_conv": False, "mid_block_add_attention": True,
}  # fmt: skip


def transformer(path: str | Path, dtype: torch.dtype, axes: Sequence[int] = ROPE_AXES) -> FluxTransformer2DModel:
    """FLUX.1's network from a file in the original layout, in `dtype`. Raises InputError, naming the file, if it is another kind."""
    with _opened(path) as file:
        stored = {name.removeprefix(ALL_IN_ONE): name for name in file.keys() if name.startswith(ALL_IN_ONE)}  # noqa: SIM118
        stored = stored or {name: name for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(file.get_slice(full).get_shape()) for name, full in stored.items()}
        try:
            config = _config(shapes, axes)
        except KeyError as error:
            raise InputError(f"{path} is no FLUX.1 network in the original layout, it lacks {error}: use flux1-dev.safetensors.") from error
        with init_empty_weights():
            network = FluxTransformer2DModel(**config)
        missing = set(network.state_dict())
        for name in (name for name in stored if not name.endswith(QUANTISER_KEYS)):
            for part, value in _parts(name, _weight(path, file, stored, name)):
                if part not in missing:
                    raise InputError(f"{path} holds {name}, which FLUX.1 does not have: use flux1-dev.safetensors.")
                set_module_tensor_to_device(network, part, "cpu", value.to(dtype))
                missing.remove(part)
    if missing:
        raise InputError(f"{path} lacks {len(missing)} weights of FLUX.1, such as {min(missing)}: download it again.")
    return network.eval().requires_grad_(False)


def _opened(path: str | Path) -> Any:
    try:
        return safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as a safetensors file ({error}): check the path or download it again.") from error


def _config(shapes: dict[str, tuple[int, ...]], axes: Sequence[int]) -> dict[str, Any]:
    width, head = shapes["img_in.weight"][0], shapes["double_blocks.0.img_attn.norm.query_norm.scale"][0]
    return {
        "in_channels": shapes["img_in.weight"][1],
        "out_channels": shapes["final_layer.linear.weight"][0],
        "num_layers": _blocks(shapes, "double_blocks"),
        "num_single_layers": _blocks(shapes, "single_blocks"),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
        "axes_dims_rope": tuple(axes),
    }


def _blocks(shapes: dict[str, tuple[int, ...]], folder: str) -> int:
    return len({name.split(".")[1] for name in shapes if name.startswith(f"{folder}.")})


def _weight(path: str | Path, file: Any, stored: dict[str, str], name: str) -> Tensor:
    """A weight as a number format that can be cast; ComfyUI's scaled fp8 files keep a factor beside each."""
    value = file.get_tensor(stored[name])
    layer = name.removesuffix(".weight")
    factors = [file.get_tensor(stored[key]) for key in (f"{layer}.scale_weight", f"{layer}.weight_scale") if key in stored]
    if not value.is_floating_point() or any(factor.numel() != 1 for factor in factors):
        raise InputError(f"{path} is quantised to something else than fp8 ({name}): use the bf16 or the fp8 file of the same model.")
    return value.float() * factors[0].float().item() if factors else value


def _parts(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """diffusers' parameters that one of the original's is split into."""
    norm = norm_of(name)
    if norm is not None:
        yield norm, value
        return
    layer, kind = name.rsplit(".", 1)
    parts = parts_of(layer.replace(".", "_")) or (layer,)
    if parts[0] == SHIFT_FIRST:
        value = torch.cat(value.chunk(2)[::-1])
    rows = value.split(heights(len(parts), len(value) // sum(heights(len(parts), 1)))) if len(parts) > 1 else [value]
    for part, row in zip(parts, rows, strict=True):
        yield f"{part}.{kind}", row


def autoencoder(path: str | Path, dtype: torch.dtype, config: dict[str, Any] = AUTOENCODER) -> AutoencoderKL:
    """The autoencoder from `ae.safetensors` or an all-in-one file, in `dtype`. Raises InputError, naming the file, for another kind."""
    with _opened(path) as file:
        if not any(name.endswith("decoder.conv_in.weight") for name in file.keys()):  # noqa: SIM118
            raise InputError(f"{path} holds no autoencoder: use ae.safetensors.")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        return AutoencoderKL.from_single_file(str(path), config=folder, dtype=dtype, local_files_only=True)
