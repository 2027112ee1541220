"""Adapters: put a LoRA into a network, write it as diffusers reads it, load it back."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from peft import (
    LoraConfig,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_peft_model_state_dict,
)
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from fluxbooth.errors import InputError
from fluxbooth.files import folder_name, save_tensors, tensors_sha256
from fluxbooth.lora import file as lora_file
from fluxbooth.lora import layers as lora_layers
from fluxbooth.lora.layers import LowRank
from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.models.family import Family
from fluxbooth.models.frozen_linear import FrozenLinear, with_low_rank
from fluxbooth.specs import ResolvedTrainSpec
from fluxbooth.version import __version__

ADAPTER = "default"
PREFIX = "transformer."  # diffusers' name of the network in a LoRA file


def add(family: Family, rank: int, seed: int) -> list[nn.Parameter]:
    """Freezes the network and gives each of its target layers a LoRA branch: W x + B A x, alpha =
    rank.

    A is drawn from `seed`, B is zero, so that training starts at the base. Returns the trainable
    parameters, in float32.
    """
    family.network.requires_grad_(False)
    config = _config(family.adapter_targets(), rank)
    config._register_custom_module({nn.Linear: _Adapted})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, family.network, ADAPTER)
    follow_base(family)
    trainable = [p for p in family.network.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.data = parameter.data.float()
    return trainable


def follow_base(family: Family) -> None:
    """Puts branches where their layer computes, and in what; peft puts them where its weight is
    kept, and in that."""
    for layer in family.network.modules():
        if isinstance(layer, LoraLayer) and isinstance(
            base := layer.get_base_layer(), FrozenLinear
        ):
            for branches in (layer.lora_A, layer.lora_B):
                branches.to(family.device, base.dtype)


class _Adapted(LoraLinear):
    """W x + B A x for training: peft's layer without what costs time and memory.

    float32 weights are cast to what they multiply; peft casts the input instead, and autograd keeps
    that copy for each layer. Both products and their gradients are added up in place
    (`models/frozen_linear.py`), and alpha = rank needs no scaling.
    """

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        a = cast(nn.Linear, self.lora_A[ADAPTER]).weight
        b = cast(nn.Linear, self.lora_B[ADAPTER]).weight
        return with_low_rank(x, cast(nn.Linear, self.base_layer), a, b)


def _config(layers: list[str], rank: int) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=rank, target_modules=layers, lora_dropout=0.0, bias="none")


@contextlib.contextmanager
def removed_after(family: Family | None) -> Iterator[None]:
    """Takes every adapter off the network at the end, so that a base that stays in memory is
    the plain base again."""
    try:
        yield
    finally:
        if family is not None:
            family.checkpoint_gradients(0)
            recurse_remove_peft_layers(family.network)
            # else diffusers still counts an adapter
            for leftover in ("peft_config", "_hf_peft_config_loaded"):
                family.network.__dict__.pop(leftover, None)


@contextlib.contextmanager
def branches_off(family: Family) -> Iterator[None]:
    """Inside, the network is the plain base while a training is under way: each adapted layer's own
    Linear stands in its place, for peft's `enable_adapters(False)` does not reach `_Adapted`. The
    branches, their gradients and their optimiser stay as they are."""
    network = family.network
    adapted = {
        name: layer for name, layer in network.named_modules() if isinstance(layer, LoraLayer)
    }
    for name, layer in adapted.items():
        network.set_submodule(name, layer.get_base_layer())
    try:
        yield
    finally:
        for name, layer in adapted.items():
            network.set_submodule(name, cast(nn.Module, layer))


def tensors(family: Family) -> dict[str, Tensor]:
    """The LoRA's weights by their names in a diffusers LoRA file."""
    state = get_peft_model_state_dict(family.network, adapter_name=ADAPTER)
    return {PREFIX + name: value.detach().contiguous() for name, value in state.items()}


def restore(family: Family, weights: dict[str, Tensor]) -> None:
    """Sets the weights of an added LoRA; the reverse of `tensors`."""
    state = {name.removeprefix(PREFIX): value for name, value in weights.items()}
    set_peft_model_state_dict(family.network, state, ADAPTER)


