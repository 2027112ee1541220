from __future__ import annotations

from pathlib import Path

from PIL import Image


def opened(path: Path | str) -> Image.Image:
    """The picture of a file that is closed again, also if nothing but its head is asked for."""
    with Image.open(path) as image:
        image.load()
    return image
