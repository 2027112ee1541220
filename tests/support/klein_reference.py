"""What the original authors' FLUX.2 computes with small random weights, recorded once in
tests/data.

    pip install einops
    python -m tests.support.klein_reference CHECKOUT       # of github.com/black-forest-labs/flux2

That code is told a guidance, [klein] is not: the last layer that tells it is zero, so that it adds
nothing. Weights and inputs follow from seeds, so that only names, shapes and outputs are kept.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from tests.support import flux_reference
from tests.support.flux_reference import numbers

DATA = flux_reference.DATA
SHAPES, OUTPUTS = DATA / "klein_reference.json", DATA / "klein_reference.safetensors"
COMMIT = "ab7cca68018ad3ceadcace9d6ecb1bc1f6f46b4e"
NETWORK = {
    "in_channels": 128, "context_in_dim": 48, "hidden_size": 64, "num_heads": 2, "depth": 2,
    "depth_single_blocks": 2, "axes_dim": [8, 8, 8, 8], "theta": 2000, "mlp_ratio": 3.0,
}  # fmt: skip
AUTOENCODER = {
    "resolution": 32, "in_channels": 3, "ch": 32, "out_ch": 3, "ch_mult": [1, 1, 2, 2],
    "num_res_blocks": 1, "z_channels": 32,
}  # fmt: skip
WIDTH, HEIGHT, STEPS, GUIDANCE = 64, 48, 4, 4.0
# steps, image tokens
SCHEDULES = ((4, 12), (4, 4096), (50, 1024), (50, 4096), (50, 8192))
# of references, one not of whole tokens
SIZES = ((96, 64), (80, 80), (70, 100))


def weights(shapes: dict[str, list[int]], seed: int) -> dict[str, Tensor]:
    made = flux_reference.weights(shapes, seed)
    if "bn.running_var" in made:
        made["bn.running_var"] = 0.5 + made["bn.running_var"].abs()
    return {
        name: torch.zeros_like(value) if name == "guidance_in.out_layer.weight" else value
        for name, value in made.items()
    }


def inputs() -> dict[str, Tensor]:
    return {
        "noise": numbers(1, 1, 128, HEIGHT // 16, WIDTH // 16),
        "states": numbers(2, 2, 5, 48),
        "empty": numbers(3, 2, 5, 48),
        "x": numbers(4, 2, WIDTH * HEIGHT // 256, 128),
        "sigma": torch.tensor([0.3, 0.9]),
        "picture": numbers(5, 1, 3, 48, 64).clamp(-1, 1),
    }


def pictures() -> list[Image.Image]:
    return [
        Image.fromarray(np.random.RandomState(i).randint(0, 256, (height, width, 3), np.uint8))
        for i, (width, height) in enumerate(SIZES)
    ]


def record(checkout: Path) -> None:
    sys.path.insert(0, str(checkout / "src"))
    # it wants a GPU's worth of packages; of this one a single function is called
    torchvision: Any = types.ModuleType("torchvision")
    torchvision.transforms = types.SimpleNamespace(ToTensor=lambda: _to_tensor)
    sys.modules["torchvision"] = torchvision
    model, sampling, ae = (
        importlib.import_module(f"flux2.{name}") for name in ("model", "sampling", "autoencoder")
    )
    network = model.Flux2(model.Flux2Params(**NETWORK))
    autoencoder = ae.AutoEncoder(ae.AutoEncoderParams(**AUTOENCODER)).eval()
    shapes = {}
    for key, module, seed in (("network", network, 1000), ("autoencoder", autoencoder, 5000)):
        shapes[key] = {
            name: list(value.shape) for name, value in module.state_dict().items() if value.ndim
        }
        module.load_state_dict(weights(shapes[key], seed), strict=False)
    with torch.no_grad():
        outputs = _outputs(network, autoencoder, sampling)
    SHAPES.write_text(json.dumps(shapes, separators=(",", ":")) + "\n")
    save_file(
        {name: value.contiguous() for name, value in outputs.items()},
        OUTPUTS,
        {"made_with": f"black-forest-labs/flux2@{COMMIT}"},
    )
    OUTPUTS.chmod(0o644)


def _outputs(network: Any, autoencoder: Any, sampling: Any) -> dict[str, Tensor]:
    given, outputs = inputs(), {}
    x, x_ids = sampling.batched_prc_img(given["noise"])
    ids = x_ids.repeat(2, 1, 1)
    outputs |= {"packed": x, "ids": x_ids}

    def velocity(text: str, seen: Tensor | None = None, seen_ids: Tensor | None = None) -> Tensor:
        states, text_ids = sampling.batched_prc_txt(given[text])
        tokens = given["x"] if seen is None else torch.cat([given["x"], seen], 1)
        places = ids if seen_ids is None else torch.cat([ids, seen_ids], 1)
        told = torch.full((2,), GUIDANCE)
        whole = network(tokens, places, given["sigma"], states, text_ids, told)
        return whole[:, : given["x"].shape[1]]

    outputs["velocity"], outputs["velocity-empty"] = velocity("states"), velocity("empty")
    for count in (1, 3):
        # as `encode_image_refs`, which needs a GPU and rounds to bfloat16
        prepared = sampling.default_prep(pictures()[:count], limit_pixels=1024**2)
        encoded = [autoencoder.encode(image[None])[0] for image in prepared]
        times = [torch.tensor([10 + 10 * i]) for i in range(count)]
        tokens, places = sampling.listed_prc_img(encoded, t_coord=times)
        seen, seen_ids = torch.cat(tokens)[None], torch.cat(places)[None]
        outputs |= {f"references-{count}": seen, f"reference-ids-{count}": seen_ids}
        both = seen.repeat(2, 1, 1), seen_ids.repeat(2, 1, 1)
        outputs[f"velocity-{count}"] = velocity("states", *both)
    for steps, tokens in SCHEDULES:
        outputs[f"schedule-{steps}-{tokens}"] = torch.tensor(sampling.get_schedule(steps, tokens))
    states, text_ids = sampling.batched_prc_txt(given["states"][:1])
    schedule = sampling.get_schedule(STEPS, x.shape[1])
    outputs["denoised"] = sampling.denoise(
        network, x, x_ids, states, text_ids, timesteps=schedule, guidance=GUIDANCE
    )
    outputs["encoded"] = autoencoder.encode(given["picture"])
    outputs["decoded"] = autoencoder.decode(outputs["encoded"])
    return outputs


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.tensor(np.asarray(image)).permute(2, 0, 1).float() / 255


if __name__ == "__main__":
    record(Path(sys.argv[1]))
