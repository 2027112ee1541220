"""Bases that are kept smaller than they compute train and serve as the whole one does: narrow
here, at FLUX.1's width in `make slow`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from fluxbooth import generate, train
from fluxbooth import hardware as machine
from fluxbooth.errors import InputError
from fluxbooth.hardware import Room
from fluxbooth.lora import training as lora_training
from fluxbooth.lora.file import read
from fluxbooth.lora.inference import AdapterCache, apply_loras
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import loader, planner, registry
from fluxbooth.models.flux1 import size as shape
from fluxbooth.models.flux1.bases import NANO
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.models.frozen_linear import FrozenLinear
from fluxbooth.specs import GenerateSpec, TrainSpec
from tests.support.meter import Meter

QUANTISED = ("int8", "fp8", "nf4")
KINDS = ("none", *QUANTISED)
WHOLE = Choice("float32", encoders="stay", stored="float32")
# relative difference of all LoRA gradients together from the unquantised base's; measured:
# docs/measurements.md
GRADIENTS = {"int8": 0.02, "fp8": 0.08, "nf4": 0.25}
# of what a LoRA changes in the velocity, from what it changes on the unquantised base
CHANGES = {"none": 1e-4, "int8": 0.02, "fp8": 0.08, "nf4": 0.25}


@dataclass(frozen=True)
class Base:
    """One double and one single block of random weights in a diffusers folder, with nano's
    encoders and autoencoder."""

    folder: Path

    def load(self, choice: Choice) -> Flux1:
        family = loader.load(
            str(self.folder), training=True, choice=replace(choice, encoders="stay")
        )
        assert isinstance(family, Flux1)
        return family


def write(folder: Path, heads: int, head_size: int) -> Base:
    torch.manual_seed(7)
    network = FluxTransformer2DModel(
        num_layers=1,
        num_single_layers=1,
        num_attention_heads=heads,
        attention_head_dim=head_size,
        guidance_embeds=True,
        axes_dims_rope=(head_size // 8, head_size * 7 // 16, head_size * 7 // 16),
        **nano_widths(),
    )
    for part in ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"):
        shutil.copytree(NANO / part, folder / part)
    shutil.copy(NANO / "model_index.json", folder)
    torch.nn.Module.to(network, torch.bfloat16).save_pretrained(folder / "transformer")
    return Base(folder)


def nano_widths() -> dict[str, Any]:
    config = FluxTransformer2DModel.load_config(NANO / "transformer")
    return {name: config[name] for name in ("joint_attention_dim", "pooled_projection_dim")}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return write(tmp_path_factory.mktemp("narrow"), 2, 64)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    """FLUX.1's width: 1.1 GB in bfloat16."""
    folder = tmp_path_factory.mktemp("wide")
    yield write(folder, 24, 128)
    shutil.rmtree(folder)


def gradients(family: Flux1) -> Tensor:
    """Of every weight of a LoRA, for one noisy picture of 64 px and a target that no network
    would guess."""
    parameters = lora_training.add(family, rank=2, seed=0)
    draw = torch.Generator().manual_seed(3)
    # B starts at zero, which would hide half of the gradient; A in the precision that weights are
    # kept in
    for parameter in parameters:
        parameter.data = 0.02 * torch.randn(parameter.shape, generator=draw)
    ((velocity(family) - torch.randn(1, 16, 64, generator=draw)) ** 2).mean().backward()
    found = torch.cat(
        [parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]
    )
    assert len(found) == sum(parameter.numel() for parameter in parameters)
    return found


def velocity(family: Flux1) -> Tensor:
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(1, 16, 64, generator=draw)
    widths = nano_widths()
    told = {
        "states": torch.randn(1, 16, widths["joint_attention_dim"], generator=draw),
        "pooled": torch.randn(1, widths["pooled_projection_dim"], generator=draw),
    }
    return family.velocity(x, torch.tensor([0.6]), told, 1.0, (64, 64))


def apart(a: Tensor, b: Tensor) -> float:
    """Their distance over the second's length."""
    return ((a - b).norm() / b.norm()).item()


def dequantised(family: Flux1) -> dict[str, Tensor]:
    return {
        f"{name}.weight": layer.matrix(torch.device("cpu"))
        for name, layer in family.network.named_modules()
        if isinstance(layer, FrozenLinear)
    }


def check_gradients(base: Base, report: dict[str, float] | None = None) -> None:
    """Those of a quantised base are those of the whole base with its dequantised weights, and
    near those of the base itself."""
    exact = gradients(base.load(WHOLE))
    for kind in QUANTISED:
        family = base.load(replace(WHOLE, quantisation=kind, checkpointed=1))
        layers = family.adapter_targets()
        weights = dequantised(family)
        assert len(weights) == len(layers) == 20
        found = gradients(family)
        twin = base.load(WHOLE)
        twin.network.load_state_dict(weights, strict=False)
        assert apart(found, gradients(twin)) < 1e-4, kind
        difference = apart(found, exact)
        assert 0 < difference < GRADIENTS[kind], (kind, difference)
        if report is not None:
            report[kind] = difference


