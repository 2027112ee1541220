"""A card's memory runs out in spite of the plan: a stand-in raises what torch raises there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fluxbooth import FluxboothError, GenerateSpec, InputError, generate
from fluxbooth.generation import generate as generation
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import frozen_linear, loader, loading, out_of_memory
from fluxbooth.models.family import Family
from fluxbooth.models.out_of_memory import next_choice


def running_out(times: int, work: Callable[..., Any]) -> Callable[..., Any]:
    """Work that runs out of memory the first so many times, at its end."""
    left = [times]

    def tried(*given: Any, **named: Any) -> Any:
        result = work(*given, **named)
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return result

    return tried


def test_speed_is_given_up_in_parts_until_nothing_is_left() -> None:
    choice, seen = Choice(encoders="stay"), list[Choice]()
    while (more := next_choice(choice, 57, training=True)) is not None:
        seen.append(choice := more)
    assert seen[0] == Choice(encoders="leave")
    assert [one.checkpointed for one in seen[:9]] == [0, 8, 16, 24, 32, 40, 48, 56, 57]
    assert [one.offloaded for one in seen[9:]] == [8, 16, 24, 32, 40, 48, 56, 57]
    # what a LoRA learns on stays what it is
    assert {(one.dtype, one.quantisation) for one in seen} == {("bfloat16", "none")}
    # nothing is recomputed where there is no backward pass
    drawing = next_choice(Choice(encoders="cpu"), 57, training=False)
    assert drawing == Choice(encoders="cpu", offloaded=8)


def test_what_fits_nowhere_is_said_once_everything_is_given_up() -> None:
    family, said = loader.load("nano"), list[str]()
    with pytest.raises(InputError, match=r"ran out with everything given up for nano"):
        out_of_memory.retried(family, running_out(1000, lambda: None), said.append, training=True)
    assert family.choice.offloaded == family.choice.checkpointed == family.blocks
    assert "text encoders left the card" in said[0]
    assert f"{family.blocks} of {family.blocks} blocks wait in main memory" in said[-1]


@pytest.mark.parametrize("with_lora", [False, True])
def test_blocks_that_wait_compute_the_same(with_lora: bool) -> None:
    family = loader.load("nano", dtype="float32")
    if with_lora:
        for parameter in lora_training.add(family, 2, 0):
            torch.nn.init.normal_(parameter.data, std=0.02)
    before = _velocity(family)
    family.offload_blocks(2)
    assert isinstance(family.network.transformer_blocks[0].attn.to_q, torch.nn.Module)
    waiting = [m for m in family.network.modules() if isinstance(m, frozen_linear.FrozenLinear)]
    assert len(waiting) == 28  # 14 in each double block
    # a block's weights lie in one piece of memory
    assert len({layer.weight.untyped_storage().data_ptr() for layer in waiting}) == 2
    assert torch.equal(_velocity(family), before)


def test_blocks_that_leave_the_card_while_a_training_stands_aside_stay_away() -> None:
    family = loader.load("nano", dtype="float32")
    for parameter in lora_training.add(family, 2, 0):
        torch.nn.init.normal_(parameter.data, std=0.02)
    before = _velocity(family)
    with lora_training.branches_off(family):
        family.offload_blocks(1)
    layer: Any = family.network.transformer_blocks[0].attn.to_q
    assert isinstance(layer.get_base_layer(), frozen_linear.FrozenLinear)
    assert torch.equal(_velocity(family), before)


@torch.no_grad()
def _velocity(family: Family) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    told = family.encode_text(["a man"], 16)
    x = torch.randn(1, family.image_tokens(64, 64), 64, generator=draw).to(told["states"].dtype)
    return family.velocity(x, torch.full((1,), 0.5), told, 1.0, (64, 64))


def test_a_picture_that_runs_out_of_memory_is_drawn_all_the_same(
    monkeypatch: pytest.MonkeyPatch, lora: Path
) -> None:
    spec = GenerateSpec(base="nano", steps=2, seed=3, loras=(str(lora),))
    (before,) = generate("ohwx man", spec)
    monkeypatch.setattr(generation, "draw", running_out(2, generation.draw))
    events: list[Any] = []
    (after,) = generate("ohwx man", spec, events.append)
    said = [a.message for e in events if e["event"] == "advice" for a in e["advice"]]
    assert sum("GPU memory ran out" in text for text in said) == 2
    assert _same(before.image, after.image)


def _same(one: Image.Image, other: Image.Image) -> bool:
    """Up to what the sums of other threads change."""
    return bool(np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 1)


def test_pinned_memory_is_as_large_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    given_back: list[int] = []

    class Driver:
        def cudaHostRegister(self, place: int, size: int, _: int) -> int:
            asked.append((place, size))
            return 0

        def cudaHostUnregister(self, place: int) -> int:
            given_back.append(place)
            return 0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "cudart", Driver)
    monkeypatch.setattr(torch.cuda, "check_error", lambda code: None)
    weights = [torch.nn.Parameter(torch.randn(96, 96), requires_grad=False) for _ in range(3)]
    homes = frozen_linear.waiting(weights)
    assert all(torch.equal(a, b) for a, b in zip(weights, homes, strict=True))
    ((place, size),) = asked
    assert size == sum(weight.nbytes for weight in weights)
    del homes
    assert given_back == [place]


def test_a_base_for_which_there_is_no_room_any_more_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loading.WeightPlacer, "__call__", full)
    with pytest.raises(FluxboothError, match="GPU memory ran out while nano came into it"):
        loader.load("nano").load_network()
