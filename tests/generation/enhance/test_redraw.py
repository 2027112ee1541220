from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from fluxbooth.generation.enhance import tiles
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.lora.inference import AdapterCache
from tests.support.lora_files import named, pair


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_at_full_strength_it_is_the_picture_that_the_pipeline_draws(
    redraw: Redraw, drawn: Image.Image
) -> None:
    again = redraw(Image.new("RGB", (128, 128), "red"), strength=1, seed=3)
    assert np.abs(pixels(again) - pixels(drawn)).max() <= 1


def test_the_lower_the_strength_the_more_of_the_picture_is_kept(
    redraw: Redraw, drawn: Image.Image
) -> None:
    changes = [
        np.abs(pixels(redraw(drawn, strength=strength, seed=4)) - pixels(drawn)).mean()
        for strength in (0, 0.25, 0.6, 1)
    ]
    assert changes == sorted(changes)
    assert changes[0] == 0 < changes[1] < 12


def test_a_strength_of_less_than_a_step_still_does_something(
    redraw: Redraw, drawn: Image.Image
) -> None:
    assert len(redraw.family.sigmas(8, drawn.size, 0.05)) == 2
    changes = [
        np.abs(pixels(redraw(drawn, strength=strength, seed=4)) - pixels(drawn)).mean()
        for strength in (0.05, 0.125)
    ]
    assert 0 < changes[0] < changes[1]


def test_a_strength_of_whole_steps_begins_where_the_pipeline_does(redraw: Redraw) -> None:
    whole, part = (redraw.family.sigmas(8, (128, 128), strength) for strength in (1, 0.5))
    assert part == pytest.approx(whole[4:])


def test_a_mask_keeps_the_very_pixels_beside_it(redraw: Redraw, drawn: Image.Image) -> None:
    mask = Image.new("L", drawn.size)
    ImageDraw.Draw(mask).rectangle((40, 30, 90, 80), fill=255)
    changed = pixels(redraw(drawn, strength=0.9, seed=4, mask=mask)) != pixels(drawn)
    inside = np.asarray(mask) > 0
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.5
    nothing = redraw(drawn, strength=0.9, seed=4, mask=Image.new("L", drawn.size))
    assert np.array_equal(pixels(nothing), pixels(drawn))


def test_a_lora_is_on_for_the_call_alone(
    redraw: Redraw, drawn: Image.Image, tmp_path: Path
) -> None:
    layer = "single_transformer_blocks.0.proj_out"
    weight = redraw.family.network.get_parameter(f"{layer}.weight")
    save_file(named({layer: pair(*weight.shape)}), tmp_path / "strong.safetensors")
    lora = AdapterCache().fetch(tmp_path / "strong.safetensors", redraw.family)
    with_lora = redraw.with_loras([(lora, 1.0)])
    plain = pixels(redraw(drawn, strength=0.6, seed=4))
    assert np.abs(pixels(with_lora(drawn, strength=0.6, seed=4)) - plain).max() > 20
    assert np.array_equal(pixels(redraw(drawn, strength=0.6, seed=4)), plain)


def test_a_picture_of_any_size_keeps_it(redraw: Redraw) -> None:
    picture = Image.linear_gradient("L").convert("RGB").resize((150, 101))
    assert redraw(picture, strength=0.3, seed=0).size == (150, 101)


@pytest.mark.parametrize("size", [(256, 256), (512, 96), (144, 160), (1024, 1040)])
def test_windows_overlap_and_cover_the_picture(size: tuple[int, int]) -> None:
    places = tiles.windows(size, 128, 144**2)
    covered = np.zeros(size[::-1], int)
    for window in places:
        assert window.left % 16 == window.top % 16 == 0
        assert window.width <= 128 and window.height <= 128
        covered[
            window.top : window.top + window.height, window.left : window.left + window.width
        ] += 1
    assert covered.min() >= 1
    begins = sorted({window.left for window in places})
    assert all(b - a <= 96 for a, b in itertools.pairwise(begins))


def test_what_windows_agree_on_is_merged_unchanged() -> None:
    whole = torch.randn(1, 16, 32, 48)
    places = tiles.windows((384, 256), 128, 144**2)
    merged = tiles.merged((384, 256), places, 8, lambda window: window.of(whole, 8))
    assert torch.allclose(merged, whole, atol=1e-5)


def test_windows_that_disagree_leave_no_seam() -> None:
    """Each tells another number, -1 or 1: from cell to cell the mean changes by little."""
    numbers = itertools.cycle((-1.0, 1.0))
    places = tiles.windows((384, 256), 128, 144**2)
    merged = tiles.merged(
        (384, 256), places, 8, lambda window: torch.full((1, 1, 16, 16), next(numbers))
    )
    steps = [merged.diff(dim=axis).abs().max() for axis in (2, 3)]
    assert merged.max() - merged.min() > 1
    assert max(steps) < 1


def across(image: Image.Image, line: int) -> float:
    """How much more pixels differ across this line, from above to below and from left to right,
    than across the autoencoder's others, which lie eight pixels apart."""
    down, right = (np.abs(np.diff(pixels(image), axis=axis)).mean((1 - axis, 2)) for axis in (0, 1))
    steps = down + right
    others = [other for other in range(8, 256, 8) if other != line]
    return steps[line - 1] / steps[[other - 1 for other in others]].mean()


def test_hires_fix_has_no_seams(redraw: Redraw) -> None:
    """As strongly as windows then want to show something each, their edges show less than a quarter
    of those of windows that are drawn one by one."""
    plain = Image.new("RGB", (256, 256), (120, 160, 200))
    places = tiles.windows(plain.size, 128, 144**2)
    lines = {w.left for w in places} | {w.left + w.width for w in places}
    assert lines == {0, 64, 128, 192, 256}
    fixed = redraw(plain, strength=0.5, seed=4)
    alone = plain.copy()
    for left, top in itertools.product((0, 128), (0, 128)):
        box = (left, top, left + 128, top + 128)
        alone.paste(redraw(plain.crop(box), strength=0.5, seed=left + top), box)
    assert max(across(fixed, line) for line in lines - {0, 256}) < across(alone, 128) / 4


def test_the_seed_decides(redraw: Redraw, drawn: Image.Image) -> None:
    large = drawn.resize((192, 128), Image.Resampling.LANCZOS)
    some, other = (pixels(redraw(large, strength=0.25, seed=seed)) for seed in (4, 5))
    assert np.abs(some - pixels(large)).max() > 2
    assert not np.array_equal(some, other)


def test_grey_is_kept_until_little_noise_is_left_if_that_is_asked_for(
    redraw: Redraw, drawn: Image.Image
) -> None:
    grey = Image.new("L", drawn.size, 26)
    free, kept = (
        np.asarray(redraw.drawn(drawn, strength=0.8, seed=2, mask=grey, gradual=gradual))
        for gradual in (False, True)
    )
    off = [np.abs(made.astype(int) - np.asarray(drawn)).mean() for made in (free, kept)]
    assert off[1] < 0.5 * off[0]
    anew = redraw(drawn, strength=0.8, seed=2, mask=grey)
    assert np.array_equal(
        np.asarray(anew), np.asarray(Image.composite(Image.fromarray(free), drawn, grey))
    )
