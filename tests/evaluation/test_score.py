"""Pictures against the photos of their subject."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from fluxbooth import picture_files
from fluxbooth.cli.main import main
from fluxbooth.errors import InputError
from fluxbooth.evaluation import copying, lettering, quality, subjects, text_match, wishes
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.evaluation.intervals import estimate
from fluxbooth.evaluation.score import lines, score
from fluxbooth.models import registry
from fluxbooth.models.attribute_reader import load_reader

NANO = registry.find("nano")


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.png"))]


@pytest.fixture(scope="module")
def strangers(photos: list[Image.Image]) -> list[Image.Image]:
    """The same with red and blue exchanged: nobody's hair or skin is what it was."""
    return [Image.merge("RGB", photo.split()[::-1]) for photo in photos]


def test_the_embedding_tells_a_subject_from_one_of_other_colours(
    photos: list[Image.Image], strangers: list[Image.Image]
) -> None:
    measure = subjects.measure_for(NANO, photos)
    same, other = subjects.pairs(measure, photos[:4], strangers[:4])
    assert measure.by == "embedding"
    assert subjects.area_under_curve(same, other) > 0.98
    assert measure.probability and measure.probability(0.99) > 0.5 > measure.probability(0.3)


def test_a_subject_is_found_beside_another(
    photos: list[Image.Image], strangers: list[Image.Image]
) -> None:
    measure = subjects.measure_for(NANO, photos)
    both = Image.new("RGB", (photos[0].width * 2, photos[0].height))
    both.paste(strangers[0], (0, 0))
    both.paste(photos[0], (photos[0].width, 0))
    subject = measure.subject(photos[1:])
    alone, stranger = (measure.similarity(one, subject) for one in (both, strangers[0]))
    assert alone is not None and stranger is not None and alone > stranger + 0.1


def test_a_score_says_what_differs_and_how_sure_it_is(
    photos: list[Image.Image], strangers: list[Image.Image]
) -> None:
    right = score(photos[:3], photos[3:], NANO, ["ohwx man, in a forest"])
    wrong = score(strangers[:3], photos[3:], NANO)
    mean, low, high = (right["identity"]["probability"][key] for key in ("mean", "low", "high"))
    assert low <= mean <= high and mean > wrong["identity"]["probability"]["mean"] + 0.3
    assert right["traits"]["agree"]["mean"] > 0.9 > wrong["traits"]["agree"]["mean"]
    assert any(name.startswith("skin: ") for name in wrong["traits"]["differs"])
    assert "prompt" in right and "prompt" not in wrong
    assert right["quality"]["faults"] == [[], [], []]
    assert score(photos[:2], photos[:4], NANO)["copying"]["copies"]["mean"] == 1.0


def test_two_subjects_calibrate_a_percentage(
    photos: list[Image.Image], strangers: list[Image.Image]
) -> None:
    people = (photos[:4], strangers[:4])
    found = score(strangers[4:6], photos[4:8], NANO, people=people)
    assert found["calibration"]["area_under_curve"] > 0.98
    assert found["identity"]["probability"]["mean"] < 0.1
    with pytest.raises(InputError, match="at least three photos"):
        score(photos[:1], photos[1:3], NANO, people=(photos[:1], strangers[:4]))


def test_what_compares_photographs_is_named_where_it_is_missing(
    photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects.face_identity, "available", lambda: False)
    monkeypatch.setattr(subjects.features, "available", lambda: False)
    with pytest.raises(InputError, match=r"fluxbooth\[faces\].*fluxbooth\[features\]"):
        subjects.measure_for(registry.find("flux-dev"), photos)


def test_the_embedding_claims_nothing_of_what_has_no_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subjects.features, "available", lambda: True)
    things = [Image.new("RGB", (128, 128), colour) for colour in ("red", "green", "blue")]
    assert subjects.measure_for(NANO, things).by in ("DINOv2", "EfficientNet-lite0")


