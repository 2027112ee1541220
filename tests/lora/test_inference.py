"""LoRAs put on a resident base give what a fresh load gives, and leave the plain base behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fluxbooth import GenerateSpec, InputError, generate
from fluxbooth.lora import training as lora_training
from fluxbooth.lora.inference import AdapterCache, apply_loras
from fluxbooth.models import loader
from fluxbooth.models.family import Family

QUICK = GenerateSpec(base="nano", steps=2, seed=4)


@pytest.fixture(scope="module")
def resident() -> Family:
    """nano as it stays in memory from one piece of work to the next; each test leaves it plain."""
    return loader.load("nano", dtype="float32")


def velocity(family: Family) -> torch.Tensor:
    draw = torch.Generator().manual_seed(2)
    told = {
        "states": torch.randn(1, 8, 192, generator=draw),
        "pooled": torch.randn(1, 128, generator=draw),
    }
    with torch.no_grad():
        return family.velocity(
            torch.randn(1, 16, 64, generator=draw), torch.tensor([0.4]), told, 3.5, (64, 64)
        )


def made(
    path: Path, family: Family, rank: int, seed: int, *, every: int = 1, magnitude: bool = False
) -> Path:
    """A LoRA of random weights on every so-manieth layer, strong enough to be seen."""
    draw, tensors = torch.Generator().manual_seed(seed), dict[str, torch.Tensor]()
    for name in family.adapter_targets()[::every]:
        layer = family.network.get_submodule(name)
        assert isinstance(layer, torch.nn.Linear)
        tensors[f"transformer.{name}.lora_A.weight"] = 0.1 * torch.randn(
            rank, layer.in_features, generator=draw
        )
        tensors[f"transformer.{name}.lora_B.weight"] = 0.1 * torch.randn(
            layer.out_features, rank, generator=draw
        )
        if magnitude:
            tensors[f"transformer.{name}.lora_magnitude_vector"] = (
                layer.weight.detach().norm(dim=1) * 1.2
            )
    save_file(tensors, path, {"format": "pt"})
    return path


def freshly_loaded(*loras: tuple[Path, float]) -> torch.Tensor:
    """By diffusers, on a base of its own."""
    family = loader.load("nano", dtype="float32")
    for number, (path, _) in enumerate(loras):
        family.pipeline().load_lora_weights(load_file(path), adapter_name=str(number))
    family.pipeline().set_adapters(
        [str(number) for number in range(len(loras))], [weight for _, weight in loras]
    )
    return velocity(family)


# diffusers loads two LoRAs into one network on purpose
@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute:UserWarning:peft")
def test_whatever_was_worn_before_it_is_as_a_fresh_load(tmp_path: Path, resident: Family) -> None:
    """Of any rank, on fewer layers, two at once, a DoRA: each after the others."""
    plain, cache = velocity(resident), AdapterCache()
    small = made(tmp_path / "small.safetensors", resident, 2, 1)
    large = made(tmp_path / "large.safetensors", resident, 24, 2)
    few = made(tmp_path / "few.safetensors", resident, 4, 3, every=5)
    dora = made(tmp_path / "dora.safetensors", resident, 4, 4, magnitude=True)
    for loras in (
        [(small, 1.0)],
        [(large, 0.7)],
        [(dora, 1.0)],
        [(few, 1.0)],
        [(few, 0.5), (small, -0.8)],
        [(dora, 1.0), (few, 1.0)],
    ):
        with apply_loras(
            resident, [(cache.fetch(path, resident), weight) for path, weight in loras]
        ):
            with_them = velocity(resident)
        torch.testing.assert_close(with_them, freshly_loaded(*loras), rtol=1e-4, atol=1e-5)
        assert (with_them - plain).abs().max() > 1e-2
        assert torch.equal(velocity(resident), plain)


def test_a_training_begins_on_the_plain_base_after_a_picture(
    tmp_path: Path, resident: Family
) -> None:
    cache, path = AdapterCache(), made(tmp_path / "one.safetensors", resident, 4, 1)
    with (
        pytest.raises(KeyboardInterrupt),
        apply_loras(resident, [(cache.fetch(path, resident), 1.0)]),
    ):
        raise KeyboardInterrupt  # a cancel
    targets = resident.adapter_targets()
    with lora_training.removed_after(resident):
        assert len(lora_training.add(resident, 4, 0)) == 2 * len(targets)
    assert resident.adapter_targets() == targets
    assert not any(module._forward_hooks for module in resident.network.modules())


def test_a_lora_is_read_once_and_again_when_its_file_is_another(
    tmp_path: Path, resident: Family
) -> None:
    cache, path = AdapterCache(), made(tmp_path / "one.safetensors", resident, 2, 1)
    first = cache.fetch(path, resident)
    assert cache.fetch(path, resident) is first
    made(path, resident, 3, 2)
    assert cache.fetch(path, resident).file.rank == 3
    assert first.file.rank == 2


def test_a_lora_is_worn_as_it_was_read_whatever_becomes_of_its_file(
    tmp_path: Path, resident: Family
) -> None:
    written_into, removed = (
        made(tmp_path / f"{name}.safetensors", resident, 2, 1) for name in "ab"
    )
    expected = freshly_loaded((removed, 1.0))
    copied = AdapterCache().fetch(written_into, resident)
    mapped = AdapterCache(mapped=True).fetch(removed, resident)
    written_into.write_bytes(bytes(written_into.stat().st_size))
    removed.unlink()
    for adapter in (copied, mapped):
        with apply_loras(resident, [(adapter, 1.0)]):
            torch.testing.assert_close(velocity(resident), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mapped", [False, True])
def test_any_dtype_and_any_place_in_the_file_will_do(
    tmp_path: Path, resident: Family, mapped: bool
) -> None:
    path = made(tmp_path / "one.safetensors", resident, 2, 1)
    halves = {name: value.half() for name, value in load_file(path).items()}
    save_file(halves, path, {"format": "pt", "": "x"})
    length = int.from_bytes(path.read_bytes()[:8], "little")
    # a header of odd length: every number lies across two places
    odd = tmp_path / "odd.safetensors"
    odd.write_bytes(
        (length + 1).to_bytes(8, "little")
        + path.read_bytes()[8 : 8 + length]
        + b" "
        + path.read_bytes()[8 + length :]
    )
    for file in (path, odd):
        for name, layer in AdapterCache(mapped=mapped).fetch(file, resident).layers.items():
            assert layer.plain
            assert torch.equal(
                layer.plain.down, halves.pop(f"transformer.{name}.lora_A.weight").float()
            )
            assert torch.equal(
                layer.plain.up, halves.pop(f"transformer.{name}.lora_B.weight").float()
            )
        assert not halves
        halves = load_file(path)


def test_what_is_expected_is_read_before_it_is_fetched(tmp_path: Path, resident: Family) -> None:
    cache, path = AdapterCache(), made(tmp_path / "one.safetensors", resident, 2, 1)
    assert cache.expect(path, resident).result(timeout=60) is cache.fetch(path, resident)


def test_those_used_longest_ago_leave(tmp_path: Path, resident: Family) -> None:
    a, b, c = (
        made(tmp_path / f"{name}.safetensors", resident, 2, seed) for seed, name in enumerate("abc")
    )
    cache = AdapterCache(most_bytes=2 * a.stat().st_size)
    kept, left = cache.fetch(a, resident), cache.fetch(b, resident)
    cache.fetch(a, resident)
    cache.fetch(c, resident)
    assert cache.fetch(a, resident) is kept
    assert cache.fetch(b, resident) is not left
    alone = AdapterCache(most_bytes=1)
    assert alone.fetch(a, resident).layers.keys() == kept.layers.keys()


def test_half_a_lora_is_refused(tmp_path: Path, resident: Family) -> None:
    path = made(tmp_path / "half.safetensors", resident, 2, 1)
    tensors = load_file(path)
    broken = dict(tensors)
    del broken["transformer.transformer_blocks.0.attn.to_q.lora_B.weight"]
    save_file(broken, path)
    with pytest.raises(
        InputError,
        match=r"only a part of transformer\.transformer_blocks\.0\.attn\.to_q .*download",
    ):
        AdapterCache().fetch(path, resident)


def test_pictures_of_a_resident_base_are_those_of_a_fresh_one(
    tmp_path: Path, resident: Family, lora: Path
) -> None:
    cache, text = AdapterCache(), "a man at the beach"
    spec = QUICK.model_copy(update={"loras": (f"{lora}:0.9",)})
    other = made(tmp_path / "other.safetensors", resident, 8, 1)
    generate(
        [text], QUICK.model_copy(update={"loras": (str(other),)}), family=resident, cache=cache
    )
    again = generate([text], spec, family=resident, cache=cache)[0]
    fresh = generate([text], spec)[0]
    assert np.array_equal(np.asarray(again.image), np.asarray(fresh.image))
