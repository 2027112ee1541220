"""Film: what each look does, in numbers, and what none of them may do."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fluxbooth.generation.enhance import film
from fluxbooth.prompts import options

ALL = list(film.FILMS)
RAMP = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2))
# linear light of things that photographs are full of
SKIN, LEAF, SKY, RED = (0.52, 0.32, 0.23), (0.09, 0.17, 0.05), (0.25, 0.4, 0.7), (0.45, 0.05, 0.05)


def through(name: str, light: tuple[float, float, float]) -> np.ndarray:
    return film.developed(np.array([light], np.float32), film.FILMS[name])[0]


def brightness(light: np.ndarray) -> float:
    return float(light @ film.LUMINANCE)


def purity(light: np.ndarray | tuple[float, ...]) -> float:
    """0 for grey, 1 for a colour that lacks one of the three wholly."""
    return 1 - min(light) / max(light)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_every_colour_grading_of_the_contract_has_its_film() -> None:
    assert tuple(film.FILMS) == options.GRADINGS


@pytest.mark.parametrize("name", ALL)
def test_of_two_greys_the_lighter_one_stays_lighter(name: str) -> None:
    grey = np.linspace(0, 1, 4096, dtype=np.float32)[:, None].repeat(3, 1)
    light = film.developed(grey, film.FILMS[name])
    assert (np.diff(light @ film.LUMINANCE) > 0).all()
    assert light.min() >= 0 and light.max() <= 1


@pytest.mark.parametrize("name", ALL)
def test_grey_stays_nearly_grey_and_white_and_black_wholly(name: str) -> None:
    columns = pixels(film.grade(RAMP, name, 1)).mean(0)  # without the dither
    assert np.ptp(columns, axis=1).max() < 14  # of 256 steps: a warm film is seen to be warm
    assert np.ptp(columns[[0, 255]], axis=1).max() < 0.5
    assert (columns[255] == 255).all()


def test_velvia_is_steep_and_pure() -> None:
    for colour in (SKIN, LEAF, SKY):
        assert purity(through("Film Velvia", colour)) > purity(colour) + 0.08
    dark, light = (brightness(through("Film Velvia", (v, v, v))) for v in (0.05, 0.4))
    assert light / dark > 1.3 * 0.4 / 0.05


def test_portra_is_light_and_warm_and_flat() -> None:
    red, _, blue = through("Film Portra", (0.18, 0.18, 0.18))
    assert red > 1.15 * blue
    assert brightness(through("Film Portra", SKIN)) > 1.05 * brightness(np.array(SKIN))
    dark, light = (brightness(through("Film Portra", (v, v, v))) for v in (0.05, 0.4))
    assert light / dark < 0.95 * 0.4 / 0.05
    for colour in (LEAF, SKY):
        assert purity(through("Film Portra", colour)) < purity(colour)


def test_ektar_makes_reds_and_blues_stand_out_and_leaves_greens_more_alone() -> None:
    def gained(colour: tuple[float, float, float]) -> float:
        return purity(through("Ektar", colour)) - purity(colour)

    assert gained(SKY) > 0.05
    red = through("Ektar", RED)
    assert red[0] > 1.1 * RED[0] and purity(red) > 0.97
    velvia, ektar = (through(name, LEAF) for name in ("Film Velvia", "Ektar"))
    assert purity(ektar) < purity(velvia)


def test_what_the_screen_cannot_show_keeps_its_brightness_and_its_detail() -> None:
    reds = np.linspace(0.2, 0.9, 50, dtype=np.float32)[:, None] * np.array((1, 0.02, 0), np.float32)
    for name in ALL:
        light = film.developed(reds, film.FILMS[name])
        assert light.min() >= 0
        assert (np.diff(light @ film.LUMINANCE) > 0).all()


@pytest.mark.parametrize("change", [lambda i, s: film.grade(i, "Film Velvia", s), film.grain])
def test_the_same_seed_gives_the_same_picture_and_another_seed_another(change) -> None:
    picture = Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 50).convert("RGB")
    first = change(picture, 7)
    assert first.tobytes() == change(picture, 7).tobytes()
    assert first.tobytes() != change(picture, 8).tobytes()
    assert first.size == picture.size and first.mode == "RGB"


@pytest.mark.parametrize("change", [lambda i, s: film.grade(i, "Ektar", s), film.grain])
def test_what_is_transparent_stays_so(change) -> None:
    alpha = Image.linear_gradient("L").resize((40, 30))
    picture = Image.merge("RGBA", (*RAMP.resize((40, 30)).split(), alpha))
    changed = change(picture, 3)
    assert changed.mode == "RGBA"
    assert changed.getchannel("A").tobytes() == alpha.tobytes()
    # of one that lacks the channel, the colours are the same
    assert changed.convert("RGB").tobytes() == change(picture.convert("RGB"), 3).tobytes()


@pytest.mark.parametrize("name", ALL)
def test_no_bands_appear_in_a_slow_gradient(name: str) -> None:
    """The means of columns follow the curve to a fraction of a step: what was between two steps is
    neither lost nor doubled."""
    picture = film.grade(RAMP, name, 1)
    means = pixels(picture).mean(0)
    grey = film._LIGHT_OF_CODE[np.arange(256)][:, None].repeat(3, 1)
    light = film.developed(grey, film.FILMS[name])
    exact = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(means - exact).max() < 0.3
    assert np.abs(pixels(picture) - exact).max() <= 1.01


def test_a_strip_more_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = RAMP.resize((50, 70))
    whole = film.grade(picture, "Ektar", 2).tobytes(), film.grain(picture, 2).tobytes()
    monkeypatch.setattr(film, "STRIP", 16)
    assert whole == (film.grade(picture, "Ektar", 2).tobytes(), film.grain(picture, 2).tobytes())


def flat(value: int, size: tuple[int, int] = (256, 256)) -> Image.Image:
    return Image.new("RGB", size, (value, value, value))


def test_grain_is_seen_in_middle_tones_and_not_in_white_or_black() -> None:
    spread = {v: pixels(film.grain(flat(v), 1)).std() for v in (0, 20, 120, 200, 255)}
    assert spread[255] == 0 and spread[0] < 0.5
    assert spread[120] > 2 and spread[120] > spread[200] > 0.8
    assert spread[120] > spread[20]
    assert abs(pixels(film.grain(flat(120), 1)).mean() - 120) < 0.3  # neither lighter nor darker


@pytest.mark.parametrize("size", [(64, 64), (1024, 16), (3000, 40), (4096, 40)])
def test_grain_is_as_strong_at_any_size_and_grows_with_the_picture(size: tuple[int, int]) -> None:
    noise = pixels(film.grain(flat(120, size), 1))[..., 1] - 120.0
    assert 2 < noise.std() < 4.5
    beside = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
    assert beside > 0.15 if size[0] >= 2 * film.CLUMPS else abs(beside) < 0.1


def test_most_of_the_grain_is_the_same_in_all_colours() -> None:
    red, green, _ = np.moveaxis(pixels(film.grain(flat(120), 1)) - 120.0, 2, 0)
    assert 0.6 < np.corrcoef(red.ravel(), green.ravel())[0, 1] < 0.9