def test_gradients_of_a_quantised_base(narrow: Base) -> None:
    check_gradients(narrow)


@pytest.mark.slow
def test_gradients_of_a_quantised_base_at_full_width(wide: Base) -> None:
    check_gradients(wide)


def spec(base: Base, kind: str) -> TrainSpec:
    return TrainSpec(
        class_name="man",
        base=str(base.folder),
        quantisation=kind,
        steps=3,
        rank=2,
        batch_size=1,
        resolutions=(64,),
        text_length=16,
        learning_rate=1e-2,
        gradient_checkpointing="some",
    )


def check_loras(
    base: Base, photos: Path, out: Path, report: dict[tuple[str, str], float] | None = None
) -> None:
    """A LoRA trained on one quantisation changes every other one as it changes the whole base."""
    loras = {}
    for kind in KINDS:
        events: list[dict[str, Any]] = []
        loras[kind] = train(photos, spec(base, kind), out / kind, events.append).lora
        assert events[0]["event"] == "plan"
        assert (events[0]["quantisation"], events[0]["checkpointed"]) == (kind, 1)
        assert read(loras[kind]).describe()["spec"]["quantisation"] == kind
    changes: dict[tuple[str, str], Tensor] = {}
    for serving in KINDS:
        family = base.load(replace(WHOLE, quantisation=serving))
        with torch.no_grad():
            before = velocity(family)
            for trained, path in loras.items():
                with apply_loras(family, [(AdapterCache().fetch(path, family), 1.0)]):
                    changes[trained, serving] = velocity(family) - before
    for (trained, serving), change in changes.items():
        difference = apart(change, changes[trained, "none"])
        if report is not None:
            report[trained, serving] = difference
        assert changes[trained, "none"].norm() > 0
        assert difference <= CHANGES[serving], (trained, serving, difference)


def test_a_lora_of_one_quantisation_works_on_every_other(
    narrow: Base, photos: Path, tmp_path: Path
) -> None:
    check_loras(narrow, photos, tmp_path)


@pytest.mark.slow
def test_a_lora_of_one_quantisation_works_on_every_other_at_full_width(
    wide: Base, photos: Path, tmp_path: Path
) -> None:
    check_loras(wide, photos, tmp_path)


def check_pictures(base: Base) -> None:
    pictures = {}
    for kind in KINDS:
        events: list[dict[str, Any]] = []
        asked = GenerateSpec(
            base=str(base.folder), quantisation=kind, seed=1, width=64, height=64, steps=2
        )
        pictures[kind] = torch.tensor(
            list(generate(["a man"], asked, events.append)[0].image.tobytes())
        ).float()
        assert events[0]["quantisation"] == kind
    nearness = [(pictures[kind] - pictures["none"]).abs().mean().item() for kind in KINDS]
    assert nearness[0] == 0 and nearness[1] < nearness[3] < 40


def test_a_quantised_base_draws(narrow: Base) -> None:
    check_pictures(narrow)


@pytest.mark.slow
def test_a_quantised_base_draws_at_full_width(wide: Base) -> None:
    check_pictures(wide)


def test_weights_are_quantised_as_they_arrive(narrow: Base) -> None:
    """While a base arrives there is never more of it than there will be and a few copies of one
    weight."""
    family = loader.load(
        str(narrow.folder), training=True, choice=Choice("float32", "int8", encoders="leave")
    )
    largest = max(p.numel() for p in family.network.parameters()) * 4
    with Meter() as meter:
        family.load_network()
    linear = sum(
        layer.weight.numel()
        for layer in family.network.modules()
        if isinstance(layer, FrozenLinear)
    )
    other = sum(p.numel() for p in family.network.parameters()) - linear
    assert meter.peak < linear * 1.1 + other * 4 + 4 * largest
    assert meter.peak < linear * 4  # the unquantised base


def test_bfloat16_weights_are_computed_with_in_float32(narrow: Base) -> None:
    kept = narrow.load(Choice("float32", stored="bfloat16"))
    assert {
        layer.weight.dtype for layer in kept.network.modules() if isinstance(layer, FrozenLinear)
    } == {torch.bfloat16}
    assert apart(gradients(kept), gradients(narrow.load(WHOLE))) < 1e-5


