"""The meaning of a LoRA file's tensors, from their names and shapes alone: which network's layers,
and what is stored of each.

Networks share names and sizes of layers, and only some of them tell one from another; where none
does, the header may say it.

Files differ in two things. How they name a layer: as diffusers does (with one of several prefixes
or none), as the original network does, either with underscores for dots, or as XLabs does. And what
they store of its change D, of a weight W (outputs x inputs):

    LoRA   D = up down
    LoHa   D = (w1_a w1_b) * (w2_a w2_b), number by number
    LoKr   D = w1 (x) w2, Kronecker's product; each may itself be a product w_a w_b

times a strength (`strength.py`); a magnitude beside any of them makes it a DoRA. Whatever a
file holds is one of these or is refused by name: nothing is dropped in silence but layers of text
encoders, which are listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from fluxbooth.models import registry
from fluxbooth.models.layer_names import SHIFT_FIRST, LayerNames

Kind = Literal["LoRA", "LoHa", "LoKr"]
Naming = Literal["diffusers", "original", "kohya", "onetrainer", "lycoris", "xlabs"]
Shape = tuple[int, ...]

_ROLES = {
    "down": r"lora_A(\.\w+)?\.weight|(lora[._])?down\.weight",
    "up": r"lora_B(\.\w+)?\.weight|(lora[._])?up\.weight",
    "alpha": r"alpha",
    "magnitude": r"dora_scale|lora_magnitude_vector(\.\w+)*",
    "bias": r"lora_B(\.\w+)?\.bias",
    "bias_difference": r"diff_b",
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")},
    **{
        name: name
        for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
    },
}
_EXTRAS = {"alpha", "magnitude", "bias", "bias_difference"}
_NAME = re.compile(
    r"(?P<layer>.+?)\.(?:"
    + "|".join(f"(?P<{role}>{pattern})" for role, pattern in _ROLES.items())
    + ")"
)
_PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.")
_UNDERSCORED: dict[str, Naming] = {
    "lora_unet_": "kohya",
    "lora_transformer_": "onetrainer",
    "lycoris_": "lycoris",
}
_LAYERS = {name: family.layers for name, family in registry.FAMILIES.items()}
_TEXT_ENCODER = re.compile(
    r"(base_model\.model\.)?(lora_te\d?_|text_encoders?[._\d]|clip_l\.|t5xxl\.|bundle_emb\.)"
)
_OTHER_METHODS = {
    "is an OFT": r"\b(oft|boft)_",
    "is a VeRA": r"\bvera_",
    "is an (IA)³": r"on_input|\bia3_",
    "is a GLoRA": r"\.[ab][12]\.weight$",
    "adapts convolutions": r"lora_mid|hada_t\d|lokr_t\d",
    "holds whole differences of weights": r"\.(diff|w_norm|b_norm)$|set_weight$",
    "brings scales of norms, as control LoRAs do": (
        r"norm_(added_)?[qk]\.weight$|(query|key)_norm\.scale$"
    ),
}
FLUX3 = "FLUX 3"
_FLUX3_HEADER = r"flux[._\- ]?3"  # some of its layers have FLUX.1's names and sizes
_OTHER_MODELS = {
    FLUX3: r"mode_blocks[._]|single_blocks[._]\d+[._]([qkv]_proj|attn_out|mlp_(in|out))",
    "Stable Diffusion": r"(input|output|middle|down|up|mid)_blocks?[._]",
    "Qwen-Image": r"img_mlp[._]net|img_mod[._]1\b",
    "Stable Diffusion 3": r"joint_blocks",
    "Wan": r"blocks[._]\d+[._](self_attn|cross_attn|ffn)",
    "Z-Image": r"layers[._]\d+[._](attention|feed_forward)",
}
WAY_OUT = (
    "use a version of it as LoRA, DoRA, LoHa or LoKr, or extract one (ComfyUI's node Extract and "
    "Save Lora)"
)


class NoLora(Exception):
    """Why a file will not do: the rest of a sentence that begins with its name."""


@dataclass(frozen=True)
class Group:
    """What a file stores of one layer, or of several that the original network fuses."""

    name: str  # in the file
    kind: Kind
    naming: Naming
    parts: tuple[str, ...]  # diffusers' layers, whose outputs lie one after another
    tensors: dict[str, str]  # their names in the file by what they are: "down", "up", "alpha", ...
    outputs: int
    inputs: int
    rank: int  # that alpha is divided by; 0 where alpha has no meaning
    heights: tuple[int, ...]  # outputs of each part

    @property
    def shift_first(self) -> bool:
        """Whether its outputs are (shift, scale), which diffusers has the other way round."""
        return self.parts[0] == SHIFT_FIRST and self.naming in ("original", "kohya")


@dataclass(frozen=True)
class Contents:
    """What a file's names mean."""

    family: str  # whose layers these are
    groups: tuple[Group, ...]  # in the order of its names
    left_out: tuple[str, ...]  # what belongs to text encoders


