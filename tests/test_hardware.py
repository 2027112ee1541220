"""What is asked of a driver, by a stand-in for torch's side of it."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
import torch

from fluxbooth import hardware
from fluxbooth.hardware import GIB


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A card of 24 GB of which torch holds 20 and uses 2."""
    state = SimpleNamespace(free=3.0, reserved=20.0, allocated=2.0, emptied=0)

    def empty() -> None:
        state.free += state.reserved - state.allocated
        state.reserved = state.allocated
        state.emptied += 1

    monkeypatch.setattr(hardware, "_may_have_gpu", lambda: True)
    for name, value in {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "mem_get_info": lambda: (int(state.free * GIB), 24 * GIB),
        "memory_reserved": lambda: int(state.reserved * GIB),
        "memory_allocated": lambda: int(state.allocated * GIB),
        "get_device_capability": lambda: (8, 9),
        "get_device_name": lambda: "A card",
        "is_bf16_supported": lambda: True,
        "empty_cache": empty,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return state


def test_what_torch_keeps_for_its_next_tensors_is_free(card: SimpleNamespace) -> None:
    found = hardware.gpu()
    assert found is not None and found.free == 21 * GIB and card.emptied == 0


def test_a_plan_is_made_once_all_is_given_back(card: SimpleNamespace) -> None:
    assert hardware.room().device == 21 * GIB
    assert card.emptied == 1 and card.free == 21


def test_nothing_is_asked_of_a_driver_that_was_not_used(
    card: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    hardware.release_memory()
    assert card.emptied == 0


def test_the_allocator_is_settled_unless_its_user_did(monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = hardware.ALLOCATOR
    monkeypatch.setenv(name, "max_split_size_mb:64")
    hardware.settle_allocator()
    assert os.environ[name] == "max_split_size_mb:64"
    monkeypatch.delenv(name)
    hardware.settle_allocator()
    assert os.environ[name] == "expandable_segments:True"
    monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "platform", "win32")
    hardware.settle_allocator()
    assert name not in os.environ


@pytest.mark.parametrize(
    ("cuda", "mps", "device"), [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_networks_work_on_what_is_there(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert hardware.compute_device().type == device


@pytest.mark.parametrize(("newer", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_apples_gpu_shares_main_memory_and_has_bfloat16_from_macos_14(
    monkeypatch: pytest.MonkeyPatch, newer: bool, dtype: str
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(hardware, "free_memory", lambda: 16 * GIB)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: newer)
    room = hardware.room()
    assert (room.device, room.main, room.dtype) == (None, 16 * GIB, dtype)
