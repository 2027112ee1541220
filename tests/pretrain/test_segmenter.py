"""The segmenter's lessons: the parts of a render are exact, and a model learns from them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageDraw

from fluxbooth.generation.enhance.segmenter import Segmenter
from fluxbooth.models.flux1.bases import NANO
from fluxbooth.prompts.mask_words import PARTS
from pretrain import data, segmenter, things
from pretrain.data import Shard
from pretrain.parts import parts
from pretrain.people import Person, Shot
from pretrain.renders import Pair, Portrait

# the same in all of the picture's colours but its own
ALIKE = {"hair": "hair_colour", "skin": "skin", "clothes": "clothes_colour"}


@pytest.fixture(autouse=True)
def disc(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the pictures of things, which npm would bring."""
    picture = Image.new("RGBA", (256, 256))
    ImageDraw.Draw(picture).ellipse((20, 20, 236, 236), "teal")
    monkeypatch.setattr(things, "cutout", lambda style, thing: picture)


def person(style: str = "avatar", **other: str) -> Person:
    hair = {"avatar": "an afro", "toon": "short hair", "persona": "an afro"}[style]
    known = {"hair": hair, "hair_colour": "red", "skin": "pale", "glasses": "none", "beard": "none"}
    return Person(style=style, kind="man", **known | other)


def shot(**other: str) -> Shot:
    known = {"clothes": "t-shirt", "clothes_colour": "blue", "mood": "smiling"}
    return Shot(**known | {"background": "white", "position": "centre"} | other, scale=1.0)


def where(row: Portrait | Pair, *names: str) -> np.ndarray:
    told = parts(row, 128, 128)
    return np.isin(told[..., 0], [PARTS.index(name) for name in names]) & (told[..., 1] > 0)


def pixels(row: Portrait) -> np.ndarray:
    return np.asarray(row.draw(128, 128, random.Random(0)), int)


@pytest.mark.parametrize("style", ["avatar", "toon", "persona"])
@pytest.mark.parametrize("part", ALIKE)
def test_a_part_is_what_changes_with_its_colour(style: str, part: str) -> None:
    changes: dict[str, Callable[[], Portrait]] = {
        "hair": lambda: Portrait(person(style, hair_colour="blue"), shot()),
        "skin": lambda: Portrait(person(style, skin="dark"), shot()),
        "clothes": lambda: Portrait(person(style), shot(clothes_colour="yellow")),
    }
    row = Portrait(person(style), shot())
    changed = np.abs(pixels(row) - pixels(changes[part]())).max(2) > 60
    named = where(row, part)
    assert changed.sum() > 100
    assert (changed & named).sum() / changed.sum() > 0.93
    # lines, eyes and a mouth are named after what is around them, and do not change
    assert (changed & named).sum() / named.sum() > 0.8


@pytest.mark.parametrize("style", ["avatar", "persona"])
def test_glasses_and_beards_are_what_is_missing_without_them(style: str) -> None:
    for part, value in (("glasses", "sunglasses"), ("beard", "a beard")):
        worn = Portrait(person(style, **{part: value}), shot())
        changed = np.abs(pixels(worn) - pixels(Portrait(person(style), shot()))).max(2) > 60
        assert (changed & where(worn, part)).sum() / changed.sum() > 0.9
        assert not where(Portrait(person(style), shot()), part).any()


def test_a_hat_hides_the_hair() -> None:
    row = Portrait(person(), shot(hat="a wide hat", hat_colour="green"))
    assert where(row, "hat").mean() > 0.05 and not where(row, "hair").any()


def test_the_background_is_what_no_part_covers() -> None:
    row = Portrait(person(), shot())
    told = parts(row, 128, 128)
    black = np.abs(pixels(row) - pixels(Portrait(person(), shot(background="black")))).max(2)
    assert np.abs(black / black.max() - (1 - told[..., 1] / 255)).max() < 0.03
    assert (told[told[..., 1] == 0] == 0).all()


def test_who_stands_to_the_right_is_in_front() -> None:
    left = Portrait(person(), shot())
    pair = Pair(left, Portrait(person(hair="a bald head"), shot(clothes_colour="red")))
    assert where(pair, "hair")[:, :64].sum() > 3 * where(pair, "hair")[:, 64:].sum()
    assert parts(pair, 128, 128)[..., 1].max() == 255


def lessons() -> tuple[Shard, np.ndarray]:
    rows = [Portrait(person(skin=skin), shot()) for skin in ("pale", "tan", "brown", "dark")] * 2
    pictures = np.stack([pixels(row) for row in rows]).astype(np.uint8)
    labels = np.stack([parts(row, 128, 128) for row in rows])
    return Shard(pictures, list(rows), Path("none")), labels


def test_what_is_labelled_already_is_left(tmp_path: Path) -> None:
    shard, labels = lessons()
    done = replace(shard, path=tmp_path / "000-128x128.npy")
    data._label_shard((done.rows, (128, 128), done.path))
    assert (np.load(done.path) == labels).all()
    assert list(data.label_all([done], tmp_path, workers=1)) == [(1, 1)]


def test_the_loss_is_least_for_the_exact_parts() -> None:
    shard, labels = lessons()
    told = torch.tensor(labels)
    share = told[..., 1:].float() / 255
    exact = torch.nn.functional.one_hot(told[..., 0].long(), len(PARTS)) * share
    exact[..., 0] += 1 - share[..., 0]

    class Knowing(Segmenter):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return exact.clamp(min=1e-6).log().permute(0, 3, 1, 2)

    picture = torch.tensor(shard.pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert segmenter.segmentation_loss(Knowing(), picture, told) < 0.02
    assert segmenter.segmentation_loss(Segmenter(), picture, told) > 1
    scores, error = segmenter.overlap(Knowing(), picture, labels)
    assert min(scores[name] for name in ("person", "background", "hair", "skin")) > 0.99
    assert error < 1e-3


def test_it_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    shard, labels = lessons()
    decoder = AutoencoderKL.from_pretrained(NANO / "vae", torch_dtype=torch.float32).eval()

    def trained(steps: int, checkpoint: str) -> list[tuple[int, float]]:
        torch.manual_seed(0)
        rows = segmenter.train(
            Segmenter(), [shard], [labels], decoder, steps, tmp_path / checkpoint
        )
        return [(step, loss) for step, loss, _ in rows]

    ((_, loss),) = trained(3, "a")
    assert 0.5 < loss < 4
    assert trained(3, "a") == []
    assert [step for step, _ in trained(4, "a")] == [4]


def test_what_is_rare_is_in_every_batch() -> None:
    """Two things, somebody with a hat, and a scene with nothing in it; another time, others."""
    pictures, told = segmenter.rare((128, 96), np.random.default_rng(1))
    assert pictures.shape == (segmenter.RARE, 128, 96, 3) and told.shape == (4, 128, 96, 2)
    shown = [
        {PARTS[part] for part in np.unique(label[label[..., 1] > 127][:, 0])} for label in told
    ]
    assert all(names and names <= {"animal", "object"} for names in shown[:2])
    assert "hat" in shown[2] and not shown[3] and not told[3].any()
    again, _ = segmenter.rare((128, 96), np.random.default_rng(2))
    assert (again != pictures).any((1, 2, 3)).all()
