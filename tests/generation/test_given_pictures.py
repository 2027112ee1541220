"""Pictures that are given: which kind they are of, what of them is kept, what will not do. Nothing
is drawn here, so no base is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fluxbooth import picture_files
from fluxbooth.errors import InputError
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.events import DrawingEvent
from fluxbooth.generation import order
from fluxbooth.generation.enhance import effort
from fluxbooth.generation.generate import enhance, generate
from fluxbooth.generation.order import Order
from fluxbooth.photos import inspection
from fluxbooth.prompts.language import Advice
from fluxbooth.specs import GenerateSpec

PHOTO = sorted(PHOTOS.glob("*.png"))[0]


class Heard:
    """The advice of a call."""

    def __init__(self) -> None:
        self.advice: list[Advice] = []

    def __call__(self, event: DrawingEvent) -> None:
        if event["event"] == "advice":
            self.advice.extend(event["advice"])


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A soft disc of a photo; what is clear is black beneath."""
    image = Image.open(PHOTO).convert("RGB").resize((64, 48))
    y, x = np.mgrid[:48, :64]
    alpha = (255 * (1.2 - np.hypot(x - 32, y - 24) / 16).clip(0, 1)).astype(np.uint8)
    pixels = np.dstack([np.where(alpha[..., None] > 0, np.asarray(image), 0), alpha])
    path = tmp_path_factory.mktemp("cut") / "cut.png"
    Image.fromarray(pixels.astype(np.uint8), "RGBA").save(path)
    return path


def read(path: Path, **fields: Any) -> Order:
    return order.read(
        "a man", GenerateSpec.read({"base": "nano", "input_image": str(path), **fields}), []
    )


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"film_grain": True}, (64, 48)),
        ({"color_grading": "Ektar"}, (64, 48)),
        ({"only_upscale": True, "upscale_factor": 1.5, "film_grain": True}, (96, 72)),
    ],
)
def test_transparency_is_kept(cut: Path, fields: dict[str, Any], size: tuple[int, int]) -> None:
    made = enhance(cut, GenerateSpec.read(fields))[0].image
    assert (made.mode, made.size) == ("RGBA", size)
    alpha = Image.open(cut).getchannel("A").resize(size, Image.Resampling.LANCZOS)
    assert made.getchannel("A").tobytes() == alpha.tobytes()
    # its colours go on beneath what is clear, so that no dark rim comes into the edge
    assert np.asarray(made.convert("RGB"))[0, 0].max() > 20


def test_what_is_drawn_anew_lies_on_white_and_that_is_said(cut: Path) -> None:
    start = read(cut, denoising_strength=0.5).canvas.start
    assert start and start.flattened and start.alpha is None
    assert np.asarray(start.image)[0, 0].tolist() == [255, 255, 255]
    start = read(cut, denoising_strength=0, film_grain=True).canvas.start
    assert start and not start.flattened and start.alpha


def test_a_decoder_gives_transparency_where_it_is_asked_for(cut: Path, tmp_path: Path) -> None:
    assert inspection.read([cut])[0].pixels.shape == (48, 64, 3)
    assert inspection.read([cut], alpha=True)[0].pixels.shape == (48, 64, 4)
    whole = tmp_path / "whole.png"
    Image.open(PHOTO).convert("RGBA").save(whole)
    assert inspection.read([whole], alpha=True)[0].pixels.shape[2] == 3


def test_a_spec_may_lack_the_picture_that_enhance_gives(tmp_path: Path) -> None:
    for fields in (
        {"mask_prompt": "person"},
        {"mask_image": "mask.png"},
        {"only_upscale": True},
        {"denoising_strength": 0.5},
    ):
        spec = GenerateSpec.read(fields)
        with pytest.raises(InputError, match=r"needs (input_image|the picture|a picture)"):
            generate("a man", spec)
    small = tmp_path / "small.png"
    Image.open(PHOTO).resize((32, 24)).save(small)
    made = enhance(small, GenerateSpec(only_upscale=True, upscale_factor=1.25))
    assert made[0].image.size == (40, 30)


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.webp"])
def test_the_kind_of_a_picture_is_told_by_its_file(tmp_path: Path, name: str) -> None:
    """And not by the base that happens to draw next."""
    photo, drawing = tmp_path / f"photo-{name}", tmp_path / name
    image = Image.open(PHOTO).convert("RGB")
    picture_files.save(image, photo, None)
    picture_files.save(image, drawing, base="nano")
    assert read(photo, only_upscale=True).shown.name == "flux-dev"
    assert read(drawing, only_upscale=True).shown.name == "nano"
    assert read(photo, denoising_strength=0.9).shown.name == "nano"  # which draws all of it
    with pytest.raises(InputError, match='cannot find "hair" in a photograph'):
        read(photo, mask_prompt="hair")
    made = enhance(drawing, GenerateSpec(film_grain=True))[0]
    made.save(tmp_path / "again.jpg")
    assert picture_files.base_said((tmp_path / "again.jpg").read_bytes()) == "nano"
    made = enhance(photo, GenerateSpec(base="nano", film_grain=True))[0]
    for kind in ("same.jpg", "same.png"):
        made.save(tmp_path / kind)
        assert picture_files.base_said((tmp_path / kind).read_bytes()) is None


def test_nothing_to_cut_out_is_advice_and_the_same_picture(tmp_path: Path) -> None:
    sky, heard = tmp_path / "sky.png", Heard()
    Image.new("RGB", (128, 96), "#65B5FF").save(sky)
    made = enhance(sky, GenerateSpec(remove_background=True), heard)[0].image
    assert made.mode == "RGB" and made.tobytes() == Image.open(sky).tobytes()
    assert "shows no people" in heard.advice[-1].message


def test_one_bad_file_of_several_is_left_out_and_named(tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        Image.open(PHOTO).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no picture")
    heard = Heard()
    made = enhance(tmp_path, GenerateSpec(film_grain=True), heard)
    assert [picture.given and picture.given.name for picture in made] == ["a.png", "c.png"]
    assert heard.advice[0].message.startswith("Left out: Cannot read b.png")
    with pytest.raises(InputError, match="Cannot read"):
        enhance(tmp_path / "b.png", GenerateSpec(film_grain=True))


def test_a_canvas_without_room_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(InputError, match="adds nothing to a picture of 128 x 128"):
        order.read("a man --outpaint center --outpaint_width 64", GenerateSpec(base="nano"), [])


def test_what_would_take_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a man --tiled_upscale --upscale_factor 4"
    order.read(text, GenerateSpec(base="nano"), [])
    monkeypatch.setattr(effort, "LONGEST", 1e-6)
    with pytest.raises(InputError, match=r"512 x 512 pixels anew in \d+ windows would take"):
        order.read(text, GenerateSpec(base="nano"), [])
    order.read("a man", GenerateSpec(base="nano"), [])
