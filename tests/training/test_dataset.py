from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.models import registry
from fluxbooth.models.family import Family
from fluxbooth.photos import buckets, inspection
from fluxbooth.specs import FEWEST_TOKENS
from fluxbooth.training import dataset as datasets
from fluxbooth.training.dataset import Store, fitted_length, prepare
from tests.conftest import QUICK


def test_every_photo_is_seen_equally_often_in_batches_of_one_shape(
    family: Family, tmp_path: Path
) -> None:
    pictures = inspection.read(PHOTOS)
    spec = registry.resolve(QUICK, len(pictures))
    dataset = prepare(pictures, family, spec, tmp_path)
    assert {e.size for e in dataset.examples} == {(128, 128), (112, 144), (144, 112)}
    seen: Counter[int] = Counter()
    for step in range(10):  # a round: as many batches as photos
        batch = dataset.batch_at(step, spec)
        assert {dataset.examples[i].size for i in batch.indices} == {batch.size}
        assert batch.z.shape == (2, family.image_tokens(*batch.size), 64)
        seen.update(batch.indices)
    assert seen == Counter(dict.fromkeys(range(10), 2))
    rounds = [
        tuple(dataset.batch_at(step, spec).indices for step in range(10 * r, 10 * r + 10))
        for r in range(3)
    ]
    assert len(set(rounds)) > 1  # shuffled anew


def test_several_areas_make_several_examples(family: Family, photos: Path, tmp_path: Path) -> None:
    pictures = inspection.read(photos)
    spec = registry.resolve(QUICK.model_copy(update={"resolutions": (96, 128)}), len(pictures))
    dataset = prepare(pictures, family, spec, tmp_path)
    assert len(dataset.examples) == 8
    assert {(96, 96), (128, 128)} <= {e.size for e in dataset.examples}


def test_captions_fall_back_to_the_trigger_and_drop_out(
    family: Family, photos: Path, tmp_path: Path
) -> None:
    (photos / "photo-01.txt").write_text("[trigger] in a grey t-shirt\n")
    pictures = inspection.read(photos)
    spec = registry.resolve(QUICK.model_copy(update={"caption_dropout": 0.5}), len(pictures))
    expected = family.encode_text(["ohwx man in a grey t-shirt", "ohwx man", ""], 72)["states"]
    dataset = prepare(pictures, family, spec, tmp_path)
    assert [e.caption for e in dataset.examples] == [
        "ohwx man in a grey t-shirt",
        "ohwx man",
        "ohwx man",
        "ohwx man",
    ]
    torch.testing.assert_close(dataset.batch([0]).conditioning["states"], expected[:1])
    torch.testing.assert_close(dataset.batch([1]).conditioning["states"], expected[1:2])
    torch.testing.assert_close(dataset.batch([0], [True]).conditioning["states"], expected[2:])
    empty = [
        bool(torch.equal(row, expected[2]))
        for step in range(100)
        for row in dataset.batch_at(step, spec).conditioning["states"]
    ]
    assert 0.35 < sum(empty) / len(empty) < 0.65


def test_encoders_leave_memory(family: Family, photos: Path, tmp_path: Path) -> None:
    pictures = inspection.read(photos)
    prepare(pictures, family, registry.resolve(QUICK, len(pictures)), tmp_path)
    pipeline = family.pipeline()
    assert pipeline.text_encoder is None
    assert pipeline.text_encoder_2 is None
    assert pipeline.vae is None


@pytest.mark.parametrize("limit", [0, 10**9])
def test_a_store_gives_back_what_was_put_in_from_memory_and_from_disk(
    limit: int, tmp_path: Path
) -> None:
    rows = {
        f"photo {i}/ü": {"z": torch.randn(1, 3, 4), "more": torch.ones(1, i + 1)} for i in range(12)
    }
    store = Store(tmp_path / "store.safetensors", limit)
    store.fill(rows)
    assert (tmp_path / "store.safetensors").exists() == (limit == 0)
    for key, row in rows.items():
        assert store[key].keys() == row.keys()
        assert all(torch.equal(store[key][name], row[name]) for name in row)


def test_a_photo_keeps_its_shape(tmp_path: Path) -> None:
    shutil.copy(PHOTOS / "photo-02.png", tmp_path)
    photo = inspection.read(tmp_path)[0]
    size = buckets.bucket(photo.width, photo.height, 128**2)
    left, top, right, bottom = buckets.crop_box(photo.width, photo.height, size)
    assert (right - left) * (bottom - top) >= 0.95 * photo.width * photo.height


