"""The size of a FLUX.2 [klein] base, from configurations and headers alone. No torch, no
weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fluxbooth.errors import InputError
from fluxbooth.memory.size import Kind, Shape
from fluxbooth.models import weight_files
from fluxbooth.models.flux2 import files
from fluxbooth.models.weight_files import Shapes, numbered

ROPE_AXES = (32, 32, 32, 32)  # of heads of 128; no shape tells them, either
FREQUENCIES = 256  # numbers that a time or a guidance is told with
# of the text encoder, by how many of its layers were gone through: their states side by side
LAYERS_READ = (9, 18, 27)
LAYERS_KEPT = max(LAYERS_READ) + 1  # what the last one gives is normalised
# of the autoencoder, what no shape tells
AUTOENCODER: dict[str, Any] = {"norm_num_groups": 32, "batch_norm_eps": 1e-4, "patch_size": (2, 2)}


@dataclass(frozen=True)
class Flux2Shape(Shape):
    """What of a base decides its memory; the names are those of diffusers' config files."""

    num_layers: int
    num_single_layers: int
    width: int
    heads: int
    joint_attention_dim: int
    in_channels: int
    encoders: int
    autoencoder: int
    autoencoder_channels: int
    guidance_embeds: bool = False
    mlp_ratio: int = 3
    encoders_unread: int = 0  # of `encoders`, in layers above those that are read

    forward: ClassVar[Mapping[Kind, float]] = {"double": 3, "single": 3}
    drawing: ClassVar[float] = 22

    @property
    def largest_linear(self) -> int:
        return (3 + 2 * self.mlp_ratio) * self.width**2  # the entrance of a single block

    @property
    def linear_at_peak(self) -> int:
        return (1 + self.mlp_ratio) * self.width**2  # the exit of a single block

    @property
    def encoders_used(self) -> int:
        return self.encoders - self.encoders_unread

    @property
    def other(self) -> int:
        """Norms, modulations (which all blocks of a kind share), embedders and the output layer.
        There are no biases."""
        d, norms = self.width, self.width // self.heads
        told = 1 + self.guidance_embeds  # timestep, guidance: two layers from 256 each
        return (
            (4 * self.num_layers + 2 * self.num_single_layers) * norms
            + (6 + 6 + 3) * d * d
            + d * (self.in_channels + self.joint_attention_dim + told * (FREQUENCIES + d))
            + d * (2 * d + self.in_channels)
        )

    def block_weights(self, kind: Kind) -> int:
        """In d x d, each of a double block's two streams, and a single block, has 4 for attention
        and 3 x 3 for the feed-forward, whose entrance has two halves."""
        streams = 2 if kind == "double" else 1
        return streams * (4 + 3 * self.mlp_ratio) * self.width**2

    def block_adapter(self, kind: Kind, rank: int) -> int:
        # a single block has two fused layers, where a stream of a double one has six
        sides = 2 * (10 + 3 * self.mlp_ratio) if kind == "double" else 6 + 3 * self.mlp_ratio
        return sides * self.width * rank

    def saved_bytes(self, kind: Kind, tokens: int, batch: int, rank: int, number: int) -> float:
        """Each stream: the input of a LayerNorm, its result before and after modulation (double:
        twice), query and key before their RMSNorm in float32, query, key, value and result of the
        attention, both halves before SwiGLU and one of them after it, the product, the result
        before its gate. A single block keeps what its fused entrance gives whole, and reads
        attention and SwiGLU from one more copy. Of each LoRA the product A x, and the weights
        cast."""
        activation, low_rank = tokens * self.width * number, tokens * rank * number
        cast = self.block_adapter(kind, rank) * number if number < 4 else 0
        common = 4 * tokens * self.heads + cast
        in_float32 = 8 * tokens * self.width
        hidden = 4 * self.mlp_ratio
        if kind == "double":
            return (8 + hidden + (batch > 1)) * activation + 6 * low_rank + common + in_float32
        # in float32 query and key are a part of what the entrance gives
        copies = in_float32 if number < 4 else 0
        return (9 + hidden) * activation + 2 * low_rank + common + copies

    def backward_bytes(self, kind: Kind, saved: float, activation: float, matrix: float) -> float:
        """Of a single block most is alive at SwiGLU, or when its entrance is multiplied with, by
        when what it kept is free again."""
        if kind == "double":
            return saved + 3 * activation + self.linear_at_peak * matrix
        at_entrance = 12 * activation + self.largest_linear * matrix
        return max(saved + 14 * activation, at_entrance)

    def block_flops(self, kind: Kind, tokens: int) -> tuple[float, float]:
        # each token has one of a double block's two streams
        linear = 2 * (4 + 3 * self.mlp_ratio) * self.width**2 * tokens
        return linear, 4 * tokens**2 * self.width