def read(
    shapes: Mapping[str, Shape], metadata: Mapping[str, str], family: str | None = None
) -> Contents:
    """What a file holds. Of several families that have all of its layers it is for the one that
    its header names, else for `family`, else for the first.

    Raises NoLora for what is none of that, or is in a format that is not read.
    """
    collected, left_out = _collected(shapes)
    of_families: dict[str, tuple[Group, ...]] = {}
    reasons: dict[str, NoLora] = {}
    for name, layers in _LAYERS.items():
        try:
            of_families[name] = _groups(collected, shapes, layers)
        except NoLora as reason:
            reasons[name] = reason
    if not of_families:
        raise _closest(reasons, collected)
    said = header(metadata)
    if re.search(_FLUX3_HEADER, said, re.IGNORECASE):
        raise NoLora(f"is for {FLUX3} (its header says {said!r}): use a LoRA {_made_for()}.")
    told = next((name for name, layers in _LAYERS.items() if layers.named_in(said)), None)
    wanted = told if told in of_families else family
    found = wanted if wanted in of_families else next(iter(of_families))
    return Contents(found, of_families[found], left_out)


def _collected(
    shapes: Mapping[str, Shape],
) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """Names of tensors by their layer and by what they are of it, and what belongs to text
    encoders."""
    collected: dict[str, dict[str, str]] = {}
    left_out = set[str]()
    for name in sorted(shapes):
        found = _NAME.fullmatch(name)
        if _TEXT_ENCODER.match(name):
            left_out.add(found["layer"] if found else name)
        elif found is None:
            raise NoLora(_why_not(name))
        else:
            role = next(role for role in _ROLES if found[role] is not None)
            before = collected.setdefault(found["layer"], {}).setdefault(role, name)
            if before != name:
                raise NoLora(
                    f"holds {found['layer']} twice ({before}, {name}): save one adapter to a file."
                )
    if not collected:
        raise NoLora(
            "adapts text encoders alone, which Fluxbooth leaves as they are: use a LoRA that "
            "was trained on the transformer, too."
        )
    return collected, tuple(sorted(left_out))


def _groups(
    collected: Mapping[str, dict[str, str]], shapes: Mapping[str, Shape], layers: LayerNames
) -> tuple[Group, ...]:
    groups = tuple(_group(name, tensors, shapes, layers) for name, tensors in collected.items())
    _check_once(groups)
    return groups


def _closest(reasons: Mapping[str, NoLora], collected: Mapping[str, dict[str, str]]) -> NoLora:
    """Of the reasons why a file is none of each family's, that of the one which has most of its
    layers."""
    known = {
        family: sum(_placed(name, _LAYERS[family]) is not None for name in collected)
        for family in reasons
    }
    return reasons[max(reasons, key=lambda family: known[family])]


def header(metadata: Mapping[str, str]) -> str:
    """What a file's header calls the network it was trained on; empty if it does not say."""
    keys = ("modelspec.architecture", "ss_base_model_version")
    return " ".join(metadata[key] for key in keys if key in metadata)[:80]


def _other_model(name: str) -> str | None:
    model = next(
        (model for model, pattern in _OTHER_MODELS.items() if re.search(pattern, name)), None
    )
    return model and f"is for {model} (it holds {name[:80]!r}): use a LoRA {_made_for()}."


def _made_for() -> str:
    return f"that was made for {' or '.join(layers.model for layers in _LAYERS.values())}"


def _why_not(name: str) -> str:
    if other := _other_model(name):
        return other
    shown = repr(name[:80])
    for method, pattern in _OTHER_METHODS.items():
        if re.search(pattern, name):
            return f"{method} ({shown}), which Fluxbooth does not read: {WAY_OUT}."
    return f"holds {shown}, which is no part of a LoRA that Fluxbooth reads: use one {_made_for()}."


def _group(
    name: str, tensors: dict[str, str], shapes: Mapping[str, Shape], layers: LayerNames
) -> Group:
    placed = _placed(name, layers)
    if placed is None:
        raise NoLora(
            _other_model(name)
            or (
                f"holds {name[:80]!r}, which {layers.model} does not have: use a LoRA that was "
                f"made for {layers.model}."
            )
        )
    naming, parts = placed
    methods = {role.partition("_")[0] for role in tensors}
    kind: Kind = "LoHa" if "hada" in methods else "LoKr" if "lokr" in methods else "LoRA"
    given = {role: shapes[tensor] for role, tensor in tensors.items()}
    try:
        outputs, inputs, rank = _SIZES[kind](given)
    except KeyError as missing:
        raise NoLora(
            f"holds only a part of {name} (it has {', '.join(sorted(tensors))}, not "
            f"{missing.args[0]}): download or train it again."
        ) from None
    except ValueError:
        told = ", ".join(f"{role} {list(shape)}" for role, shape in sorted(given.items()))
        raise NoLora(
            f"holds tensors of {name} that do not fit each other ({told}): download or train "
            "it again."
        ) from None
    if strays := tensors.keys() - _used(kind, tensors) - _EXTRAS:
        raise NoLora(
            f"holds {name} as {kind} and as something else ({', '.join(sorted(strays))}): "
            "download or train it again."
        )
    heights = _heights(name, parts, outputs, inputs, layers)
    group = Group(name, kind, naming, parts, tensors, outputs, inputs, rank, heights)
    _check_extras(group, given)
    return group


