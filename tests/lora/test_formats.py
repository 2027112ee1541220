"""Every LoRA file of the world changes nano's weights as it says, by every way in, or is
refused with a reason."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fluxbooth import InputError
from fluxbooth.cli.main import main
from fluxbooth.files import save_tensors
from fluxbooth.lora import file as lora_file
from fluxbooth.lora import training as lora_training
from fluxbooth.lora.convert import convert
from fluxbooth.lora.inference import AdapterCache, _Branch, apply_loras
from fluxbooth.lora.layers import Layer, LowRank
from fluxbooth.models import frozen_linear, loader
from fluxbooth.models.family import Family
from fluxbooth.models.flux1.bases import NANO
from tests.support import lora_files
from tests.support.lora_files import Case

WEIGHTS = lora_files.nano_weights()
CASES = lora_files.cases(WEIGHTS)
READ = [case for case in CASES if not case.refused]
REFUSED = [case for case in CASES if case.refused]


def by_name(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(scope="module")
def resident() -> Family:
    return loader.load("nano", dtype="float32")


def wanted(case: Case, layer: str) -> Tensor:
    """W' - W, by hand."""
    weight = WEIGHTS[layer]
    change = case.changes.get(layer, torch.zeros_like(weight))
    if layer not in case.scaled:
        return change
    lengths, axis = case.scaled[layer]
    whole = weight + change
    return whole * (lengths.unsqueeze(axis) / whole.norm(dim=axis, keepdim=True)) - weight


@torch.no_grad()
def matrices(family: Family) -> dict[str, Tensor]:
    """What each Linear multiplies its input with, its hooks included."""
    found = {}
    for name, layer in family.network.named_modules():
        if isinstance(layer, nn.Linear):
            nothing = layer(torch.zeros(1, layer.in_features))
            found[name] = (layer(torch.eye(layer.in_features)) - nothing).T
    return found


@by_name(READ)
def test_what_is_drawn_with_is_what_the_file_means(
    tmp_path: Path, resident: Family, case: Case
) -> None:
    with apply_loras(resident, [(AdapterCache().fetch(case.write(tmp_path), resident), 1.0)]):
        with_it = matrices(resident)
    assert case.changes.keys() <= with_it.keys() == WEIGHTS.keys()
    for layer, weight in WEIGHTS.items():
        expected = wanted(case, layer)
        tolerance = case.tolerance * max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(
            with_it[layer] - weight,
            expected,
            rtol=0,
            atol=2 * tolerance,
            msg=lambda m, at=layer: f"{at}: {m}",
        )


@by_name(READ)
def test_a_converted_file_means_the_same(tmp_path: Path, case: Case) -> None:
    source, target = case.write(tmp_path), tmp_path / "converted.safetensors"
    if case.not_converted:
        with pytest.raises(InputError, match=case.not_converted):
            convert(source, target, "diffusers")
        assert not target.exists()
        return
    convert(source, target, "diffusers")
    written = load_file(target)
    layers = {
        name.removesuffix(".lora_A.weight") for name in written if name.endswith(".lora_A.weight")
    }
    assert {name.removeprefix("transformer.") for name in layers} >= {
        name for name, value in case.changes.items() if value.any()
    }
    for layer in layers:
        a = written.pop(f"{layer}.lora_A.weight").float()
        b = written.pop(f"{layer}.lora_B.weight").float()
        plain = layer.removeprefix("transformer.")
        expected = case.changes.get(plain, torch.zeros_like(WEIGHTS[plain]))
        torch.testing.assert_close(b @ a, expected, rtol=1e-4, atol=20 * case.tolerance)
        if plain in case.scaled:
            assert torch.equal(written.pop(f"{layer}.lora_magnitude_vector"), case.scaled[plain][0])
    assert not written


@by_name(
    [case for case in READ if not case.scaled and not case.not_converted and case.tolerance < 1e-3]
)
def test_by_way_of_kohyas_format_it_draws_the_same(
    tmp_path: Path, resident: Family, case: Case
) -> None:
    convert(case.write(tmp_path), tmp_path / "k.safetensors", "kohya")
    with apply_loras(resident, [(AdapterCache().fetch(tmp_path / "k.safetensors", resident), 1.0)]):
        with_it = matrices(resident)
    for layer, change in case.changes.items():
        torch.testing.assert_close(with_it[layer] - WEIGHTS[layer], change, rtol=1e-4, atol=1e-4)


@by_name(REFUSED)
def test_what_will_not_do_is_refused_with_its_reason(
    tmp_path: Path, resident: Family, case: Case
) -> None:
    path = case.write(tmp_path)
    with pytest.raises(InputError, match=rf"{re.escape(str(path))} .*({case.refused})"):
        AdapterCache().fetch(path, resident)


def test_the_command_line_says_the_reason_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for case in REFUSED:
        path = case.write(tmp_path)
        assert main(["lora", "info", str(path), "--json"]) in (0, 2)
        capsys.readouterr()
        if "architecture" in case.refused or "infinite" in case.refused:
            continue  # known only beside the base, or by its numbers: see above
        command = [
            "generate",
            "a man",
            "--base",
            "nano",
            "--steps",
            "1",
            "--lora",
            str(path),
            "--out",
            str(tmp_path / "out"),
        ]
        assert main(command) == 2, case.name
        assert re.search(case.refused, capsys.readouterr().err), case.name


