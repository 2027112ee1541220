from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fluxbooth.models import registry
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec
from fluxbooth.training import run_folder
from fluxbooth.training.optimizers import learning_rate, make_optimizer

OPTIMIZERS = ("adamw", "adamw8bit", "prodigy")
STEPS, KILLED_AT = 40, 17


def spec(name: str) -> ResolvedTrainSpec:
    asked = TrainSpec.read(
        {"class_name": "man", "base": "flux-dev", "steps": STEPS, "optimizer": name}
    )
    return registry.resolve(asked, 4)


class Fit:
    """Two matrices that learn to make one: their optimiser steps as that of a training."""

    def __init__(self, name: str) -> None:
        draw = torch.Generator().manual_seed(0)
        self.aim = torch.randn(128, 64, generator=draw)
        self.parameters = [
            nn.Parameter(torch.randn(size, generator=draw) / 8) for size in ((128, 32), (32, 64))
        ]
        self.spec = spec(name)
        self.optimizer = make_optimizer(self.spec, self.parameters)

    def learn(self, start: int, end: int) -> float:
        loss = torch.tensor(0.0)
        for step in range(start, end):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.spec, step)
            loss = (self.parameters[0] @ self.parameters[1] - self.aim).square().mean()
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    unbroken, killed, resumed = Fit(name), Fit(name), Fit(name)
    unbroken.learn(0, STEPS)
    killed.learn(0, KILLED_AT)
    save_file(run_folder.optimizer_state(killed.optimizer), tmp_path / "state.safetensors")
    for own, value in zip(resumed.parameters, killed.parameters, strict=True):
        own.data.copy_(value)
    run_folder.restore_optimizer(resumed.optimizer, load_file(tmp_path / "state.safetensors"))
    resumed.learn(KILLED_AT, STEPS)
    for one, other in zip(unbroken.parameters, resumed.parameters, strict=True):
        assert torch.equal(one, other)
    ours, theirs = (run_folder.optimizer_state(fit.optimizer) for fit in (unbroken, resumed))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_checkpoint_of_before_the_groups_were_kept_is_read() -> None:
    killed, resumed = Fit("adamw"), Fit("adamw")
    killed.learn(0, 3)
    state = run_folder.optimizer_state(killed.optimizer)
    old = {key: value for key, value in state.items() if key.startswith("optimizer.")}
    assert old.keys() < state.keys()
    run_folder.restore_optimizer(resumed.optimizer, old)
    assert resumed.optimizer.param_groups[0]["betas"] == (0.9, 0.99)


def test_prodigy_finds_its_own_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert spec("prodigy").learning_rate == 1.0
    assert spec("adamw").learning_rate == registry.BASES["flux-dev"].learning_rate
    asked = TrainSpec(class_name="man", base="flux-dev", optimizer="prodigy", learning_rate=0.5)
    assert registry.resolve(asked, 4).learning_rate == 0.5
    fit = Fit("prodigy")
    began = fit.learn(0, 1)
    assert fit.learn(1, STEPS) < 0.9 * began
    assert fit.optimizer.param_groups[0]["d"] > 1e-4
    assert not capsys.readouterr().out  # where events go with --progress json
