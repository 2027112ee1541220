"""Display of results: in a notebook, in an interpreter, printed."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from fluxbooth.generation.generate import Picture

THUMBNAIL = 256  # pixels of the longer side


class Pictures(list["Picture"]):
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


class Facts:
    """Fields, one a line."""

    def __repr__(self) -> str:
        return columns(
            [
                (name, f"{value:.4g}" if isinstance(value, float) else str(value))
                for name, value in vars(self).items()
            ]
        )


def png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def columns(rows: list[tuple[str, ...]]) -> str:
    """Rows of equally many texts, each column as wide as its widest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _thumbnail(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return f"data:image/png;base64,{base64.b64encode(png(small)).decode()}"
