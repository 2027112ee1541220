"""Pictures as `generate` gives them: each with its recipe, and a list that shows itself."""

from __future__ import annotations

import base64
import html
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from fluxbooth import picture_files
from fluxbooth.generation.recipe import parameters_text
from fluxbooth.results import columns

THUMBNAIL = 256  # pixels of the longer side


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture and how it was made.

    Attributes:
        image: RGB, or RGBA without its background; 8 bits a channel, `width` x `height` pixels.
        seed: That it was drawn from; with the same recipe it gives the same picture.
        width: Pixels.
        height: Pixels.
        text: The prompt as it was given.
        metadata: The recipe, as JSON: base, text, seed, size, steps, guidance, LoRAs with weight
            and hash.
        given: The file that it was made of, if there was one.
    """

    image: Image.Image
    seed: int
    width: int
    height: int
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    given: Path | None = None

    def __repr__(self) -> str:
        return f"<Picture {self.width} x {self.height}, seed {self.seed}: {self.text}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return _png(self.image)

    def save(self, path: str | Path) -> None:
        """Writes a picture that says that it was made with AI; a PNG also carries its recipe:
        the `parameters` text that A1111 and Civitai read, and our JSON. OSError if it cannot."""
        texts = {
            "parameters": parameters_text(self.metadata),
            "fluxbooth": json.dumps(self.metadata),
        }
        source, base = (
            picture_files.source_of(self.metadata),
            picture_files.base_of(self.metadata),
        )
        picture_files.save(self.image, path, source, texts=texts, base=base)


class Pictures(list[Picture]):
    """What `generate` gives back: a list that shows itself as a table, in a notebook with
    thumbnails."""

    def __repr__(self) -> str:
        rows = [
            (str(i), str(p.seed), f"{p.width} x {p.height}", p.text) for i, p in enumerate(self)
        ]
        return columns([("", "seed", "size", "text"), *rows])

    def _repr_html_(self) -> str:
        return "".join(
            f'<figure style="display:inline-block;margin:4px;width:{THUMBNAIL}px"><img '
            f'src="{_thumbnail(p.image)}">'
            f"<figcaption>{i}: seed {p.seed}, {html.escape(p.text)}</figcaption></figure>"
            for i, p in enumerate(self)
        )


def _thumbnail(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return f"data:image/png;base64,{base64.b64encode(_png(small)).decode()}"


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
