from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from fluxbooth import InputError
from fluxbooth.cli.main import main
from fluxbooth.evaluation import likeness
from fluxbooth.evaluation.demo import PHOTOS, run
from fluxbooth.models.attribute_reader import load_reader
from pretrain.demo_photos import SHOTS
from pretrain.people import HELD_OUT
from tests.support.images import opened

PERSON = HELD_OUT["people"][0]


def test_the_reader_reads_the_demos_subject() -> None:
    reader = load_reader()
    readings = reader.read([Image.open(path) for path in sorted(PHOTOS.glob("*.png"))])
    subject = likeness.identity_of(readings)
    assert subject == {name: PERSON[name] for name in likeness.IDENTITY}
    truth = [{"clothes": shot.clothes, "clothes_colour": shot.clothes_colour} for shot, _ in SHOTS]
    assert likeness.agreement(readings, truth) >= 0.75


def test_agreement_is_the_share_of_wishes_that_came_true() -> None:
    readings = [{"hair": "a bob", "skin": "tan"}, {"hair": "a bun", "skin": "tan"}]
    assert likeness.agreement(
        readings, [{"hair": "a bob", "skin": "tan"}, {"hair": "a bob"}]
    ) == pytest.approx(2 / 3)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="no demo's output"):
        run(tmp_path, lambda event: None)
    assert [p.name for p in tmp_path.iterdir()] == ["diary.txt"]


@pytest.mark.slow
def test_the_demo_learns_its_subject(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "report.json").read_text())
    assert {
        "subject_similarity",
        "subject_similarity_without_lora",
        "prompt_accuracy",
        "steps",
        "steps_per_second",
        "seconds_total",
        "peak_rss_mb",
    } <= report.keys()
    assert report["subject_similarity"] > report["subject_similarity_without_lora"] + 0.2
    assert report["peak_rss_mb"] < 3000
    assert opened(out / "contact-sheet.png").width > 1000
    assert (out / "ohwx.safetensors").is_file()
    assert "contact-sheet.png" in (out / "index.html").read_text()