KLEIN_4B = Flux2Shape(
    5,
    20,
    3072,
    24,
    3 * 2560,
    128,
    encoders=4_022_468_096,
    autoencoder=84_046_115,
    autoencoder_channels=128,
    encoders_unread=807_446_528,
)
KLEIN_9B = Flux2Shape(
    8,
    24,
    4096,
    32,
    3 * 4096,
    128,
    encoders=8_190_735_360,
    autoencoder=84_046_115,
    autoencoder_channels=128,
    encoders_unread=2_165_901_312,
)


def of(source: str) -> Flux2Shape:
    """The size of a base's source: read from its diffusers folder or single file, or that of the
    model on the hub by its name."""
    path = Path(source)
    if path.is_file():
        return of_file(path)
    if path.is_dir():
        return of_folder(path)
    return KLEIN_9B if source.upper().endswith("9B") else KLEIN_4B


def of_folder(folder: Path) -> Flux2Shape:
    """The size of a diffusers folder, from its configuration and the headers of its weights."""
    autoencoder = json.loads((folder / "vae" / "config.json").read_text())
    channels = autoencoder.get("decoder_block_out_channels") or autoencoder["block_out_channels"]
    return of_network(
        config(folder),
        encoders=_text_encoder(folder / "text_encoder"),
        autoencoder=weight_files.numbers(folder / "vae"),
        channels=channels[0],
    )


