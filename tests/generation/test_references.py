"""Pictures that a text is also drawn from: which bases look at them, and when the input image is
one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxKontextPipeline
from diffusers.pipelines.flux import pipeline_flux_kontext as kontext
from PIL import Image

from fluxbooth import (
    GenerateSpec,
    InputError,
    base_selection,
    enhance,
    generate,
    picture_files,
)
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.generation import order, references
from fluxbooth.generation.sampling import draw
from fluxbooth.models import loader, registry
from fluxbooth.models.flux1 import family as flux1
from fluxbooth.models.flux1.bases import NANO
from tests.support import klein

TEXT = "make the hair red"
PHOTO, OTHER = str(PHOTOS / "photo-01.png"), str(PHOTOS / "photo-02.png")


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(klein.folder(tmp_path_factory.mktemp("klein") / "distilled"))


@pytest.mark.parametrize("base", ["nano", "flux-dev", "flux-krea", "flux-schnell"])
def test_bases_that_look_at_nothing_refuse_every_picture_alike(base: str) -> None:
    spec = GenerateSpec(base=base, references=(PHOTO,))
    with pytest.raises(InputError, match=f"{base} looks at no pictures: draw with .*flux2-klein"):
        generate([TEXT], spec)
    assert "references" in registry.refusals(spec.asked(), registry.find(base))


def test_only_so_many_pictures_are_looked_at_the_input_image_among_them() -> None:
    one = GenerateSpec(base="flux-kontext", references=(PHOTO,))
    registry.resolve_drawing(one)
    registry.resolve_drawing(GenerateSpec(base="flux-kontext", input_image=PHOTO))
    for more in (
        {"references": (PHOTO, OTHER)},
        {"references": (PHOTO,), "input_image": OTHER},
        {"base": "flux2-klein", "references": (PHOTO,) * 4, "input_image": OTHER},
    ):
        with pytest.raises(InputError, match=r"looks at [14] at most"):
            registry.resolve_drawing(GenerateSpec.read(one.model_dump() | more))
    with pytest.raises(InputError, match="References"):
        GenerateSpec(references=(PHOTO,) * 5)


def test_an_input_image_that_is_only_started_from_is_not_looked_at() -> None:
    four = GenerateSpec(base="flux2-klein", references=(PHOTO,) * 4, input_image=OTHER)
    row = registry.find("flux2-klein")

    def looks_at(**fields: Any) -> int:
        spec = four.model_copy(update=fields)
        if registry.looks_at(row, spec.asked()) <= row.references:
            registry.resolve_drawing(spec)
        return registry.looks_at(row, spec.asked())

    assert looks_at(denoising_strength=0.5) == 4
    assert looks_at() == looks_at(mask_image=OTHER, denoising_strength=0.5) == 5
    one = GenerateSpec(
        base="flux-kontext", references=(PHOTO,), input_image=OTHER, denoising_strength=0.5
    )
    with pytest.raises(InputError, match="looks at 1 at most"):  # it cannot do both
        registry.resolve_drawing(one)


def test_the_plan_counts_what_is_looked_at_once_and_the_largest_piece(distilled: str) -> None:
    looking = GenerateSpec(base=distilled, width=64, height=64, references=(OTHER,))
    assert order.read(TEXT, looking, ()).largest_piece == 64 * 64
    row = registry.find("nano")
    kept: dict[str, Any] = {"base": "nano", "input_image": PHOTO, "denoising_strength": 0}
    grained = order.read("", GenerateSpec(**kept, film_grain=True), ())
    assert grained.largest_piece == 0
    with Image.open(PHOTO) as image:
        photo = image.size
    larger = order.read("", GenerateSpec(**kept, tiled_upscale=True, upscale_factor=2), ())
    whole = 4 * photo[0] * photo[1]
    assert larger.largest_piece == (whole if whole <= row.largest_area else row.native_area)
    small = GenerateSpec(base="nano", width=64, height=64, face_correct=True)
    assert order.read(TEXT, small, ()).largest_piece == row.native_area


@pytest.mark.parametrize(
    ("more", "edits"),
    [
        ({}, True),
        ({"denoising_strength": 0.5}, False),
        ({"mask_image": OTHER}, False),
        ({"only_upscale": True}, False),
        ({"references": (OTHER,)}, True),
    ],
)
def test_the_input_image_is_changed_as_the_text_says_unless_a_strength_or_a_mask_is_given(
    distilled: str, tmp_path: Path, more: dict[str, object], edits: bool
) -> None:
    Image.new("RGB", (96, 160)).save(tmp_path / "tall.png")
    spec = GenerateSpec.read({"base": distilled, "input_image": str(tmp_path / "tall.png")} | more)
    read = order.read(TEXT, spec, ())
    assert (read.canvas.start is None) == edits
    edited = [one.edited for one in read.canvas.references]
    assert edited == ([True] if edits else []) + [False] * len(spec.references)
    assert 1.5 < read.canvas.size[1] / read.canvas.size[0] < 1.8  # its shape is kept
    if edits:
        words = order.read("", spec, ())  # nothing to change
        assert words.canvas.start is not None


def test_elsewhere_the_input_image_is_where_a_picture_starts() -> None:
    read = order.read(TEXT, GenerateSpec(base="nano", input_image=PHOTO), ())
    assert read.canvas.start is not None
    assert not read.canvas.references


def test_recipes_tell_what_was_looked_at_and_no_path(distilled: str) -> None:
    spec = GenerateSpec(
        base=distilled, width=64, height=64, steps=1, seed=1, input_image=PHOTO, references=(OTHER,)
    )
    recipe = generate([TEXT], spec)[0].metadata
    first, second = recipe["references"]
    assert first["edited"]
    assert "edited" not in second
    assert len({first["sha256"], second["sha256"]}) == 2
    assert "input" not in recipe
    assert picture_files.source_of(recipe) == picture_files.EDITED
    assert str(PHOTOS) not in str(recipe)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ((64, 64), (64, 64)),
        ((70, 100), (64, 96)),
        ((3000, 1000), (1760, 576)),
        ((1024, 1024), (1024, 1024)),
    ],
)
def test_sizes_are_brought_to_whole_tokens(given: tuple[int, int], asked: tuple[int, int]) -> None:
    assert references.fitted(Image.new("RGB", given), "a").size == asked


@pytest.mark.parametrize("size", [(63, 200), (80, 800)])
def test_pictures_that_are_too_small_or_too_long_are_refused_by_name(
    size: tuple[int, int], tmp_path: Path, distilled: str
) -> None:
    Image.new("RGB", size).save(tmp_path / "odd.png")
    with pytest.raises(InputError, match=rf"odd\.png is {size[0]} x {size[1]} pixels"):
        generate([TEXT], GenerateSpec(base=distilled, references=(str(tmp_path / "odd.png"),)))
    with pytest.raises(InputError, match="is a folder"):
        generate([TEXT], GenerateSpec(base=distilled, references=(str(tmp_path),)))


def test_where_nothing_is_drawn_nothing_is_looked_at_and_that_is_told() -> None:
    told: list[str] = []

    def report(event: Any) -> None:
        told.extend(str(one.message) for one in event.get("advice", ()))

    enhance(PHOTO, GenerateSpec(references=(OTHER,), film_grain=True), report)
    assert any("references" in sentence and "nothing" in sentence for sentence in told), told


def test_without_a_base_one_that_looks_is_meant() -> None:
    assert base_selection.with_base(GenerateSpec(references=(PHOTO,))).base == "flux2-klein"


@torch.no_grad()
def test_kontext_looks_as_plain_diffusers_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """On nano's weights, and at its size."""
    for module in (kontext, flux1):
        monkeypatch.setattr(module, "PREFERRED_KONTEXT_RESOLUTIONS", [(128, 96), (96, 128)])
    family = loader.load("nano", dtype="float32")
    photo = references.fitted(Image.open(PHOTO).convert("RGB"), "photo")
    told, size, steps = family.encode_text([TEXT], 72), (128, 96), 3
    ours = draw(
        family, told, [7], size, steps, 2.5, None, [references.Reference(photo, "")]
    )[0]  # fmt: skip
    pipeline = FluxKontextPipeline.from_pretrained(NANO)
    pipeline.set_progress_bar_config(disable=True)
    drawn: Any = pipeline(
        image=photo, prompt=TEXT, width=size[0], height=size[1], max_area=size[0] * size[1],
        num_inference_steps=steps, guidance_scale=2.5, max_sequence_length=72,
        generator=torch.Generator().manual_seed(7),
    )  # fmt: skip
    theirs = drawn.images[0]
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int)).max() <= 1
    # and a loop of our own, by the velocity
    seen = told | family.encode_references([photo])
    noise = torch.randn(1, 16, 12, 16, generator=torch.Generator().manual_seed(7))
    x = family.pack(noise)
    for now, then in itertools.pairwise(family.sigmas(steps, size)):
        x = x + (then - now) * family.velocity(x, torch.tensor([now]), seen, 2.5, size)
    pixels = ((family.decode_image(x, size)[0] / 2 + 0.5).clamp(0, 1) * 255).round()
    by_hand = pixels.permute(1, 2, 0).numpy()
    assert np.abs(by_hand - np.asarray(theirs).astype(int)).max() <= 1


def test_kontext_only_draws() -> None:
    row = registry.find("flux-kontext")
    assert (row.references, row.trains, row.guidance) == (1, False, 2.5)
    with pytest.raises(InputError, match="flux-kontext cannot be trained"):
        registry.find_to_train("flux-kontext")
