"""The peer's training for `bench.likeness`: `python -m bench.diffusers_run SCRIPT SETTINGS` runs
diffusers' train_dreambooth_lora_flux.py with nothing changed in it, behind a gate (`bench.gate`)
that tells the processor seconds of each step. SETTINGS is a list of its arguments."""

from __future__ import annotations

import json
import runpy
import sys

import torch

from bench import gate


def without_cuda() -> None:
    """torchvision's wheel is built beside CUDA and finds none of its operators with a CPU torch;
    the script uses its transforms only."""
    for operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{operator}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )


def main() -> None:
    script, arguments = sys.argv[1], json.loads(sys.argv[2])
    without_cuda()
    told = gate.Gate()
    from accelerate import Accelerator

    backward = Accelerator.backward

    def told_backward(self: Accelerator, loss: torch.Tensor, **named: object) -> None:
        told.losses.append(loss.item())
        backward(self, loss, **named)

    Accelerator.backward = told_backward
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
