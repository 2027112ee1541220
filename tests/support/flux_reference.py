"""What the original authors' FLUX.1 computes with small random weights, recorded once in
tests/data.

    pip install einops
    python -m tests.support.flux_reference CHECKOUT        # of github.com/black-forest-labs/flux

Weights and inputs follow from seeds through numpy's frozen RandomState, so that only names, shapes
and outputs are kept.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

DATA = Path(__file__).parents[1] / "data"
SHAPES, OUTPUTS = DATA / "flux_reference.json", DATA / "flux_reference.safetensors"
COMMIT = "802fb4713906133fcbd0d8dc5351620ca4773036"
NETWORK = {
    "in_channels": 64, "out_channels": 64, "vec_in_dim": 24, "context_in_dim": 48,
    "hidden_size": 64, "mlp_ratio": 4.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 2,
    "axes_dim": [8, 12, 12], "theta": 10_000, "qkv_bias": True, "guidance_embed": True,
}  # fmt: skip
AUTOENCODER = {
    "resolution": 32, "in_channels": 3, "ch": 32, "out_ch": 3, "ch_mult": [1, 1, 2, 2],
    "num_res_blocks": 1, "z_channels": 16, "scale_factor": 0.3611, "shift_factor": 0.1159,
}  # fmt: skip
WIDTH, HEIGHT, STEPS, GUIDANCE = 64, 48, 4, 3.5
# steps, image tokens
SCHEDULES = ((4, 12), (28, 64), (20, 256), (28, 1024), (28, 4096), (50, 4096))


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape)).float()


def weights(shapes: dict[str, list[int]], seed: int) -> dict[str, Tensor]:
    """Weights of a size at which every layer still matters to the output, by name."""
    made = {}
    for i, (name, shape) in enumerate(sorted(shapes.items())):
        drawn = numbers(seed + i, *shape)
        if len(shape) > 1:
            made[name] = drawn / math.sqrt(math.prod(shape[1:]))
        else:
            made[name] = 0.1 * drawn + (
                1 if name.endswith("scale") or ("norm" in name and name.endswith("weight")) else 0
            )
    return made


def inputs() -> dict[str, Tensor]:
    return {
        "noise": numbers(1, 1, 16, HEIGHT // 8, WIDTH // 8),
        "states": numbers(2, 2, 5, NETWORK["context_in_dim"]),
        "pooled": numbers(3, 2, NETWORK["vec_in_dim"]),
        "x": numbers(4, 2, WIDTH * HEIGHT // 256, 64),
        "sigma": torch.tensor([0.3, 0.9]),
        "picture": numbers(5, 1, 3, 32, 32).clamp(-1, 1),
    }


def record(checkout: Path) -> None:
    sys.path.insert(0, str(checkout / "src"))
    # they want a GPU's worth of packages, and nothing here calls them
    for unused in ("conditioner", "image_embedders"):
        stand_in: Any = types.ModuleType(f"flux.modules.{unused}")
        stand_in.__getattr__ = lambda name: object
        sys.modules[stand_in.__name__] = stand_in
    util: Any = types.ModuleType("flux.util")
    util.PREFERED_KONTEXT_RESOLUTIONS = []
    sys.modules["flux.util"] = util
    model, sampling, ae = (
        importlib.import_module(f"flux.{name}")
        for name in ("model", "sampling", "modules.autoencoder")
    )
    network = model.Flux(model.FluxParams(**NETWORK))
    autoencoder = ae.AutoEncoder(ae.AutoEncoderParams(**AUTOENCODER))
    shapes = {}
    for key, module, seed in (("network", network, 1000), ("autoencoder", autoencoder, 5000)):
        shapes[key] = {name: list(value.shape) for name, value in module.state_dict().items()}
        module.load_state_dict(weights(shapes[key], seed))
    with torch.no_grad():
        outputs = _outputs(network, autoencoder, sampling)
    DATA.mkdir(exist_ok=True)
    SHAPES.write_text(json.dumps(shapes, separators=(",", ":")) + "\n")
    save_file(
        {name: value.contiguous() for name, value in outputs.items()},
        OUTPUTS,
        {"made_with": f"black-forest-labs/flux@{COMMIT}"},
    )
    OUTPUTS.chmod(0o644)


def _outputs(network: Any, autoencoder: Any, sampling: Any) -> dict[str, Tensor]:
    given = inputs()
    first = sampling.prepare(
        lambda _: given["states"][:1], lambda _: given["pooled"][:1], given["noise"], "text"
    )
    ids = first["img_ids"].repeat(2, 1, 1), first["txt_ids"].repeat(2, 1, 1)
    outputs = {
        "packed": first["img"],
        "img_ids": first["img_ids"][0],
        "txt_ids": first["txt_ids"][0],
    }
    for guidance in (1.0, GUIDANCE):
        told = torch.full((2,), guidance)
        outputs[f"velocity-{guidance}"] = network(
            given["x"], ids[0], given["states"], ids[1], given["sigma"], given["pooled"], told
        )
    for steps, tokens in SCHEDULES:
        outputs[f"schedule-{steps}-{tokens}"] = torch.tensor(sampling.get_schedule(steps, tokens))
    outputs["schedule-schnell"] = torch.tensor(sampling.get_schedule(4, 4096, shift=False))
    schedule = sampling.get_schedule(STEPS, first["img"].shape[1])
    outputs["denoised"] = sampling.denoise(network, **first, timesteps=schedule, guidance=GUIDANCE)
    outputs["unpacked"] = sampling.unpack(outputs["denoised"], HEIGHT, WIDTH)
    outputs["encoded"] = autoencoder.encode(given["picture"])
    outputs["decoded"] = autoencoder.decode(outputs["encoded"])
    return outputs


if __name__ == "__main__":
    record(Path(sys.argv[1]))
