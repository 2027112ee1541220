"""The size of a FLUX.1 base, from configurations and headers alone. No torch, no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fluxbooth.errors import InputError
from fluxbooth.memory.size import Kind, Shape
from fluxbooth.models import weight_files
from fluxbooth.models.flux1 import files
from fluxbooth.models.weight_files import Shapes, numbered

ROPE_AXES = (16, 56, 56)  # of FLUX.1's heads of 128; the one thing that no shape tells
# of FLUX.1's autoencoder, what no shape tells
AUTOENCODER: dict[str, Any] = {
    "_class_name": "AutoencoderKL", "norm_num_groups": 32, "sample_size": 1024,
    "scaling_factor": 0.3611, "shift_factor": 0.1159, "force_upcast": True, "use_quant_conv": False,
    "use_post_quant_conv": False, "mid_block_add_attention": True,
}  # fmt: skip


@dataclass(frozen=True)
class Flux1Shape(Shape):
    """What of a FLUX.1 base decides its memory; the names are those of diffusers' config files."""

    num_layers: int
    num_single_layers: int
    width: int
    heads: int
    joint_attention_dim: int
    pooled_projection_dim: int
    guidance_embeds: bool
    in_channels: int
    encoders: int
    autoencoder: int
    autoencoder_channels: int

    forward: ClassVar[Mapping[Kind, float]] = {"double": 8, "single": 6}
    drawing: ClassVar[float] = 15

    @property
    def largest_linear(self) -> int:
        return 6 * self.width**2  # a modulation

    @property
    def linear_at_peak(self) -> int:
        return 4 * self.width**2  # of the feed-forward's

    @property
    def other(self) -> int:
        """Biases, norms, embedders and the output layer."""
        d, norms = self.width, self.width // self.heads
        biases = self.num_layers * (30 * d + 4 * norms) + self.num_single_layers * (
            11 * d + 2 * norms
        )
        vectors = 1 + self.guidance_embeds  # timestep, guidance: two layers from 256
        embedders = d * (
            self.in_channels
            + self.joint_attention_dim
            + 256 * vectors
            + self.pooled_projection_dim
            + d * (vectors + 1)
        )
        return (
            biases
            + embedders
            + d * (2 + 2 * (vectors + 1))
            + 2 * d * d
            + 2 * d
            + self.in_channels * (d + 1)
        )

    def block_weights(self, kind: Kind) -> int:
        """In 3072 x 3072, a double one has 12 for modulation, 8 for attention, 16 for
        feed-forward."""
        return (36 if kind == "double" else 15) * self.width**2

    def block_adapter(self, kind: Kind, rank: int) -> int:
        return (50 if kind == "double" else 21) * self.width * rank

    def saved_bytes(self, kind: Kind, tokens: int, batch: int, rank: int, number: int) -> float:
        """Each stream: the input of a LayerNorm, its result before and after modulation (double:
        twice), query and key before their RMSNorm in float32, query, key, value and result of the
        attention, the 4 d before and after GELU, the result before its gate. A single block's
        output layer reads attention and GELU from one more copy. Of each LoRA the product A x, and
        the weights cast."""
        activation, low_rank = tokens * self.width * number, tokens * rank * number
        cast = self.block_adapter(kind, rank) * number if number < 4 else 0
        common = 8 * tokens * self.width + 4 * tokens * self.heads + cast
        if kind == "double":
            return (20 + (batch > 1)) * activation + 6 * low_rank + common
        return 17 * activation + 5 * low_rank + common

    def backward_bytes(self, kind: Kind, saved: float, activation: float, matrix: float) -> float:
        activations = 5 if kind == "double" else 9
        return saved + activations * activation + self.linear_at_peak * matrix

    def block_flops(self, kind: Kind, tokens: int) -> tuple[float, float]:
        # modulation is computed once a picture, and each token has one of a double block's two
        # streams, so both kinds have 12 d^2 weights for it
        return 2 * 12 * self.width**2 * tokens, 4 * tokens**2 * self.width