def test_what_lies_outside_a_head_counts_less(family: Family, photos_square: Path) -> None:
    pictures = inspection.read(photos_square)
    nothing = replace(pictures[0], pixels=np.full_like(pictures[0].pixels, 90))
    spec = registry.resolve(QUICK, 2)
    assert spec.outside_head == 0.1
    dataset = prepare([*pictures, nothing], family, spec, photos_square, keep_encoders=True)
    weight = dataset.batch([0, 1, 2]).weight
    assert weight is not None
    grid = family.unpack(weight, (128, 128))
    with_head, _, without = grid
    assert torch.equal(without, torch.ones_like(without))
    # the faces of the demo's photos are above the middle, what is worn is at the bottom
    assert with_head[:, 5:8, 7:9].min() == 1
    torch.testing.assert_close(with_head[:, 15], torch.full_like(with_head[:, 15], 0.1))
    assert with_head.min() == pytest.approx(0.1) and len(with_head.unique()) > 2  # a soft edge
    part = dataset.batch([0, 1]).part(slice(1, 2)).weight
    assert part is not None and torch.equal(part, weight[1:2])
    alike = spec.model_copy(update={"outside_head": 1.0})
    assert prepare(pictures, family, alike, photos_square).batch([0]).weight is None


def test_cells_that_a_box_covers_in_part_count_in_part() -> None:
    covered = datasets._covered((4, 0, 16, 8), (16, 16), (2, 2))
    torch.testing.assert_close(covered, torch.tensor([[0.5, 1.0], [0.0, 0.0]]))


def test_a_text_is_as_long_as_the_longest_caption(family: Family, photos: Path) -> None:
    pictures = inspection.read(photos)
    spec = registry.resolve(QUICK, len(pictures))
    assert fitted_length(pictures, family, spec) == FEWEST_TOKENS
    long = "[trigger] wearing a red hoodie, smiling, at the beach, on the left, " * 2
    told = [replace(pictures[0], caption=long), *pictures[1:]]
    fitted = fitted_length(told, family, spec)
    assert FEWEST_TOKENS < fitted < spec.text_length
    assert family.count_tokens(datasets.caption_of(told[0], spec)) <= fitted
    assert (
        fitted_length([replace(pictures[0], caption=long * 9)], family, spec) == 72
    )  # all there is
    given = registry.resolve(QUICK.model_copy(update={"text_length": 64}), 4)
    assert fitted_length(told, family, given) == 64


def test_a_sample_prompt_is_read_as_where_it_is_drawn(
    family: Family, photos: Path, tmp_path: Path
) -> None:
    pictures = inspection.read(photos)
    spec = registry.resolve(QUICK.model_copy(update={"text_length": 24}), 4)
    expected = family.encode_text(["ohwx man"], 72)["states"]
    dataset = prepare(pictures, family, spec, tmp_path, drawn=["ohwx man"])
    torch.testing.assert_close(dataset.conditioning("ohwx man")["states"], expected)
    assert dataset.batch([0]).conditioning["states"].shape[1] == 24


@pytest.mark.parametrize("limit", [0, 2**30])
def test_a_batch_goes_where_it_is_computed_with_wherever_it_was_kept(
    family: Family, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(Store.__init__, "__defaults__", (limit,))
    pictures = inspection.read(photos)
    dataset = prepare(pictures, family, registry.resolve(QUICK, len(pictures)), tmp_path)
    assert (tmp_path / "latents.safetensors").exists() == (limit == 0)
    batch = dataset.batch([0])
    elsewhere = batch.to(torch.device("meta"))
    for here, there in ((batch, "cpu"), (elsewhere, "meta")):
        tensors = [here.z, *here.conditioning.values()]
        assert {tensor.device.type for tensor in tensors} == {there}
    assert elsewhere.z.shape == batch.z.shape and elsewhere.size == batch.size


def test_photos_are_encoded_in_float32(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fluxbooth.models import loader
    from fluxbooth.photos import buckets
    from fluxbooth.training.dataset import to_tensor

    picture = inspection.read(photos)[0]
    pixels = to_tensor(buckets.fit(picture.pixels, (128, 128)))
    exact, rounded = (loader.load("nano", dtype=dtype) for dtype in ("float32", "bfloat16"))
    autoencoder = rounded._pipeline.vae.to(torch.bfloat16)  # as it is kept on a card
    exact._pipeline.vae.load_state_dict(autoencoder.state_dict())
    expected = exact.encode_image(pixels)
    said = list[str]()
    found = rounded.encode_photo(pixels, said.append)
    assert torch.equal(found.float(), expected.to(rounded._dtype).float()) and not said
    assert autoencoder.dtype == torch.bfloat16
    coarse = rounded.encode_image(pixels)
    assert not torch.equal(coarse.float(), expected)
    real = rounded.encode_image

    def full(pixels: torch.Tensor) -> torch.Tensor:
        if autoencoder.dtype == torch.float32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(pixels)

    monkeypatch.setattr(rounded, "encode_image", full)
    assert torch.equal(rounded.encode_photo(pixels, said.append), coarse)
    assert "encoded in bfloat16" in said[0]
