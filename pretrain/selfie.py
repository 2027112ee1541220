"""MediaPipe's selfie segmentation from its wheel into the weights that the package ships: `python -m
pretrain.selfie mediapipe-0.10.21-*.whl` (needs the package ai-edge-litert, which reads it)."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from fluxbooth.generation.enhance.selfie import WEIGHTS, Selfie

MEMBER = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"


def convert(model: bytes) -> dict[str, Tensor]:
    """The state of a `Selfie` in float16, in which the file has it."""
    from ai_edge_litert.interpreter import Interpreter  # pyright: ignore

    interpreter = Interpreter(model_content=model)
    kept = [
        interpreter.get_tensor(tensor["index"])
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] is np.float16
    ]
    # the file has them in the order in which they are used, as the module has
    return {
        name: _as_torch(value, tuple(wanted.shape))
        for (name, wanted), value in zip(Selfie().state_dict().items(), kept, strict=True)
    }


def _as_torch(value: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """Out x height x width x in, or 1 x height x width x channels, as a convolution of that shape
    has it."""
    tensor = torch.tensor(value)
    if tensor.ndim == 4:
        outputs_last = tuple(tensor.shape[:3]) == (1, *shape[2:]) and shape[0] != 1
        tensor = tensor.permute(3, 0, 1, 2) if outputs_last else tensor.permute(0, 3, 1, 2)
    assert tuple(tensor.shape) == shape, (tuple(tensor.shape), shape)
    return tensor.contiguous()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pretrain.selfie", description=__doc__)
    parser.add_argument("wheel", type=Path)
    with zipfile.ZipFile(parser.parse_args().wheel) as wheel:
        save_file(convert(wheel.read(MEMBER)), WEIGHTS)


if __name__ == "__main__":
    main()
