"""Masks by words on pictures of nano and on photographs, and what is made of a mask."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fluxbooth import InputError
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.generation.enhance import masks
from fluxbooth.models import registry
from tests.support.images import opened

NANO, DEV = registry.find("nano"), registry.find("flux-dev")
MAN = opened(PHOTOS / "photo-05.png").convert("RGB")  # a drawn man with hair, beard and glasses


def white(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask) > 127


def disc(side: int = 100, radius: int = 20) -> Image.Image:
    mask, middle = Image.new("L", (side, side)), side / 2
    ImageDraw.Draw(mask).ellipse(
        [middle - radius, middle - radius, middle + radius, middle + radius], 255
    )
    return mask


def share(mask: Image.Image) -> float:
    return float(white(mask).mean())


def test_words_find_their_part_of_a_picture_of_nano() -> None:
    person, background = (masks.by_words(MAN, word, NANO) for word in ("person", "background"))
    hair, clothes = (masks.by_words(MAN, word, NANO) for word in ("hair", "clothes"))
    assert person.size == MAN.size and person.mode == "L"
    assert set(np.unique(np.asarray(person))) == {0, 255}
    assert 0.2 < share(person) < 0.8 and abs(share(person) + share(background) - 1) < 0.02
    for part in (hair, clothes):
        inside = (white(part) & white(person)).sum() / white(part).sum()
        assert share(part) > 0.01 and inside > 0.95
    above, below = (np.nonzero(white(part))[0].mean() for part in (hair, clothes))
    assert above < below


def test_a_larger_picture_has_a_mask_of_its_own_size() -> None:
    small = masks.by_words(MAN, "person", NANO)
    large = masks.by_words(MAN.resize((640, 640)), "person", NANO)
    assert large.size == (640, 640)
    agreed = white(large) == white(small.resize((640, 640)))
    assert agreed.mean() > 0.96


def test_negative_words_are_taken_out() -> None:
    rest = masks.by_words(MAN, "person", NANO, negative="clothes")
    clothes = masks.by_words(MAN, "clothes", NANO)
    assert share(rest) < share(masks.by_words(MAN, "person", NANO))
    assert (white(rest) & white(clothes)).sum() < 0.1 * white(clothes).sum()


@pytest.mark.parametrize(
    ("words", "negative", "sentence"),
    [
        ("dog", "", 'no "dog"'),
        ("hair", "person", "takes out all"),
        ("elbow", "", '"elbow"'),
        ("person", "elbow", '"elbow"'),
    ],
)
def test_a_mask_of_nothing_is_refused(words: str, negative: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        masks.by_words(MAN, words, NANO, negative)


def test_a_photograph_without_people_has_none_to_mask() -> None:
    with pytest.raises(InputError, match='no "person"'):
        masks.by_words(Image.new("RGB", (300, 200), "white"), "person", DEV)


def test_people_and_background_are_told_apart_on_photographs() -> None:
    person, background = (masks.by_words(MAN, word, DEV) for word in ("person", "background"))
    assert (white(person) ^ white(background)).mean() > 0.98 and share(person) > 0.1
    with pytest.raises(InputError, match="person or background"):
        masks.by_words(MAN, "hair", DEV)


@pytest.mark.parametrize("by", [1, 7, 30])
def test_a_mask_is_widened_in_all_directions_alike(by: int) -> None:
    wide, exact = masks.adjusted(disc(), dilate=str(by)), disc(radius=20 + by)
    assert (white(wide) ^ white(exact)).sum() < 2 * np.pi * (20 + by)  # within a pixel of its rim


def test_a_large_mask_is_widened_as_far() -> None:
    wide = masks.adjusted(disc(1600, 300), dilate="100")
    assert (white(wide) ^ white(disc(1600, 400))).sum() < 3 * 2 * np.pi * 400


def test_a_negative_amount_narrows_it_and_percent_are_of_the_shorter_side() -> None:
    narrow = masks.adjusted(disc(), dilate="-8%")
    assert (white(narrow) ^ white(disc(radius=12))).sum() < 2 * np.pi * 12
    with pytest.raises(InputError, match="narrow it less"):
        masks.adjusted(disc(), dilate="-30")


def test_what_the_picture_cuts_off_is_not_narrowed_at_its_edge() -> None:
    mask = Image.new("L", (60, 60), 255)
    mask.paste(0, (0, 0, 60, 20))
    narrow = white(masks.adjusted(mask, dilate="-5"))
    assert narrow[25:].all() and not narrow[:24].any()


def test_it_is_inverted_before_it_is_widened() -> None:
    assert not white(masks.adjusted(disc(), invert=True))[50, 50]
    wide = masks.adjusted(disc(), invert=True, dilate="10")
    assert (white(wide) ^ ~white(disc(radius=10))).sum() < 2 * np.pi * 12
    with pytest.raises(InputError, match="leave mask_invert out"):
        masks.adjusted(Image.new("L", (20, 20), 255), invert=True)


def test_blur_softens_the_edge_alone_and_nothing_asked_changes_nothing() -> None:
    soft = np.asarray(masks.adjusted(disc(), blur=4))
    assert soft[50, 50] > 250 and soft[0, 0] == 0 and 60 < soft[50, 70] < 190
    assert masks.adjusted(disc()) == disc()


def test_what_is_masked_is_filled_from_around_it() -> None:
    y, x = np.mgrid[:90, :120]
    smooth = np.dstack([2 * x, 2 * y, 120 + 0 * x]).astype(np.uint8)
    torn, mask = smooth.copy(), np.zeros((90, 120), np.uint8)
    torn[30:50, 40:70], mask[30:50, 40:70] = (255, 0, 255), 255
    whole = np.asarray(masks.filled(Image.fromarray(torn), Image.fromarray(mask)), int)
    assert (whole[mask == 0] == smooth[mask == 0]).all()
    assert np.abs(whole - smooth)[mask == 255].mean() < 12
    every = Image.fromarray(torn)
    assert masks.filled(every, Image.new("L", every.size, 255)) == every


def test_what_was_not_masked_is_put_back_in_a_larger_picture() -> None:
    before, after = Image.new("RGB", (100, 100), "blue"), Image.new("RGB", (200, 200), "red")
    restored = masks.restored(after, before, disc())
    assert restored.size == (200, 200)
    assert restored.getpixel((100, 100)) == (255, 0, 0) and restored.getpixel((5, 5)) == (0, 0, 255)