def test_dinov2_is_used_where_it_is(
    photos: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    Dinov2Model(config).save_pretrained(tmp_path)
    monkeypatch.setattr(subjects.face_identity, "available", lambda: False)
    monkeypatch.setattr(subjects.features, "dino", lambda: tmp_path)
    found = score(photos[:1], photos[:1], registry.find("flux-dev"))["identity"]
    assert found["by"] == "DINOv2" and found["similarity"] == [pytest.approx(1.0, abs=1e-3)]


def test_clip_says_how_near_pictures_are_to_their_texts(
    photos: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of random numbers, saved and found as those of the hub are."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(Path(NANO.source) / "tokenizer")
    words = {**small, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    folder = tmp_path / "models--openai--clip-vit-base-patch32" / "snapshots" / ("a" * 40)
    tokenizer.save_pretrained(folder)
    config = CLIPConfig(
        text_config=words, vision_config={**small, "image_size": 64, "patch_size": 16}
    )
    CLIPModel(config).save_pretrained(folder)
    (tmp_path / folder.parts[-3] / "refs").mkdir()
    (tmp_path / folder.parts[-3] / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert text_match.match(photos[:1], ["a man"]) == {
        "by": "CLIP", "similarity": [pytest.approx(0, abs=1)],
    }  # fmt: skip
    texts = ["ohwx man at the beach", "ohwx man in a forest", "ohwx man at the beach"]
    report = score(photos[:3], photos[3:], NANO, texts)
    found = report["text"]
    near = text_match.similarities(text_match.NETWORKS[1], folder, photos[:3], texts[:2])
    assert found["similarity"] == [
        pytest.approx(float(near[number, column]), abs=1e-3)
        for number, column in ((0, 0), (1, 1), (2, 0))
    ]
    nearest = near.argmax(1).tolist()
    assert found["nearest"]["mean"] == pytest.approx(
        sum(a == b for a, b in zip(nearest, (0, 1, 0), strict=True)) / 3, abs=1e-3
    )
    said = "\n".join(lines(report))
    assert "similarity to their texts by CLIP" in said and "nearest to their own text" in said


def test_without_a_network_nothing_is_said_of_texts(
    photos: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert text_match.here() is None and text_match.match(photos[:1], ["a man"]) is None


def test_features_give_a_number_and_no_percentage(
    photos: list[Image.Image], strangers: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not subjects.features.available():
        pytest.skip("needs the extra features")
    monkeypatch.setattr(subjects.face_identity, "available", lambda: False)
    found = score(photos[:2], photos[2:5], registry.find("flux-dev"))
    assert found["identity"]["by"] in ("DINOv2", "EfficientNet-lite0")
    assert "probability" not in found["identity"]
    assert min(found["identity"]["similarity"]) > 0.3
    assert "traits" not in found and "prompt" not in found


def test_faces_use_the_threshold_of_dlib(
    photos: list[Image.Image], strangers: list[Image.Image]
) -> None:
    if not subjects.face_identity.available():
        pytest.skip("needs the extra faces")
    measure = subjects.BY_FACE
    assert measure.same == pytest.approx(0.4) and measure.probability is None
    blank = Image.new("RGB", (200, 200), "grey")
    assert measure.similarity(blank, np.zeros((1, 128))) is None


def test_a_prompt_is_asked_for_what_the_reader_knows() -> None:
    attributes = load_reader().attributes
    asked = wishes.asked(
        "ohwx man with round glasses and long wavy hair, wearing a red hoodie, smiling, in front "
        "of a yellow wall, blue bicycle",
        attributes,
    )
    assert asked == {
        "kind": "man",
        "glasses": "round glasses",
        "hair": "long wavy hair",
        "clothes": "hoodie",
        "clothes_colour": "red",
        "mood": "smiling",
        "background": "yellow wall",
    }
    assert wishes.asked("a cat on a sofa", attributes) == {}


def test_copies_are_found_moved_mirrored_and_blurred(photos: list[Image.Image]) -> None:
    copy = photos[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT).filter(ImageFilter.GaussianBlur(1))
    assert copying.nearest(copy, photos)[0] == 0
    assert copying.nearest(copy, photos)[1] > copying.COPY
    assert copying.nearest(photos[0], photos[1:])[1] < copying.COPY


def test_pictures_that_went_wrong_are_told(photos: list[Image.Image]) -> None:
    noise = np.random.default_rng(0).normal(0, 40, (*photos[0].size[::-1], 3))
    noisy = Image.fromarray(np.clip(np.asarray(photos[0]) + noise, 0, 255).astype(np.uint8))
    assert quality.faults_of(photos[0]) == []
    assert quality.faults_of(Image.new("RGB", (128, 128))) == ["blank"]
    assert quality.faults_of(photos[0].filter(ImageFilter.GaussianBlur(9))) == ["blurred"]
    assert "noise" in quality.faults_of(noisy)


def test_lettering_is_right_only_word_for_word() -> None:
    assert lettering.found("Open Late!", ["OPEN", "LATE"]) == 1.0
    assert 0.8 < lettering.found("Open Late", ["OPEN LATF"]) < 1.0
    assert lettering.found("OPEN", ["closed"]) < 0.6


def test_lettering_is_read_from_a_picture() -> None:
    if not lettering.available():
        with pytest.raises(InputError, match=r"fluxbooth\[lettering\]"):
            lettering.read(Image.new("RGB", (64, 64)))
        return
    sign = Image.new("RGB", (320, 120), "#205030")
    ImageDraw.Draw(sign).text((30, 30), "BAKERY", fill="white", font=ImageFont.load_default(48))
    assert lettering.found("Bakery", lettering.read(sign)) == 1.0


def test_an_interval_holds_its_mean_and_is_never_certain() -> None:
    found = estimate([0.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    assert found["low"] < found["mean"] < found["high"]
    assert estimate([1.0] * 30) == {"mean": 1.0, "low": 0.9, "high": 1.0, "of": 30}


# the commands


def run_folder(folder: Path, rank: int, losses: list[float]) -> Path:
    (folder / "samples").mkdir(parents=True)
    (folder / "spec.toml").write_text(f'base = "nano"\nrank = {rank}\nsteps = {len(losses)}\n')
    sample = folder / "samples" / f"step-{len(losses):06d}-0.png"
    sample.write_bytes(next(PHOTOS.glob("*.png")).read_bytes())
    events = [{"event": "step", "step": i + 1, "loss": loss} for i, loss in enumerate(losses)]
    events.append({"event": "scored", "step": 2, "identity": 0.75, "prompt": None})
    events.append({"event": "sample", "step": len(losses), "path": str(sample), "text": "<ohwx>"})
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def test_compare_shows_what_differs_and_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_folder(tmp_path / "a", 4, [1.0, 0.5])
    b = run_folder(tmp_path / "b", 8, [1.0, 0.25])
    page = tmp_path / "page.html"
    arguments = [str(a), str(b), "--against", str(PHOTOS), "--html", str(page), "--json"]
    assert main(["compare", *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["differs"] == {"rank": [4, 8]}
    assert report["runs"][1]["curves"]["loss"] == [[1, 1.0], [2, 0.25]]
    assert report["runs"][1]["curves"]["identity"] == [[2, 0.75]]
    assert "prompt" not in report["runs"][1]["curves"]  # that could not be told
    assert report["runs"][0]["score"]["identity"]["probability"]["mean"] > 0.5
    text = page.read_text()
    assert text.count("<polyline") == 4 and "&lt;ohwx&gt;" in text and "<ohwx>" not in text
    assert main(["compare", str(tmp_path)]) == 2
    assert "holds no training" in capsys.readouterr().err


def test_score_reads_what_a_picture_says_of_itself(
    photos: list[Image.Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"version": "1", "base": "nano", "text": "ohwx man at the beach", "seed": 1}
    picture_files.save(
        photos[0], tmp_path / "p.png", texts={"fluxbooth": json.dumps(recipe)}, base="nano"
    )
    assert main(["score", str(tmp_path), "--against", str(PHOTOS)]) == 0
    out = capsys.readouterr().out
    assert "1 pictures of nano" in out and "of what the prompts ask for" in out
