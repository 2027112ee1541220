from __future__ import annotations

import pytest
from PIL import Image

from fluxbooth.evaluation import scoring
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.models import attribute_reader, registry
from fluxbooth.photos import inspection
from fluxbooth.photos.inspection import Photo


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    return inspection.read(PHOTOS)


def test_the_subject_s_own_photos_are_like_it_and_are_copies(photos: list[Photo]) -> None:
    scorer = scoring.scorer_for(registry.BASES["nano"], "man", photos)
    assert scorer is not None
    own = [Image.fromarray(photo.pixels) for photo in photos]
    found = scorer.score(own, [0] * len(own))
    assert found.identity > 0.9 and found.variety < 0.5
    plain = scorer.score([Image.new("RGB", (128, 128), "white")] * 2, [0, 1])
    assert plain.identity < 0.6 and plain.variety == 0
    assert found.value == found.identity * (found.prompt or 0) * found.variety


def test_whom_the_reader_has_no_words_for_is_judged_by_the_embedding(
    photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring.ByAttributes, "of", lambda reader, photos: None)
    scorer = scoring.scorer_for(registry.BASES["nano"], "man", photos[:5])
    assert isinstance(scorer, scoring.ByIdentity)
    own = [Image.fromarray(photo.pixels) for photo in photos[5:]]
    strangers = [Image.merge("RGB", picture.split()[::-1]) for picture in own]
    assert scorer.score(own, [0] * 5).identity > scorer.score(strangers, [0] * 5).identity + 0.4


def test_what_cannot_be_judged_has_no_scorer(photos: list[Photo]) -> None:
    nano = registry.BASES["nano"]
    assert scoring.scorer_for(nano, "dog", photos) is None
    assert scoring.scorer_for(nano, "man", photos, reader=False) is None
    assert scoring.scorer_for(registry.BASES["flux-dev"], "man", photos) is None


def test_a_subject_is_told_by_what_most_of_its_photos_share() -> None:
    """One that is read as somebody else on every photo is not judged at all."""
    alike = dict.fromkeys(("kind", "hair", "hair_colour", "skin", "glasses", "beard"), "x")
    odd = [alike | {"hair": str(number)} for number in range(8)]
    assert scoring.agreed(odd) == {name: "x" for name in alike if name != "hair"}
    strangers = [{name: str(number) for name in alike} for number in range(8)]
    assert scoring.agreed(strangers) == {}


def test_every_prompt_asks_for_what_the_reader_can_tell() -> None:
    known = attribute_reader.load_reader().attributes
    for words, wish in scoring.PROMPTS:
        assert all(value in known[name] for name, value in wish.items()), words
    assert scoring.texts("ohwx man")[0].startswith("ohwx man wearing")
