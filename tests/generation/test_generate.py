from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fluxbooth import GenerateSpec, InputError, generate, picture_files
from fluxbooth.generation.generate import PLAIN, of_one_colour
from fluxbooth.generation.recipe import parameters_text
from fluxbooth.lora.file import find
from tests.support.images import opened

QUICK = GenerateSpec(base="nano", steps=4, seed=11)
TEXT = "a man with glasses, smiling, at the beach"


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_seed_gives_the_same_picture_alone_and_in_a_batch() -> None:
    three = generate([TEXT], QUICK.model_copy(update={"num_images": 3}))
    alone = generate([TEXT], QUICK.model_copy(update={"seed": 13}))
    assert [p.seed for p in three] == [11, 12, 13]
    assert np.abs(pixels(three[2].image) - pixels(alone[0].image)).max() <= 1
    assert np.abs(pixels(three[0].image) - pixels(three[1].image)).max() > 20


def test_a_random_seed_is_recorded_and_repeats_the_picture() -> None:
    first = generate([TEXT], QUICK.model_copy(update={"seed": None}))[0]
    again = generate([TEXT], QUICK.model_copy(update={"seed": first.seed}))[0]
    assert np.array_equal(pixels(first.image), pixels(again.image))


def test_a_size_beyond_the_base_is_drawn_at_its_native_area_and_scaled(tmp_path: Path) -> None:
    picture = generate([TEXT], QUICK.model_copy(update={"width": 1024, "height": 768}))[0]
    assert picture.image.size == (1024, 768) == (picture.width, picture.height)
    assert picture.metadata["drawn_at"] == "144x112"
    picture.save(tmp_path / "p.png")
    assert "Drawn at: 144x112" in opened(tmp_path / "p.png").info["parameters"]


def test_the_png_carries_its_recipe(tmp_path: Path, lora: Path) -> None:
    picture = generate([f"{TEXT} <lora:{lora}:0.8>"], QUICK)[0]
    picture.save(tmp_path / "p.png")
    info = opened(tmp_path / "p.png").info
    assert picture_files.source_in(opened(tmp_path / "p.png")) == picture_files.GENERATED
    text, line = info["parameters"].rsplit("\n", 1)
    assert text == f"{TEXT} <lora:run:0.8>"
    pairs = dict(re.findall(r'(\w[\w ]*): ("[^"]*"|[^,]+)(?:, |$)', line))
    assert pairs["Steps"] == "4"
    assert pairs["Seed"] == "11"
    assert pairs["Size"] == "128x128"
    assert pairs["Model"] == "nano"
    assert re.fullmatch(r'"run: [0-9a-f]{12}"', pairs["Lora hashes"])
    recipe = json.loads(info["fluxbooth"])
    assert (recipe["text"], recipe["seed"], recipe["guidance"], recipe["loras"][0]["weight"]) == (
        TEXT,
        11,
        3.5,
        0.8,
    )


def test_weights_of_loras_scale_add_up_and_leave_other_prompts_alone(lora: Path) -> None:
    plain = pixels(generate([TEXT], QUICK)[0].image)
    mixed = generate(
        [
            f"{TEXT} <lora:{lora}:0.5> <lora:{lora}:0.5>",
            f"{TEXT} <lora:{lora}>",
            TEXT,
            f"{TEXT} <lora:{lora}:0>",
        ],
        QUICK,
    )
    twice_half, whole, without, none = (pixels(p.image) for p in mixed)
    assert np.array_equal(without, plain)
    assert np.abs(none - plain).max() <= 1
    assert np.abs(whole - plain).max() > 20
    assert np.abs(twice_half - whole).max() <= 1


