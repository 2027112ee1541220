"""The meaning of a LoRA file's tensors, from their names and shapes alone: which layers of FLUX.1,
and what is stored of each.

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
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from fluxbooth.models import registry
from fluxbooth.models.description import LayerNames

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
_XLABS = {
    "double_blocks": ("transformer_blocks", {
        "qkv_lora1": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "proj_lora1": ("attn.to_out.0",),
        "qkv_lora2": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
        "proj_lora2": ("attn.to_add_out",),
    }),
    "single_blocks": ("single_transformer_blocks", {
        "qkv_lora": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "proj_lora": ("proj_out",),
    }),
}  # fmt: skip
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
_OTHER_MODELS = {
    "FLUX.2": (
        r"stream_modulation|to_qkv_mlp_proj|to_added_qkv|attn[._]to_qkv"
        r"|ff(_context)?[._]linear_(in|out)"
    ),
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
    family: str  # whose layers these are

    @property
    def layers(self) -> LayerNames:
        return registry.FAMILIES[self.family].layers

    @property
    def shift_first(self) -> bool:
        """Whether its outputs are (shift, scale), which diffusers has the other way round."""
        return self.parts[0] == self.layers.SHIFT_FIRST and self.naming in ("original", "kohya")

    @property
    def heights(self) -> list[int]:
        """Outputs of each part."""
        if len(self.parts) == 1:
            return [self.outputs]
        return self.layers.heights(len(self.parts), self.inputs)


def grouped(shapes: Mapping[str, Shape]) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """The groups of a file's tensors in the order of its names, and the names of what belongs to
    text encoders.

    Raises NoLora for what is none of FLUX.1's network, or is in a format that is not read.
    """
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
            "was trained on FLUX.1's transformer, too."
        )
    family = _family(collected)
    groups = tuple(_group(name, tensors, shapes, family) for name, tensors in collected.items())
    _check_once(groups)
    return groups, tuple(sorted(left_out))


def _family(names: Collection[str]) -> str:
    """The family whose network has all of these layers; if none has, the first."""
    families = registry.FAMILIES
    found = (
        name
        for name, family in families.items()
        if all(_placed(layer, family.layers) for layer in names)
    )
    return next(found, next(iter(families)))


def check_header(metadata: Mapping[str, str]) -> None:
    """Raises NoLora for a file whose header says FLUX.2: some of its layers have FLUX.1's names
    and sizes."""
    for key in ("modelspec.architecture", "ss_base_model_version"):
        if re.search(r"flux[._\- ]?2|klein", metadata.get(key, ""), re.IGNORECASE):
            raise NoLora(
                f"is for FLUX.2 (its header says {key} {metadata[key][:40]!r}): use a LoRA "
                "that was made for FLUX.1."
            )


def _other_model(name: str) -> str | None:
    model = next(
        (model for model, pattern in _OTHER_MODELS.items() if re.search(pattern, name)), None
    )
    return (
        model and f"is for {model} (it holds {name[:80]!r}): use a LoRA that was made for FLUX.1."
    )


def _why_not(name: str) -> str:
    if other := _other_model(name):
        return other
    shown = repr(name[:80])
    for method, pattern in _OTHER_METHODS.items():
        if re.search(pattern, name):
            return f"{method} ({shown}), which Fluxbooth does not read: {WAY_OUT}."
    return f"holds {shown}, which is no part of a FLUX.1 LoRA: use a LoRA that was made for FLUX.1."


def _group(name: str, tensors: dict[str, str], shapes: Mapping[str, Shape], family: str) -> Group:
    placed = _placed(name, registry.FAMILIES[family].layers)
    if placed is None:
        raise NoLora(
            _other_model(name)
            or (
                f"holds {name[:80]!r}, which FLUX.1 does not have: use a LoRA that was made for "
                "FLUX.1."
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
    group = Group(name, kind, naming, parts, tensors, outputs, inputs, rank, family)
    _check_extras(group, given)
    return group


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
            layer = layers.layer_of(rest)
            return (
                None if layer is None else ("onetrainer" if naming == "kohya" else naming, (layer,))
            )
    name = stripped(name)
    if layers.place_of(name):
        return "diffusers", (name,)
    if found := re.fullmatch(r"(double_blocks|single_blocks)\.(\d+)\.processor\.(\w+)", name):
        folder, table = _XLABS[found[1]]
        return (
            ("xlabs", tuple(f"{folder}.{found[2]}.{part}" for part in table[found[3]]))
            if found[3] in table
            else None
        )
    parts = layers.parts_of(name.replace(".", "_"))
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
    if group.outputs != sum(group.heights):
        raise NoLora(
            f"gives {group.name} {group.outputs} outputs, which FLUX.1 does not: use a LoRA "
            "that was made for FLUX.1."
        )
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
