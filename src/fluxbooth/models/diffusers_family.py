"""What families whose parts are diffusers' have in common: how they are kept in memory, how their
network is trained and their pipelines are made."""

from __future__ import annotations

import abc
import contextlib
import filecmp
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.utils import logging as transformers_logging

from fluxbooth import hardware
from fluxbooth.errors import InputError
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import frozen_linear, loading, out_of_memory
from fluxbooth.models.base import Base
from fluxbooth.models.family import Parts, Start
from fluxbooth.models.weight_reader import Put

PIXELS_PER_TOKEN = 16  # 8x autoencoder, 2 x 2 packing
MOST_IDS = 32  # sizes of pictures, each 50 KB at 1024 px
Fill = Callable[[Put], None]  # hands a network's weights out one by one


class WhereItsNetworkIs:
    """A pipeline that draws there, wherever its text encoders are."""

    @property
    def _execution_device(self) -> torch.device:
        # that of the pipeline which this is mixed into
        return self.transformer.device  # type: ignore[attr-defined]


class DiffusersFamily(abc.ABC):
    """See `models.family.Family` for what each method promises.

    Attributes:
        encoders: The text encoders among the pipeline's components.
        starts: The pipeline of each start that is not the one from noise.
    """

    encoders: ClassVar[Sequence[str]]
    starts: ClassVar[Mapping[Start, type[Any]]]

    def __init__(
        self,
        row: Base,
        pipeline: Any,
        dtype: torch.dtype,
        choice: Choice | None = None,
        fill: Fill | None = None,
    ) -> None:
        """`fill` hands out the network's weights one by one; without it they are there."""
        self.row, self.dtype = row, dtype
        self.network: Any = pipeline.transformer
        self.choice = choice or Choice(
            "float32" if dtype == torch.float32 else "bfloat16", encoders="stay"
        )
        self.stored = getattr(torch, self.choice.kept)
        self.device = hardware.compute_device()
        self._pipeline, self._fill = pipeline, fill
        pipeline.set_progress_bar_config(disable=True)

    def ready(self) -> Self:
        """With everything in its place; the network only if the encoders need not leave before."""
        with out_of_memory.loading(self.row.name):
            self.place_encoders()
        if self.choice.encoders == "stay":
            self.load_network()
        return self

    @property
    def _autocast(self) -> bool:
        """Whether float32 weights are multiplied in bfloat16; others are kept as they are
        computed with, or are cast at use."""
        return (self.choice.kept, self.choice.dtype) == ("float32", "bfloat16") and not (
            self.choice.cast_at_use or self.choice.offloaded
        )

    @property
    def _dtype(self) -> torch.dtype:
        """What goes into the network and comes out."""
        return torch.float32 if self._autocast else self.dtype

    @property
    def _text_encoders(self) -> list[Any]:
        """Those that have not been released."""
        named = (getattr(self._pipeline, name) for name in self.encoders)
        return [encoder for encoder in named if encoder is not None]

    @property
    def _encoders_place(self) -> torch.device:
        """Where texts are encoded."""
        return torch.device("cpu") if self.choice.encoders == "cpu" else self.device

    def place_encoders(self) -> None:
        """Puts text encoders and autoencoder where they work, in what they compute in."""
        computed = self._dtype
        imitated = self._encoders_place.type == "cpu" and not hardware.cpu_multiplies_bfloat16()
        for encoder in self._text_encoders:
            if encoder.dtype == torch.bfloat16 and (computed == torch.float32 or imitated):
                frozen_linear.compute_in(encoder, torch.float32)
            encoder.to(self._encoders_place)
        vae = self._pipeline.vae
        vae.to(self.device)
        if vae.dtype != computed:
            vae.to(computed)

    def load_network(self) -> None:
        if self._fill is None:
            return
        place = loading.WeightPlacer(
            self.network, self.adapter_targets(), self.choice, self._dtype, self.device
        )
        with out_of_memory.loading(self.row.name):
            self._fill(place)
        self._fill = None
        loading.offload(self.network, self.adapter_targets(), self.choice.offloaded, self._dtype)

    def park_encoders(self) -> None:
        if self.choice.encoders == "leave":
            for encoder in self._text_encoders:
                encoder.to("cpu")

    @abc.abstractmethod
    def encode_image(self, pixels: Tensor) -> Tensor: ...

    def encode_photo(self, pixels: Tensor, warn: Callable[[str], None]) -> Tensor:
        # for the call alone: pipelines decode in what they draw in
        autoencoder = self._pipeline.vae
        usual = autoencoder.dtype
        if usual == torch.float32:
            return self.encode_image(pixels)
        nn.Module.to(autoencoder, torch.float32)  # diffusers' own warns
        try:
            return self.encode_image(pixels).to(self._dtype)
        except torch.OutOfMemoryError:
            pass
        finally:
            nn.Module.to(autoencoder, usual)
        hardware.release_memory()
        warn(
            "Photos were encoded in bfloat16, which keeps a little less of their detail: beside "
            "the base in memory there was no room for float32."
        )
        return self.encode_image(pixels)

    def kept_ids(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Position ids, where they are used: they are copied there once, not at every step."""
        kept: OrderedDict[Hashable, Tensor] = vars(self).setdefault("_ids", OrderedDict())
        if key not in kept:
            kept[key] = make()
        kept.move_to_end(key)
        if len(kept) > MOST_IDS:
            kept.popitem(last=False)
        return kept[key]

    def image_tokens(self, width: int, height: int) -> int:
        return (width // PIXELS_PER_TOKEN) * (height // PIXELS_PER_TOKEN)

    def adapter_targets(self) -> list[str]:
        """Every Linear of both block types, not the embedders and the output."""
        return [
            name
            for name, module in self.network.named_modules()
            if isinstance(module, nn.Linear) and name.startswith(loading.BLOCKS)
        ]

    def checkpoint_gradients(self, blocks: int | None = None) -> None:
        # the first ones: by the time the backward pass comes to them, what the others kept is free
        # again
        chosen = {id(block) for block in self._blocks[:blocks]}
        self.choice = replace(self.choice, checkpointed=len(chosen))

        def run(block: nn.Module, *inputs: Any) -> Any:
            return (
                # nothing in a block is drawn at random
                checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
                if id(block) in chosen
                else block(*inputs)
            )

        self.network.enable_gradient_checkpointing(run)

    @property
    def _blocks(self) -> list[nn.Module]:
        return [*self.network.transformer_blocks, *self.network.single_transformer_blocks]

    @property
    def blocks(self) -> int:
        return len(self._blocks)

    def offload_blocks(self, count: int) -> None:
        targets = [name for name in self.adapter_targets() if ".lora_" not in name]
        loading.offload(self.network, targets, count, self._dtype)
        self.choice = replace(self.choice, offloaded=count)

    def parts(self) -> Parts:
        beside = {
            name: part
            for name, part in self._pipeline.components.items()
            if part is not None and name not in ("transformer", "scheduler")
        }
        return Parts(Path(self.row.source), beside)

    def release_encoders(self, *, keep_decoder: bool) -> None:
        self._pipeline.register_modules(**dict.fromkeys(self.encoders))
        if not keep_decoder:
            self._pipeline.register_modules(vae=None)

    def pipeline(self, start: Start = "text") -> Any:
        if start == "text":
            return self._pipeline
        made = self._with_components(self.starts[start])
        made.set_progress_bar_config(disable=True)
        return made

    def _with_components(self, kind: type[Any]) -> Any:
        """Another pipeline over the same components."""
        return kind(**self._pipeline.components)


def same_parts(parts: Parts | None, source: Path) -> dict[str, Any]:
    """Of the parts of another set of weights, those that a diffusers folder has the very files
    of."""
    if parts is None or not parts.source.is_dir():
        return {}
    return {
        name: part
        for name, part in parts.components.items()
        if _same_files(parts.source / name, source / name)
    }


def _same_files(one: Path, other: Path) -> bool:
    names = [{path.name for path in folder.glob("*")} for folder in (one, other)]
    return (
        bool(names[0])
        and names[0] == names[1]
        and all(
            # links into the hub's cache lead to files that are called by their hashes
            (one / name).resolve().name == (other / name).resolve().name != name
            or filecmp.cmp(one / name, other / name, shallow=False)
            for name in names[0]
        )
    )


@contextlib.contextmanager
def reading(row: Base) -> Iterator[None]:
    """Around the reading of a base's parts; raises InputError for what is not here."""
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()  # ours is the only one
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The weights of {row.name} are not on this machine: accept their licence at "
            f"huggingface.co/{row.source}, run `hf download {row.source}`, or give --base the path "
            "of a diffusers folder."
        ) from error