def test_blocks_that_wait_give_the_same_gradients(narrow: Base) -> None:
    for kind in ("none", "int8", "nf4"):
        family = narrow.load(replace(WHOLE, quantisation=kind, offloaded=1))
        waiting = [
            name
            for name, layer in family.network.named_modules()
            if isinstance(layer, FrozenLinear)
        ]
        assert kind != "none" or {name.split(".")[0] for name in waiting} == {"transformer_blocks"}
        torch.testing.assert_close(
            gradients(family),
            gradients(narrow.load(replace(WHOLE, quantisation=kind))),
            rtol=1e-5,
            atol=1e-8,
        )


def test_what_does_not_fit_is_quantised(
    narrow: Base, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan that is printed is the one that is applied, and a resumed run keeps to it."""
    # so many pictures a step that the step and not the encoding of photos needs the most
    update = {"gradient_checkpointing": "auto", "dtype": "float32", "batch_size": 64}
    asked = registry.resolve(spec(narrow, "auto").model_copy(update=update), 4)
    size = shape.of(str(narrow.folder))
    whole = [
        Choice("float32", checkpointed=count, encoders="leave", stored="bfloat16")
        for count in range(3)
    ]
    needed = min(
        estimate.estimate(size, planner.job(asked), choice, gpu=False).main for choice in whole
    )
    monkeypatch.setattr(machine, "free_memory", lambda: needed - 1)
    plan = planner.training(asked)
    assert plan.choice.quantisation == "int8"
    assert "int8 base" in plan.why
    events: list[dict[str, Any]] = []
    made = train(photos, asked, tmp_path / "run", events.append)
    assert events[0]["why"] == plan.why
    assert read(made.lora).describe()["spec"]["quantisation"] == "int8"
    # as if it had been stopped after its last checkpoint, and there were more memory now
    made.lora.unlink()
    monkeypatch.setattr(machine, "free_memory", lambda: 2**40)
    train(photos, asked, tmp_path / "run", events.append)
    assert [event["quantisation"] for event in events if event["event"] == "plan"] == [
        "int8",
        "int8",
    ]


def test_settings_that_cannot_be_are_refused(narrow: Base) -> None:
    for update in ({"offload_blocks": 1}, {"encoders": "cpu"}):
        with pytest.raises(InputError, match="There is no GPU here"):
            planner.training(
                registry.resolve(spec(narrow, "none").model_copy(update=update), 4),
                Room(None, 2**40),
            )
    with pytest.raises(InputError, match="is in memory with quantisation int8, not nf4"):
        planner.training(registry.resolve(spec(narrow, "nf4"), 4), there=Choice("float32", "int8"))


def test_the_dtype_is_one_that_this_processor_is_fast_in(narrow: Base) -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or "flags" not in cpuinfo.read_text() or machine.gpu() is not None:
        pytest.skip("only Linux on x86 without a GPU tells it in another way")
    hardware = any(flag in cpuinfo.read_text().split() for flag in ("avx512_bf16", "amx_tile"))
    dtype = "bfloat16" if hardware else "float32"
    plan = planner.training(registry.resolve(spec(narrow, "none"), 4))
    assert plan.choice.dtype == dtype
    assert ("because this processor has no bfloat16 arithmetic" in plan.why) == (not hardware)
    assert planner.generation(GenerateSpec(base=str(narrow.folder)), 64).choice.dtype == dtype
    family = loader.load(str(narrow.folder))
    assert family.dtype == getattr(torch, dtype)
    if not hardware:
        encoders = (family.pipeline().text_encoder, family.pipeline().text_encoder_2)
        linear = [
            layer
            for encoder in encoders
            for layer in encoder.modules()
            if isinstance(layer, nn.Linear)
        ]
        assert linear and all(
            isinstance(layer, FrozenLinear) and layer.dtype == torch.float32 for layer in linear
        )
        assert family.encode_text(["a man"], 16)["states"].dtype == torch.float32
    asked = spec(narrow, "none").model_copy(update={"dtype": "bfloat16"})
    assert ("as asked, many times slower" in planner.training(registry.resolve(asked, 4)).why) == (
        not hardware
    )


# the tables in docs/measurements.md: python -m tests.models.test_frozen_linear 24 128
if __name__ == "__main__":
    import sys
    import tempfile

    from fluxbooth.evaluation import demo

    with tempfile.TemporaryDirectory() as place:
        made = write(Path(place) / "base", int(sys.argv[1]), int(sys.argv[2]))
        of_gradients: dict[str, float] = {}
        check_gradients(made, of_gradients)
        print(of_gradients, flush=True)
        of_changes: dict[tuple[str, str], float] = {}
        few = Path(place) / "photos"  # the validation of more would take longer than the steps
        few.mkdir()
        for photo in sorted(demo.PHOTOS.glob("*.png"))[:4]:
            shutil.copy(photo, few)
        check_loras(made, few, Path(place) / "out", of_changes)
        for serving in KINDS:
            print(serving, {trained: of_changes[trained, serving] for trained in KINDS})