def read_to_train_on(path: str | Path, rank: int, base: Base) -> dict[str, LowRank]:
    """The layers of a LoRA that a training of this rank on a base can begin with.

    Raises InputError for one of another kind of base, a DoRA, a LoHa, a LoKr, another rank.
    """
    file = lora_file.read(path, base)
    layers = lora_layers.read(file)
    plain = {name: layer.plain for name, layer in layers.items() if layer.plain}
    if plain.keys() != layers.keys():
        raise InputError(
            f"{path} is a {file.kind}, which cannot be trained on: begin with a LoRA, or "
            "without --continue-from."
        )
    found = max(layer.rank for layer in plain.values())
    if found != rank:
        raise InputError(f"{path} has rank {found}, not {rank}: add --rank {found} to train it on.")
    return plain


def continue_from(family: Family, path: str | Path, rank: int) -> None:
    """Starts an added LoRA from the weights of a file of the same rank.

    Layers of a lower one, or absent, have room to grow.
    """
    check(path, family)
    added = dict(family.network.named_modules())
    for name, layer in read_to_train_on(path, rank, family.row).items():
        place = added[name]
        if not isinstance(place, LoraLayer):
            raise InputError(
                f"{path} adapts {name}, which is not trained: use a LoRA of the blocks' "
                "layers alone."
            )
        for branches, value, dim in ((place.lora_A, layer.down, 0), (place.lora_B, layer.up, 1)):
            weight = cast(nn.Linear, branches[ADAPTER]).weight.data
            weight.narrow(dim, 0, layer.rank).copy_(value)


def check(path: str | Path, family: Family) -> lora_file.LoraFile:
    """The header of a LoRA that fits the family's network.

    Raises InputError if it was made for another architecture.
    """
    file = lora_file.read(path, family.row)
    # under an added LoRA, the Linear itself is called base_layer
    modules = family.network.named_modules()
    sizes = {
        name.removesuffix(".base_layer"): (m.out_features, m.in_features)
        for name, m in modules
        if isinstance(m, nn.Linear)
    }
    lora_file.check_fits(file, sizes, Path(family.row.name).name)
    return file


def write(
    path: Path,
    family: Family,
    weights: dict[str, Tensor],
    spec: ResolvedTrainSpec,
    pictures: int,
    captions: Sequence[str],
) -> None:
    """Writes the finished LoRA in diffusers' format: whole or not at all."""
    stored = {name: value.to(family.stored) for name, value in weights.items()}
    metadata = _metadata(family, spec, stored, pictures, captions)
    save_tensors(path, stored, metadata)


def _metadata(
    family: Family,
    spec: ResolvedTrainSpec,
    stored: dict[str, Tensor],
    pictures: int,
    captions: Sequence[str],
) -> dict[str, str]:
    """What other tools look for in a LoRA's header (kohya's ss_*, Stability's modelspec.*,
    diffusers' own) and our spec.

    No file names, and of the captions only the trigger words, if every caption has them.
    """
    side = max(spec.resolutions)
    digest = tensors_sha256(stored)
    said = sum(spec.trigger in caption for caption in captions)
    ours = {
        "version": __version__,
        "spec": spec.model_dump(mode="json", exclude={"continue_from"}),
        "base_revision": family.row.revision,
    }
    values: dict[str, Any] = {
        "format": "pt",
        "fluxbooth": json.dumps(ours),
        "lora_adapter_metadata": json.dumps(_peft_config(stored, spec.rank), sort_keys=True),
        **registry.description_of(family.row).lora_metadata(family.row),
        "ss_output_name": folder_name(spec.trigger),
        "ss_network_dim": spec.rank,
        "ss_network_alpha": spec.rank,
        "ss_steps": spec.steps,
        "ss_num_train_images": pictures,
        "ss_resolution": f"({side}, {side})",
        "ss_tag_frequency": json.dumps({f"1_{spec.trigger}": {spec.trigger: said}}),
        "sshs_model_hash": digest,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": spec.trigger,
        "modelspec.date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "modelspec.license": family.row.licence,
        "modelspec.trigger_phrase": spec.trigger,
        "modelspec.hash_sha256": f"0x{digest}",
    }
    return {name: str(value) for name, value in values.items()}


def _peft_config(stored: dict[str, Tensor], rank: int) -> dict[str, Any]:
    # of the file, not of the network, where an added LoRA hides its layers one level deeper
    layers = sorted({name.removeprefix(PREFIX).rsplit(".lora_", 1)[0] for name in stored})
    return {
        f"transformer.{name}": sorted(value) if isinstance(value, set) else value
        for name, value in _config(layers, rank).to_dict().items()
        if _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool, list, set))
