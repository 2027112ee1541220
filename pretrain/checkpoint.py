"""One file with everything a stage needs to go on: step, weights, optimiser, written whole or
not at all."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer


def save_state(path: Path, step: int, model: nn.Module, *optimizers: Optimizer) -> None:
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    for i, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer.{i}.{index}.{name}": torch.as_tensor(v).contiguous()
                for name, v in state.items()
            }
    temporary = path.with_suffix(".tmp")
    save_file({k: v.clone() for k, v in tensors.items()}, temporary, {"step": str(step)})
    temporary.rename(path)


def load_state(path: Path, model: nn.Module, *optimizers: Optimizer) -> int:
    """Restores what `save_state` wrote; returns the step to go on from, 0 if there is no file."""
    if not path.exists():
        return 0
    from safetensors import safe_open

    tensors = load_file(path)
    model.load_state_dict(
        {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    )
    for i, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"optimizer.{i}."):
                _, _, index, name = key.split(".", 3)
                state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])
