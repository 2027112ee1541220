"""`fluxbooth verify` on nano, with few steps: what it measures is real, what it writes is made
to be shared."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import fluxbooth
from fluxbooth import InputError, hardware
from fluxbooth.cli.main import main
from fluxbooth.evaluation import lettering, provenance, verify, verify_page
from fluxbooth.evaluation.measured_process import Measured, StoppedError, measured, stopped
from fluxbooth.evaluation.verify import Course, run
from fluxbooth.memory.estimate import Estimate
from fluxbooth.models import registry
from fluxbooth.models.flux1.bases import NANO
from tests.conftest import QUICK

COURSE = Course(QUICK.model_copy(update={"steps": 12, "learning_rate": 5e-3}), short=4, pictures=1)
COURSE = replace(COURSE, signs=("OPEN", "Ice cream"))
TOKEN = "hf_notToBeShared"


@dataclass(frozen=True)
class Verified:
    out: Path
    report: dict
    events: list[dict]


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verified]:
    out, events = tmp_path_factory.mktemp("wilhelmina") / "out", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setattr(lettering, "available", lambda: True)
        patch.setattr(lettering, "read", lambda picture: ["OPEN", "ice"])
        report = run(out, events.append, registry.find("nano"), COURSE)
    yield Verified(out, report, events)


def test_it_measures_what_was_predicted(verified: Verified) -> None:
    training, drawing = verified.report["training"], verified.report["drawing"]
    steps = [
        event for event in verified.events if event["event"] == "step" and event["steps"] == 12
    ]
    assert [event["step"] for event in steps] == list(range(1, 13))
    assert 0 < training["seconds_per_step"] < 60 and 0 < drawing["seconds_per_picture"] < 120
    assert training["seconds_to_prepare"] > 0
    for part in (training, drawing):
        taken = part["memory"]
        # of the processes that did it, each a whole Python with torch
        assert taken["of"] == "main memory"
        assert 0.3 < taken["measured_gb"] < 2 and 0.3 < taken["predicted_gb"] < 2
        assert taken["off_by"] == pytest.approx(
            taken["predicted_gb"] / taken["measured_gb"] - 1, abs=0.05
        )
    assert training["choice"]["dtype"] == COURSE.training.dtype


def test_what_was_measured_is_written_as_rows(verified: Verified) -> None:
    lines = (verified.out / "rows.jsonl").read_text().splitlines()
    where, *rows = [json.loads(line) for line in lines]
    assert where["machine"]["base"] == "nano" and where["machine"]["cores"]
    assert tuple(row["row"] for row in rows) == verify.ROWS
    step, picture, letters, resumed = rows
    taken = verified.report["training"]["seconds_per_step"]
    assert step["least"] <= taken * 1.01 and taken <= step["most"] * 1.01
    assert step["against"] == "step, float32, 128 px, batch 2, 0 of 6 recomputed"
    assert picture["unit"] == "s" and picture["against"].endswith("steps at 128 px")
    assert (letters["most"], resumed["against"]) == (1.0, "the same, bit for bit")
    assert all(row["ok"] for row in rows)


def test_memory_that_was_not_foreseen_is_said_of_a_card() -> None:
    took = Measured(memory=10.0, on_gpu=True)
    row = verify._timed([1.0], Estimate(0, 0, 0, 0, device=9.0, main=0), took, "a step")
    assert not row["ok"] and row["against"] == "a step; memory foreseen within 8%: -10.0%"


def test_signs_are_read_back_where_a_reader_is_installed(verified: Verified) -> None:
    found = verified.report["drawing"]["lettering"]
    assert found["letters_right"] == pytest.approx((1 + 3 / 8) / 2)
    rows = {what: measured for what, measured, _ in verify_page.figures(verified.report)}
    assert rows["letters of the signs that can be read"] == "69%"
    unread = verified.report | {"drawing": verified.report["drawing"] | {"lettering": None}}
    assert ("letters of the signs that can be read", verify_page.UNREAD, "") in verify_page.figures(
        unread
    )
    page = (verified.out / "report.html").read_text()
    assert page.count('alt="a sign"') == 2 and "Ice cream" in page
    assert (
        verify.course(registry.find("flux-dev")).signs
        and not verify.course(registry.find("nano")).signs
    )


def test_a_killed_training_goes_on(verified: Verified) -> None:
    found = verified.report["resume"]
    assert (found["steps"], found["resumed_at"], found["identical"], found["difference"]) == (
        4,
        2,
        True,
        0.0,
    )
    assert not (verified.out / "resume").exists()


def test_the_file_draws_what_the_network_drew(verified: Verified) -> None:
    found = verified.report["drawing"]["reload"]
    assert found["difference"] <= 1
    assert found["effect_of_the_lora"] > 3 * found["difference"]
    assert (verified.out / "training" / "ohwx.safetensors").is_file()
    assert verified.report["checks"] == [
        {
            "what": "resume",
            "ok": True,
            "why": "killed at step 2 and gone on: the same weights, bit for bit",
        },
        {"what": "reload", "ok": True, "why": verified.report["checks"][1]["why"]},
    ]


def test_likeness_is_taken_before_and_after(verified: Verified) -> None:
    drawn = sorted((verified.out / "pictures").glob("*.png"))
    assert len(drawn) == 4  # with the signs
    found = verified.report["drawing"]["likeness"]
    assert found.keys() == {
        f"{name}{end}"
        for name in ("subject_similarity", "prompt_accuracy")
        for end in ("", "_without_lora")
    }
    assert all(0 <= value <= 1 for value in found.values())


def test_the_report_can_be_shared(verified: Verified) -> None:
    texts = [(verified.out / name).read_text() for name in ("report.json", "report.html")]
    assert json.loads(texts[0]) == verified.report
    page = texts[1]
    assert page.count("data:image/jpeg;base64,") == 10 + 2 + 2  # photos, a pair, two signs
    # one file, which fetches nothing
    assert not re.findall(r'(?:src|href)="(?!data:)|url\(|<script', page)
    bare = [re.sub(r"base64,[\w+/=]+", "", text) for text in texts]
    for secret in (
        TOKEN,
        str(Path.home()),
        str(verified.out),
        "wilhelmina",
        socket.gethostname(),
        str(Path(fluxbooth.__file__).parent),
    ):
        assert not any(secret in text for text in bare), secret
    assert not any(re.search(rf"\b{re.escape(getpass.getuser())}\b", text) for text in bare)
    assert not re.findall(r"(?<![\w<])/(?:tmp|home|work|root|usr|proc)\b", "".join(bare))


def test_the_report_says_where_it_was_made(verified: Verified) -> None:
    report = verified.report
    assert report["fluxbooth"]["version"] == fluxbooth.__version__
    assert report["base"]["name"] == "nano" and report["job"]["parameters"] > 1e6
    assert report["versions"]["torch"] == torch.__version__
    assert report["machine"]["memory_gb"] == pytest.approx(hardware.total_memory() / 2**30, abs=0.1)
    assert report["machine"]["gpu"] is None
    page = (verified.out / "report.html").read_text()
    assert report["machine"]["processor"] in page and "seconds per step" not in page
    assert f"{report['training']['seconds_per_step']:g} s" in page


def test_a_file_without_effect_is_found_out(verified: Verified) -> None:
    again = verify._Verification(verified.out, registry.find("nano"), COURSE, lambda event: None)
    plain = Image.open(
        next(path for path in (verified.out / "pictures").glob("*.png") if "lora" not in path.name)
    ).convert("RGB")
    again.without = again.with_lora = [plain]
    assert not verify._reload_check(again._reload())["ok"]


@pytest.mark.parametrize(
    ("after", "own", "ok"), [(1e-4, 2e-4, True), (1e-2, 2e-4, False), (1e-4, 0.0, False)]
)
def test_weights_that_differ_are_held_to_what_the_machine_repeats(
    after: float, own: float, ok: bool
) -> None:
    found = {
        "identical": False,
        "resumed_at": 10,
        "difference": after,
        "difference_of_two_unbroken": own,
    }
    assert verify._resume_check(found)["ok"] is ok


def test_the_distance_is_that_of_what_was_learnt() -> None:
    a = {"x.lora_A.weight": torch.ones(2), "x.lora_B.weight": torch.tensor([3.0, 4.0])}
    b = {"x.lora_A.weight": torch.zeros(2), "x.lora_B.weight": torch.tensor([3.0, 3.0])}
    assert verify._distance(a, a) == 0
    assert verify._distance(b, a) == pytest.approx(0.2)


def test_a_command_that_fails_is_told_by_its_kind() -> None:
    with pytest.raises(StoppedError, match="no-such-command") as caught:
        measured(["no-such-command"], lambda event: None)
    assert caught.value.kind == "exit code 2"
    assert (
        stopped("train", 1, "torch.OutOfMemoryError: CUDA out of memory: /home/somebody").kind
        == "OutOfMemoryError"
    )
    assert stopped("train", 1, "fluxbooth: /home/somebody cannot be written").kind == "exit code 1"


def test_the_drivers_number_is_told_without_its_builders_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "version"
    version.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build  (dvs-builder@U16-I1-N08-12-1)\n"
    )
    monkeypatch.setattr(provenance, "DRIVER", version)
    assert provenance.driver() == "550.54.14"


def test_a_base_of_ones_own_is_told_by_its_kind(tmp_path: Path) -> None:
    shutil.copytree(NANO, tmp_path / "secret")
    assert provenance.base_facts(registry.find(str(tmp_path / "secret"))) == {
        "name": "a diffusers folder",
        "revision": None,
    }


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(InputError, match="no verification's output"):
        run(tmp_path, lambda event: None, registry.find("nano"))
    assert [p.name for p in tmp_path.iterdir()] == ["diary.txt"]


def test_what_fails_is_told_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: object) -> dict:
        raise StoppedError(
            "torch.OutOfMemoryError: CUDA out of memory in /home/somebody", "OutOfMemoryError"
        )

    for part in ("training", "drawing", "resume"):
        monkeypatch.setattr(verify._Verification, part, fails)
    assert main(["verify", "--base", "nano", "--out", str(tmp_path / "out"), "--json"]) == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["what"] for row in report["checks"]] == ["training", "drawing", "resume"]
    assert not any(row["ok"] for row in report["checks"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "OutOfMemoryError" in page and "somebody" not in page and verify_page.NEVER in page


def test_what_cannot_be_trained_cannot_be_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--base", "flux-schnell", "--out", str(tmp_path)]) == 2
    assert "cannot be trained" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_course_on_nano(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--base", "nano", "--out", str(tmp_path / "out"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["job"]["steps"] == 150 and report["job"]["pictures"] == 16
    likeness = report["drawing"]["likeness"]
    assert likeness["subject_similarity"] > likeness["subject_similarity_without_lora"] + 0.2
    assert all(row["ok"] for row in report["checks"])
    assert abs(report["training"]["memory"]["off_by"]) < 0.5
