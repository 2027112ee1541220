"""What options do to a picture: each that works changes it, in the order of the contract, by the
picture's seed alone, and the metadata says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import upscaling
from fluxbooth.generation.generate import enhance, generate
from fluxbooth.generation.picture import Picture
from fluxbooth.lora.inference import AdapterCache
from fluxbooth.models import loader
from fluxbooth.models.family import Family
from fluxbooth.prompts.language import Advice
from fluxbooth.specs import GenerateSpec

TEXT = "a man with red hair in front of a blue wall"
CACHE = AdapterCache()


def draw(family: Family, text: str = TEXT, **fields: Any) -> Picture:
    spec = GenerateSpec(base="nano", seed=3, steps=6, **fields)
    return generate(text, spec, family=family, cache=CACHE)[0]


@pytest.fixture(scope="module")
def family() -> Family:
    return loader.load("nano")


@pytest.fixture(scope="module")
def plain(family: Family) -> Picture:
    return draw(family)


@pytest.fixture(scope="module")
def start(plain: Picture, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("start") / "start.png"
    plain.save(path)
    return str(path)


def steps(picture: Picture) -> list[str]:
    return [step["step"] for step in picture.metadata.get("enhanced", [])]


@pytest.mark.parametrize(
    ("flags", "size", "done"),
    [
        ("--style Cinematic", (128, 128), []),
        ("--color_grading ektar", (128, 128), ["color_grading"]),
        ("--film_grain", (128, 128), ["film_grain"]),
        ("--super_resolution --upscale_factor 2", (256, 256), ["super_resolution"]),
        ("--resolution 2K", (256, 256), ["super_resolution"]),
        ("--super_resolution --upscale_factor 1.5 --hires_fix", (192, 192),
         ["super_resolution", "hires_fix"]),
        ("--tiled_upscale --upscale_factor 1.5", (192, 192), ["super_resolution", "hires_fix"]),
        ("--remove_background", (128, 128), ["remove_background"]),
        ("--outpaint center --outpaint_width 160 --outpaint_prompt \"a wall\"", (160, 160),
         ["outpaint"]),
    ],
)  # fmt: skip
def test_an_option_changes_the_picture_and_is_named(
    family: Family, plain: Picture, flags: str, size: tuple[int, int], done: list[str]
) -> None:
    made = draw(family, f"{TEXT} {flags}")
    assert made.image.size == size == (made.metadata["width"], made.metadata["height"])
    assert steps(made) == done
    assert made.metadata["text"] == TEXT
    same = made.image.convert("RGB").resize(plain.image.size)
    assert (
        np.asarray(same).tolist() != np.asarray(plain.image).tolist() or made.image.mode == "RGBA"
    )


def test_the_order_is_that_of_the_contract_and_the_seed_repeats_it(family: Family) -> None:
    flags = (
        "--remove_background --film_grain --color_grading ektar --hires_fix --super_resolution "
        "--upscale_factor 1.5 --outpaint center --outpaint_width 160 --inpaint_faces"
    )
    first, second = (draw(family, f"{TEXT} {flags}") for _ in range(2))
    assert steps(first) == [
        "outpaint", "super_resolution", "hires_fix", "faces", "color_grading", "film_grain",
        "remove_background",
    ]  # fmt: skip
    assert first.image.mode == "RGBA" and first.image.tobytes() == second.image.tobytes()


def test_only_upscale_draws_nothing(start: str) -> None:
    """No base is loaded for it, nor is there a text."""
    made = generate("", GenerateSpec(base="nano", input_image=start, only_upscale=True))[0]
    assert steps(made) == ["super_resolution"] and made.image.size == (512, 512)
    small = made.image.resize((128, 128), Image.Resampling.BOX)
    assert np.abs(np.asarray(small) - np.asarray(Image.open(start)).astype(int)).mean() < 4


def test_outpainting_alone_keeps_every_pixel(family: Family, start: str) -> None:
    made = draw(
        family, "", input_image=start, denoising_strength=0, outpaint="bottom-right",
        outpaint_width=160, outpaint_height=144,
    )  # fmt: skip
    kept = made.image.crop((32, 16, 160, 144))
    assert np.array_equal(np.asarray(kept), np.asarray(Image.open(start)))


def test_a_mask_by_words_changes_that_part_alone(family: Family, start: str) -> None:
    made = draw(
        family, "a man with red hair in a green wood", input_image=start, denoising_strength=0.9,
        mask_prompt="background", mask_dilate="-2", fill=True, film_grain=True, restore_mask=True,
    )  # fmt: skip
    assert steps(made) == ["film_grain", "restore_mask"]
    off = np.abs(np.asarray(made.image).astype(int) - np.asarray(Image.open(start))).max(2)
    assert (off == 0).mean() > 0.1 and off.mean() > 2


@pytest.mark.parametrize(("side", "told"), [(768, ["takes_minutes"]), (128, [])])
def test_that_enlarging_takes_minutes_is_said_before(
    side: int, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (side, side)).save(tmp_path / "large.png")
    monkeypatch.setattr(
        upscaling, "upscale", lambda image, factor, **_: upscaling.Upscaled(image, "none")
    )
    said: list[Advice] = []
    enhance(
        tmp_path / "large.png", GenerateSpec(super_resolution=True),
        lambda event: said.extend(event["advice"]) if event["event"] == "advice" else None,
    )  # fmt: skip
    assert [one.code for one in said] == told


def test_ignored_options_are_told_and_not_done(family: Family) -> None:
    said: list[Advice] = []
    spec = GenerateSpec(base="nano", seed=3, steps=6, hires_fix=True)
    made = generate(
        f"{TEXT} --scheduler euler --nope", spec,
        lambda event: said.extend(event["advice"]) if event["event"] == "advice" else None,
        family=family, cache=CACHE,
    )[0]  # fmt: skip
    assert steps(made) == []
    assert [one.code for one in said] == ["option_ignored", "option_ignored", "unknown_flag"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{TEXT} --video", "The option video is not offered"),
        (f"{TEXT} --prompt_expansion", "The option prompt_expansion is done by servers alone"),
        (f"{TEXT} --only_upscale", "The option only_upscale needs input_image"),
        (f"{TEXT} --style Nonsense", "Style 'Nonsense' will not do"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_drawn(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        generate(text, GenerateSpec(base="nano"))


def test_any_picture_is_enhanced_without_a_base(start: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.effect_noise((90, 60), 60).convert("RGB").save(photo)
    spec = GenerateSpec(film_grain=True, super_resolution=True, input_image=str(photo))
    made = enhance([photo, start], spec)
    assert [one.image.size for one in made] == [(360, 240), (512, 512)]
    assert [one.metadata["base"] for one in made] == ["flux-dev", "nano"]


def test_two_people_are_drawn_with_their_own_lora_each(family: Family, lora: Path) -> None:
    """Called twice by the same words, each with a LoRA; called once, LoRAs add up as ever."""
    tags = f"<lora:{lora}:1> <lora:{lora}:0.5>"
    text = f"{tags} ohwx man and ohwx man, side by side, in front of a blue wall"
    two = draw(family, text)
    assert steps(two) == ["people"] and len(two.metadata["loras"]) == 2
    for name in ("multi", "use_regional"):  # what is done unasked
        assert draw(family, text, **{name: True}).image == two.image
    one = draw(family, f"{tags} ohwx man in front of a blue wall")
    assert steps(one) == []


@pytest.mark.parametrize("content", [b"junk", b"", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused_by_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.png"):
        enhance(path, GenerateSpec(film_grain=True))


def test_a_style_where_nothing_is_drawn_is_ignored_and_refused_alone(start: str) -> None:
    said: list[Advice] = []
    enhance(
        start, GenerateSpec(style="Cinematic", film_grain=True),
        lambda event: said.extend(event["advice"]) if event["event"] == "advice" else None,
    )  # fmt: skip
    assert [one.message for one in said] == [
        "style is ignored where nothing is drawn: leave it out, or let the picture be drawn."
    ]
    with pytest.raises(InputError, match="nothing is done to it: style is ignored where nothing"):
        enhance(start, GenerateSpec(style="Cinematic"))


def test_a_picture_that_is_enhanced_may_be_drawn_anew(start: str) -> None:
    """With the flags of its text as with the fields of its spec."""
    spec = GenerateSpec(steps=6, seed=3, input_image=start, denoising_strength=0.4)
    (drawn,) = enhance(start, spec, text=TEXT)
    (flagged,) = enhance(start, GenerateSpec(seed=3), text=f"{TEXT} --tiled_upscale")
    assert drawn.metadata["input"]["strength"] == 0.4 and steps(drawn) == []
    assert steps(flagged) == ["super_resolution", "hires_fix"]