def test_peft_tells_the_strength_in_a_file_beside(tmp_path: Path, resident: Family) -> None:
    plain = {lora_files.Q: lora_files.pair(256, 256)}
    path = tmp_path / "adapter_model.safetensors"
    save_file(lora_files.named(plain, "base_model.model."), path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 12}))
    with apply_loras(resident, [(AdapterCache().fetch(path, resident), 0.5)]):
        change = matrices(resident)[lora_files.Q] - WEIGHTS[lora_files.Q]
    torch.testing.assert_close(
        change, 0.5 * lora_files.products(plain, 3)[lora_files.Q], rtol=1e-4, atol=1e-5
    )


def test_loras_of_several_kinds_on_one_layer_add_up(tmp_path: Path, resident: Family) -> None:
    """As peft has it: each DoRA changes the plain base by itself."""
    chosen = [
        case
        for case in READ
        if case.name in ("plain", "dora", "loha", "lokr_fused", "kohya_dora_inputs")
    ]
    loras = [(AdapterCache().fetch(case.write(tmp_path), resident), 1.0) for case in chosen]
    with apply_loras(resident, loras):
        with_them = matrices(resident)
    for layer, weight in WEIGHTS.items():
        expected = sum((wanted(case, layer) for case in chosen), torch.zeros_like(weight))
        torch.testing.assert_close(with_them[layer] - weight, expected, rtol=1e-4, atol=1e-4)


def test_a_bias_is_added(tmp_path: Path, resident: Family) -> None:
    plain, bias = {lora_files.Q: lora_files.pair(256, 256)}, torch.randn(256)
    save_file(
        lora_files.named(plain) | {f"transformer.{lora_files.Q}.lora_B.bias": bias},
        tmp_path / "a.safetensors",
    )
    layer, zero = resident.network.get_submodule(lora_files.Q), torch.zeros(1, 256)
    with (
        torch.no_grad(),
        apply_loras(resident, [(AdapterCache().fetch(tmp_path / "a.safetensors", resident), 0.5)]),
    ):
        torch.testing.assert_close(layer(zero)[0], layer.bias + 0.5 * bias)
    convert(tmp_path / "a.safetensors", tmp_path / "d.safetensors", "diffusers")
    assert torch.equal(
        load_file(tmp_path / "d.safetensors")[f"transformer.{lora_files.Q}.lora_B.bias"], bias
    )
    with pytest.raises(InputError, match="has a bias for"):
        convert(tmp_path / "a.safetensors", tmp_path / "k.safetensors", "kohya")


@pytest.mark.parametrize("quantised", [False, True])
def test_a_layer_without_a_bias_is_trained_and_drawn_with(
    resident: Family, quantised: bool
) -> None:
    """As all of FLUX.2's are, also where its weight is kept apart from where it computes."""
    linear = nn.Linear(256, 256, bias=False).requires_grad_(False)
    place = frozen_linear.FrozenLinear(linear, torch.float32) if quantised else linear
    a, b = lora_files.pair(256, 256)
    magnitude, x = torch.rand(256) + 0.5, torch.randn(3, 256)
    changed = linear.weight + b @ a
    hook = place.register_forward_hook(_Branch([(Layer(LowRank(a, b)), 1.0)]))
    torch.testing.assert_close(place(x), x @ changed.T, rtol=1e-4, atol=1e-4)
    hook.remove()
    place.register_forward_hook(_Branch([(Layer(LowRank(a, b), magnitude), 1.0)]))
    changed = changed * (magnitude / changed.norm(dim=1))[:, None]
    torch.testing.assert_close(place(x), x @ changed.T, rtol=1e-4, atol=1e-4)


def test_training_adds_branches_to_layers_without_a_bias() -> None:
    family = loader.load("nano", dtype="float32")
    for name in family.adapter_targets():
        layer = family.network.get_submodule(name)
        layer.bias = None
        family.network.set_submodule(name, frozen_linear.FrozenLinear(layer, torch.float32))
    with torch.enable_grad():
        parameters = lora_training.add(family, 4, 0)
        told = {"states": torch.randn(1, 8, 192), "pooled": torch.randn(1, 128)}
        family.velocity(
            torch.randn(1, 16, 64), torch.tensor([0.4]), told, 3.5, (64, 64)
        ).square().sum().backward()
    assert all(parameter.grad is not None for parameter in parameters)


def test_a_written_lora_may_be_read_by_whom_other_files_may(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)})
        (tmp_path / "other").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_sizes_of_a_base_are_those_of_its_network(resident: Family) -> None:
    from fluxbooth.models.flux1 import layer_sizes

    there = {
        name: (m.out_features, m.in_features)
        for name, m in resident.network.named_modules()
        if isinstance(m, nn.Linear)
    }
    assert layer_sizes.sizes(str(NANO)) == there
    assert len(layer_sizes.sizes("black-forest-labs/FLUX.1-dev")) == 19 * 14 + 38 * 6 + 10


def test_info_tells_kind_and_what_is_left_out(tmp_path: Path) -> None:
    facts = {case.name: lora_file.read(case.write(tmp_path)).describe() for case in READ}
    assert {
        name: facts[name]["format"]
        for name in ("plain", "kohya", "onetrainer", "xlabs", "original", "lokr_lycoris")
    } == {
        "plain": "diffusers",
        "kohya": "kohya",
        "onetrainer": "onetrainer",
        "xlabs": "xlabs",
        "original": "original",
        "lokr_lycoris": "lycoris",
    }
    assert [facts[name]["kind"] for name in ("plain", "loha", "lokr", "dora", "loha_dora")] == [
        "LoRA",
        "LoHa",
        "LoKr",
        "DoRA (LoRA)",
        "DoRA (LoHa)",
    ]
    assert facts["kohya_and_clip"]["left_out"] == ["lora_te1_text_model_encoder_layers_0_mlp_fc1"]
