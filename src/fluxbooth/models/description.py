"""What a family says of itself to those who load no weights: no torch.

`family.py` is the other half of the seam, which computes. The module `description.py` of a family's
package is one of these, and `registry.FAMILIES` has them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fluxbooth.memory.size import Shape
from fluxbooth.models.base import Base
from fluxbooth.models.layer_names import LayerNames


class Description(Protocol):
    @property
    def BASES(self) -> Sequence[Base]:
        """The rows of the bases that have a name."""
        ...

    @property
    def layers(self) -> LayerNames: ...

    @property
    def preload(self) -> Sequence[str]:
        """Modules that a process needs to run it, which take seconds to import."""
        ...

    @property
    def encoders_words(self) -> str:
        """Its text encoders as messages call them."""
        ...

    def own(self, name: str, path: Path, /) -> Base | None:
        """The row of weights of one's own at a path, called `name`; None if they are another
        family's. Raises InputError for a file that cannot be read."""
        ...

    def shape(self, source: str, /) -> Shape:
        """The size of a base's source: read from its folder or file, or that of the hub's."""
        ...

    def layer_sizes(self, source: str, /) -> Mapping[str, tuple[int, int]]:
        """Outputs and inputs of each Linear of a source's network by diffusers' name."""
        ...

    def lora_metadata(self, row: Base, /) -> dict[str, str]:
        """What the header of a LoRA for a base says of the network (`ss_*`, `modelspec.*`)."""
        ...