def test_a_lora_from_elsewhere_has_a_hash_and_any_name(tmp_path: Path, lora: Path) -> None:
    """Where the header tells none it is that of the numbers, as kohya's tools have it; a name
    cannot break the recipe's text."""
    path = tmp_path / 'my "best", one: two.safetensors'
    save_file(load_file(lora), path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    digest = hashlib.sha256(path.read_bytes()[8 + length :]).hexdigest()
    picture = generate([TEXT], QUICK.model_copy(update={"steps": 1, "loras": (str(path),)}))[0]
    assert picture.metadata["loras"] == [{"name": path.stem, "weight": 1.0, "sha256": digest}]
    text, line = parameters_text(picture.metadata).split("\n")
    assert text == f"{TEXT} <lora:my best one two:1>"
    # as A1111 takes it apart
    pairs = re.findall(r'(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', line)
    assert dict(pairs)["Lora hashes"] == f'"my best one two: {digest[:12]}"'
    assert len(pairs) == 9


def test_a_picture_of_one_colour_is_said(tmp_path: Path, lora: Path) -> None:
    """Of numbers that are sound each by itself."""
    said: list[Any] = []
    save_file(
        {name: 1e30 * value for name, value in load_file(lora).items()},
        tmp_path / "strong.safetensors",
    )
    strong = QUICK.model_copy(
        update={"steps": 2, "num_images": 2, "loras": (str(tmp_path / "strong.safetensors"),)}
    )
    pictures = generate([TEXT], strong, said.append)
    assert all(of_one_colour(picture.image) for picture in pictures)
    advice = [
        one
        for event in said
        if event["event"] == "advice"
        for one in event["advice"]
        if one.code == PLAIN
    ]
    assert (
        len(advice) == 1
        and "seeds 11, 12 are of one colour" in advice[0].message
        and "lower weights" in advice[0].message
    )
    assert [event["event"] for event in said][-2:] == ["advice", "picture"]


def test_what_of_a_lora_is_not_used_is_said(tmp_path: Path, lora: Path) -> None:
    clip = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file(
        load_file(lora) | {clip.format(x): torch.ones(4, 4) for x in "AB"},
        tmp_path / "both.safetensors",
    )
    said: list[Any] = []
    generate(
        [TEXT],
        QUICK.model_copy(update={"steps": 1, "loras": (str(tmp_path / "both.safetensors"),)}),
        said.append,
    )
    assert any(
        one.code == "lora_partly_used" and one.message.startswith("both also holds")
        for one in said[1]["advice"]
    )


def test_a_lora_is_found_by_name(
    tmp_path: Path, lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loras" / "anna").mkdir(parents=True)
    for place in (
        tmp_path / "loras" / "anna" / "ohwx.safetensors",
        tmp_path / "loras" / "style.safetensors",
    ):
        place.write_bytes(lora.read_bytes())
    with pytest.raises(InputError, match="FLUXBOOTH_LORAS"):
        find("anna")
    monkeypatch.setenv("FLUXBOOTH_LORAS", str(tmp_path / "loras"))
    assert find("anna") == tmp_path / "loras" / "anna" / "ohwx.safetensors"
    assert find("style") == tmp_path / "loras" / "style.safetensors"
    assert find("style", [tmp_path]) == tmp_path / "loras" / "style.safetensors"


def test_advice_comes_before_the_pictures(lora: Path) -> None:
    events: list[dict] = []
    generate(
        [f"a person at the beach without a hat, smiling <lora:{lora}>"],
        QUICK.model_copy(update={"steps": 1}),
        events.append,
    )
    assert [e["event"] for e in events] == ["plan", "advice", "picture"]
    assert {a.code for a in events[1]["advice"]} == {"trigger_missing", "negation"}


def test_weighted_syntax_does_not_reach_the_encoders() -> None:
    weighted = generate(["a man with (glasses:1.3), smiling, at the ((beach))"], QUICK)[0]
    assert np.array_equal(pixels(weighted.image), pixels(generate([TEXT], QUICK)[0].image))


def test_a_negative_prompt_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(InputError, match="negative"):
        generate([TEXT], QUICK.model_copy(update={"negative_prompt": "blurry, bad hands"}))


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("start") / "portrait.png"
    generate([TEXT], GenerateSpec(base="nano", steps=8, seed=5, aspect_ratio="3:4"))[0].image.save(
        path
    )
    return path


def test_a_picture_to_start_from_is_kept_less_the_stronger_the_noise(portrait: Path) -> None:
    asked = QUICK.model_copy(update={"input_image": str(portrait), "steps": 8})
    before = pixels(Image.open(portrait))

    def change(strength: float) -> float:
        picture = generate([TEXT], asked.model_copy(update={"denoising_strength": strength}))[0]
        assert picture.image.size == opened(portrait).size  # the shape of what it starts from
        assert picture.metadata["input"]["strength"] == strength
        picture.save(portrait.with_suffix(".webp"))
        said = picture_files.source_in(opened(portrait.with_suffix(".webp")))
        assert said == picture_files.EDITED
        return float(np.abs(pixels(picture.image) - before).mean())

    with pytest.raises(InputError, match="0 keeps the picture, and nothing is done to it"):
        change(0.0)
    assert change(0.3) < change(0.95)


def test_only_what_is_white_in_a_mask_is_drawn_anew(portrait: Path, tmp_path: Path) -> None:
    before = pixels(Image.open(portrait))
    white = np.zeros(before.shape[:2], np.uint8)
    white[:, : before.shape[1] // 2] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    asked = QUICK.model_copy(
        update={
            "input_image": str(portrait),
            "mask_image": str(tmp_path / "mask.png"),
            "num_images": 2,
            "steps": 8,
        }
    )
    first, second = generate(["a man in front of a brick wall"], asked)
    changed = np.abs(pixels(first.image) - before).mean(axis=(0, 2))
    assert changed[:20].mean() > 5 and changed[-20:].max() == 0
    alone = generate(
        ["a man in front of a brick wall"],
        asked.model_copy(update={"seed": second.seed, "num_images": 1}),
    )[0]
    assert np.array_equal(pixels(alone.image), pixels(second.image))


def test_a_mask_that_cannot_be_used_is_refused_before_anything_is_drawn(
    portrait: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="needs the picture"):
        generate([TEXT], QUICK.model_copy(update={"mask_image": str(portrait)}))
    Image.new("L", (64, 64)).save(tmp_path / "black.png")
    with pytest.raises(InputError, match="all black"):
        generate(
            [TEXT],
            QUICK.model_copy(
                update={"input_image": str(portrait), "mask_image": str(tmp_path / "black.png")}
            ),
        )
    (tmp_path / "words.jpg").write_text("words")
    with pytest.raises(InputError, match=r"Cannot read words\.jpg"):
        generate([TEXT], QUICK.model_copy(update={"input_image": str(tmp_path / "words.jpg")}))