FLUX1 = Flux1Shape(
    19,
    38,
    3072,
    24,
    4096,
    768,
    True,
    64,
    encoders=4_762_310_656 + 123_060_480,
    autoencoder=83_819_683,
    autoencoder_channels=128,
)


def of(source: str) -> Flux1Shape:
    """The size of a base's source: read from its diffusers folder or single file, or that of
    FLUX.1, which all others have."""
    path = Path(source)
    if path.is_file():
        return of_file(path)
    return of_folder(path) if path.is_dir() else FLUX1


def of_folder(folder: Path) -> Flux1Shape:
    """The size of a diffusers folder, from its configuration and the headers of its weights."""
    autoencoder = json.loads((folder / "vae" / "config.json").read_text())
    return _shape(
        json.loads((folder / "transformer" / "config.json").read_text()),
        encoders=weight_files.numbers(folder / "text_encoder")
        + weight_files.numbers(folder / "text_encoder_2"),
        autoencoder=weight_files.numbers(folder / "vae"),
        channels=autoencoder["block_out_channels"][0],
    )


def of_file(path: Path) -> Flux1Shape:
    """The size of the network in a file and of what belongs to it, from the files' headers.

    Raises InputError if one of them is missing or is another model's.
    """
    encoders = 0
    for kind in (files.CLIP, files.T5):
        place = files.component(path, kind)
        encoders += (
            weight_files.numbers(place)
            if place.is_dir()
            else weight_files.count(_shapes(place, kind.prefix))
        )
    place = files.component(path, files.VAE)
    shapes = _shapes(place, files.VAE.prefix)
    return _shape(
        network_config(path, _shapes(path, files.ALL_IN_ONE)),
        encoders=encoders,
        autoencoder=weight_files.count(shapes),
        channels=autoencoder_config(place, shapes)["block_out_channels"][0],
    )


def network_config(
    path: str | Path, shapes: Shapes, axes: Sequence[int] = ROPE_AXES
) -> dict[str, Any]:
    """The architecture of a network in the original layout, from the shapes of its weights.

    Raises InputError, naming the file, for another kind.
    """
    try:
        width = shapes["img_in.weight"][0]
        head = shapes[files.FIRST][0]
        return {
            "in_channels": shapes["img_in.weight"][1],
            "out_channels": shapes["final_layer.linear.weight"][0],
            "num_layers": numbered(shapes, "double_blocks."),
            "num_single_layers": numbered(shapes, "single_blocks."),
            "attention_head_dim": head,
            "num_attention_heads": width // head,
            "joint_attention_dim": shapes["txt_in.weight"][1],
            "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
            "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
            "axes_dims_rope": tuple(axes),
        }
    except KeyError as error:
        raise InputError(
            f"{path} is no FLUX.1 network in the original layout, it lacks {error}: use "
            "flux1-dev.safetensors."
        ) from error


def autoencoder_config(path: str | Path, shapes: Shapes) -> dict[str, Any]:
    """The autoencoder's architecture from the shapes of its weights.

    Raises InputError, naming the file, for another kind.
    """
    if (
        "decoder.conv_in.weight" not in shapes
        or "encoder.down.0.block.0.conv1.weight" not in shapes
    ):
        raise InputError(f"{path} holds no autoencoder: use ae.safetensors.")
    levels = numbered(shapes, "encoder.down.")
    return AUTOENCODER | {
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "layers_per_block": numbered(shapes, "encoder.down.0.block."),
        "block_out_channels": [
            shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)
        ],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def _shapes(path: Path, prefix: str) -> Shapes:
    return weight_files.under(weight_files.shapes(path), prefix)


def _shape(
    network: dict[str, Any], *, encoders: int, autoencoder: int, channels: int
) -> Flux1Shape:
    heads = network["num_attention_heads"]
    return Flux1Shape(
        network["num_layers"],
        network["num_single_layers"],
        heads * network["attention_head_dim"],
        heads,
        network["joint_attention_dim"],
        network["pooled_projection_dim"],
        network["guidance_embeds"],
        network["in_channels"],
        encoders=encoders,
        autoencoder=autoencoder,
        autoencoder_channels=channels,
    )
