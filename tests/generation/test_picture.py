"""How pictures show themselves."""

from __future__ import annotations

import io

from PIL import Image

from fluxbooth import Picture
from fluxbooth.generation.picture import THUMBNAIL, Pictures


def picture(text: str = "ohwx <man> at sea", side: int = 512) -> Picture:
    return Picture(Image.new("RGB", (side, side), "red"), 5, side, side, text, {"base": "nano"})


def test_a_picture_shows_itself() -> None:
    shown = Image.open(io.BytesIO(picture()._repr_png_()))
    assert (shown.format, shown.size) == ("PNG", (512, 512))
    assert repr(picture()) == "<Picture 512 x 512, seed 5: ohwx <man> at sea>"


def test_pictures_are_a_table() -> None:
    both = Pictures([picture(), picture("a dog", 64)])
    assert [line.split() for line in repr(both).splitlines()] == [
        ["seed", "size", "text"],
        ["0", "5", "512", "x", "512", "ohwx", "<man>", "at", "sea"],
        ["1", "5", "64", "x", "64", "a", "dog"],
    ]
    page = both._repr_html_()
    assert page.count("<img") == 2 and "&lt;man&gt;" in page and f"{THUMBNAIL}px" in page
    assert repr(Pictures()).split() == ["seed", "size", "text"]