def of_file(path: Path) -> Flux2Shape:
    """The size of the network in a file and of what belongs to it, from the files' headers.

    Raises InputError if one of them is missing or is another model's.
    """
    network = config(path)
    kind = files.encoder(network["joint_attention_dim"] // len(LAYERS_READ))
    encoder, vae = files.component(path, kind), files.component(path, files.VAE)
    if vae.is_dir():
        autoencoder = weight_files.numbers(vae)
        channels = json.loads((vae / "config.json").read_text())["block_out_channels"][0]
    else:
        shapes = weight_files.under(weight_files.shapes(vae), files.VAE.prefix)
        autoencoder = weight_files.count(shapes)
        channels = autoencoder_config(vae, shapes)["decoder_block_out_channels"][0]
    return of_network(
        network,
        encoders=_text_encoder(encoder, kind.prefix),
        autoencoder=autoencoder,
        channels=channels,
    )


def _text_encoder(path: Path, prefix: str = "") -> tuple[int, int]:
    """Parameters of the text encoder in a folder or file, and those that are not read."""
    parts = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    shapes = {k: v for part in parts for k, v in weight_files.shapes(part).items()}
    shapes = weight_files.under(shapes, prefix) if prefix else shapes
    unread = {name: shape for name, shape in shapes.items() if _is_unread(name)}
    return weight_files.count(shapes), weight_files.count(unread)


def _is_unread(name: str) -> bool:
    layer = re.match(r"model\.layers\.(\d+)\.", name)
    return name.startswith("lm_head.") or (layer is not None and int(layer[1]) >= LAYERS_KEPT)


def config(source: Path) -> dict[str, Any]:
    """The configuration of the network in a diffusers folder or a single file."""
    if source.is_dir():
        return json.loads((source / "transformer" / "config.json").read_text())
    return network_config(source, files.network_shapes(source))


def network_config(path: str | Path, shapes: Shapes) -> dict[str, Any]:
    """The architecture of a network in the original layout, from the shapes of its weights.

    Raises InputError, naming the file, for another kind.
    """
    try:
        width, channels = shapes["img_in.weight"]
        head = shapes["double_blocks.0.img_attn.norm.query_norm.scale"][0]
        return {
            "patch_size": 1,
            "in_channels": channels,
            "num_layers": numbered(shapes, "double_blocks."),
            "num_single_layers": numbered(shapes, "single_blocks."),
            "attention_head_dim": head,
            "num_attention_heads": width // head,
            "joint_attention_dim": shapes["txt_in.weight"][1],
            "mlp_ratio": shapes["double_blocks.0.img_mlp.2.weight"][1] / width,
            "axes_dims_rope": tuple(axis * head // sum(ROPE_AXES) for axis in ROPE_AXES),
            "guidance_embeds": files.GUIDANCE in shapes,
        }
    except KeyError as error:
        raise InputError(
            f"{path} is no {files.MODEL} network in the original layout, it lacks {error}: use "
            "flux-2-klein-4b.safetensors."
        ) from error


def encoder_config(shapes: Shapes) -> dict[str, Any]:
    """Qwen3's architecture from the shapes of its weights.

    Raises KeyError if they are another model's.
    """
    tokens, width = shapes["model.embed_tokens.weight"]
    first = "model.layers.0"
    head = shapes[f"{first}.self_attn.q_norm.weight"][0]
    return {
        "vocab_size": tokens,
        "hidden_size": width,
        "head_dim": head,
        "intermediate_size": shapes[f"{first}.mlp.gate_proj.weight"][0],
        "num_hidden_layers": numbered(shapes, "model.layers."),
        "num_attention_heads": shapes[f"{first}.self_attn.q_proj.weight"][0] // head,
        "num_key_value_heads": shapes[f"{first}.self_attn.k_proj.weight"][0] // head,
        "tie_word_embeddings": "lm_head.weight" not in shapes,
        "max_position_embeddings": 40960,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "attention_bias": False,
    }


def autoencoder_config(path: str | Path, shapes: Shapes) -> dict[str, Any]:
    """The autoencoder's architecture from the shapes of its weights by the original's names or
    diffusers'.

    Raises InputError, naming the file, for another kind.
    """
    if files.VAE.key not in shapes or "decoder.conv_in.weight" not in shapes:
        raise InputError(f"{path} holds no autoencoder of FLUX.2: use flux2-vae.safetensors.")
    if "encoder.down.0.block.0.conv1.weight" in shapes:
        down, up, blocks = "encoder.down.", "decoder.up.", "block."
    else:
        down, up, blocks = "encoder.down_blocks.", "decoder.up_blocks.", "resnets."
    encoder = _channels(shapes, down, blocks)
    decoder = _channels(shapes, up, blocks)
    return AUTOENCODER | {
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "layers_per_block": numbered(shapes, f"{down}0.{blocks}"),
        "block_out_channels": encoder,
        # the original counts both ways from the picture, diffusers each in the order of its work
        "decoder_block_out_channels": decoder if blocks == "block." else decoder[::-1],
        "down_block_types": ("DownEncoderBlock2D",) * len(encoder),
        "up_block_types": ("UpDecoderBlock2D",) * len(encoder),
    }


def _channels(shapes: Shapes, folder: str, blocks: str) -> tuple[int, ...]:
    """Of each resolution, in the order of their numbers."""
    levels = range(numbered(shapes, folder))
    return tuple(shapes[f"{folder}{level}.{blocks}0.conv1.weight"][0] for level in levels)


def of_network(
    network: Mapping[str, Any],
    *,
    encoders: tuple[int, int] = (0, 0),
    autoencoder: int = 0,
    channels: int = 0,
) -> Flux2Shape:
    """The size of a network of that configuration, and of what belongs to it; of the text encoder
    the parameters, and those that are not read."""
    heads = network["num_attention_heads"]
    return Flux2Shape(
        network["num_layers"],
        network["num_single_layers"],
        heads * network["attention_head_dim"],
        heads,
        network["joint_attention_dim"],
        network["in_channels"],
        encoders=encoders[0],
        autoencoder=autoencoder,
        autoencoder_channels=channels,
        guidance_embeds=bool(network.get("guidance_embeds", True)),  # as diffusers' class has it
        mlp_ratio=int(network.get("mlp_ratio", 3)),
        encoders_unread=encoders[1],
    )