def _heights(
    name: str, parts: tuple[str, ...], outputs: int, inputs: int, layers: LayerNames
) -> tuple[int, ...]:
    """Outputs of each part.

    Raises NoLora where the layer has not as many of them for its inputs.
    """
    ratios = [layers.ratio_of(part) for part in parts]
    heights = tuple(outputs if ratio is None else int(ratio * inputs) for ratio in ratios)
    if sum(heights) != outputs:
        raise NoLora(
            f"gives {name} {outputs} outputs and {inputs} inputs, which {layers.model} does not: "
            f"use a LoRA that was made for {layers.model}."
        )
    return heights


def _used(kind: Kind, tensors: Iterable[str]) -> set[str]:
    if kind == "LoRA":
        return {"down", "up"}
    if kind == "LoHa":
        return {f"hada_{w}_{ab}" for w in ("w1", "w2") for ab in "ab"}
    whole = {name for name in ("lokr_w1", "lokr_w2") if name in tensors}
    return whole | {f"{name}_{ab}" for name in {"lokr_w1", "lokr_w2"} - whole for ab in "ab"}


def _placed(name: str, layers: LayerNames) -> tuple[Naming, tuple[str, ...]] | None:
    """How a file names a layer, and diffusers' layers behind it; None if there is no such one."""
    for prefix, naming in _UNDERSCORED.items():
        if name.startswith(prefix):
            rest = name.removeprefix(prefix).replace(".", "_")
            if parts := layers.parts_of(rest):
                return naming, parts
            # a fused layer's parts one by one (split_qkv)
            split = re.fullmatch(r"(.+)_([0-3])", rest)
            if split and len(parts := layers.parts_of(split[1]) or ()) > int(split[2]):
                return naming, (parts[int(split[2])],)
            own = layers.layers_of(rest)
            return None if own is None else ("onetrainer" if naming == "kohya" else naming, own)
    name = stripped(name)
    if own := layers.layers_of(name):
        return "diffusers", own
    if parts := layers.processed_by(name):
        return "xlabs", parts
    parts = layers.parts_of(name)
    return ("original", parts) if parts else None


def stripped(name: str) -> str:
    """A layer's name with dots, without the prefixes that say which network it is of."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _size_of_lora(given: Mapping[str, Shape]) -> tuple[int, int, int]:
    outputs, inputs, rank = _product(given["up"], given["down"])
    return outputs, inputs, rank


def _size_of_loha(given: Mapping[str, Shape]) -> tuple[int, int, int]:
    first, second = (_product(given[f"hada_{w}_a"], given[f"hada_{w}_b"]) for w in ("w1", "w2"))
    if first[:2] != second[:2]:
        raise ValueError
    return first


def _size_of_lokr(given: Mapping[str, Shape]) -> tuple[int, int, int]:
    outputs = inputs = 1
    rank = 0
    for factor in ("lokr_w1", "lokr_w2"):
        if factor in given:
            (high, wide), of_factor = given[factor], 0
        else:
            high, wide, of_factor = _product(given[f"{factor}_a"], given[f"{factor}_b"])
        outputs, inputs, rank = outputs * high, inputs * wide, of_factor or rank
    return outputs, inputs, rank


_SIZES = {"LoRA": _size_of_lora, "LoHa": _size_of_loha, "LoKr": _size_of_lokr}


def _product(left: Shape, right: Shape) -> tuple[int, int, int]:
    """Outputs, inputs and rank of a product of two matrices. Raises ValueError if there is none."""
    (outputs, rank), (same, inputs) = left, right
    if rank != same:
        raise ValueError
    return outputs, inputs, rank


def _check_extras(group: Group, given: Mapping[str, Shape]) -> None:
    allowed = {
        "alpha": ((), (1,)),
        "bias": ((group.outputs,),),
        "bias_difference": ((group.outputs,),),
    }
    # one number for each output, or for each input as LyCORIS has it, too
    allowed["magnitude"] = ((group.outputs,), (group.outputs, 1), (1, group.inputs))
    for role, shapes in allowed.items():
        if role in given and given[role] not in shapes:
            raise NoLora(
                f"gives {group.tensors[role]!r} the shape {list(given[role])}, which does "
                "not fit its layer: download or train it again."
            )
    if len(group.parts) == 1:
        return
    if "magnitude" in given and given["magnitude"] == (1, group.inputs):
        raise NoLora(
            f"is a DoRA with a magnitude for each input of {group.name}, which diffusers' network "
            "holds in parts: train it with magnitudes of the outputs (wd_on_out, norm_on_output)."
        )


def _check_once(groups: Iterable[Group]) -> None:
    seen = dict[str, str]()
    for group in groups:
        for part in group.parts:
            if part in seen:
                raise NoLora(
                    f"holds {part} twice ({seen[part]}, {group.name}): download or train it again."
                )
            seen[part] = group.name
