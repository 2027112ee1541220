"""The command line as a user meets it: results on standard output, one sentence for every
mistake, nothing lost."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fluxbooth.cli.main import main
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.lora import file as lora_file
from fluxbooth.specs import ASPECT_RATIOS
from fluxbooth.training import run_warnings
from tests.support.forked import Command
from tests.support.images import opened

QUICK = ["--name", "man", "--steps", "4", "--rank", "4", "--batch-size", "2", "--dtype", "float32"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as exit_:  # argparse's own way out
        code = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, says: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2, err
    assert says in err, err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2 or "usage:" in err, err
    assert not out


def test_help_and_version_need_nothing_heavy() -> None:
    script = "import sys; from fluxbooth.cli.main import main\ntry: main([{!r}])\nexcept SystemExit: pass\nprint(*sorted(sys.modules))"
    for flag in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", script.format(flag)], check=True, capture_output=True, text=True
        )
        loaded = set(done.stdout.splitlines()[-1].split())
        assert "fluxbooth.cli.main" in loaded
        assert not loaded & {"torch", "pydantic", "PIL", "numpy", "diffusers", "rich"}


@dataclass(frozen=True)
class Trained:
    """A run of QUICK on `photos`."""

    folder: Path
    rows: list[dict[str, Any]]  # the JSON lines on standard output

    def copy(self, folder: Path) -> Path:
        return shutil.copytree(self.folder, folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder, out = tmp_path_factory.mktemp("trained") / "run", io.StringIO()
    photos = [str(path) for path in sorted(PHOTOS.glob("*.png"))[:4]]
    comfy = folder.with_name("ComfyUI")
    (comfy / "models" / "checkpoints").mkdir(parents=True)
    told = ("--json", "--progress", "json", "--comfyui", str(comfy))
    with contextlib.redirect_stdout(out):
        assert main(["train", *photos, *QUICK, "--out", str(folder), *told]) == 0
    return Trained(folder, [json.loads(line) for line in out.getvalue().splitlines()])


def test_a_grid_of_strengths_is_drawn_from_the_same_noise(
    tmp_path: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    lora, out = trained.rows[-1]["lora"], tmp_path / "grid"
    texts = (f"ohwx man at the beach <lora:{lora}:2>", f"ohwx man in the snow <lora:{lora}>")
    flags = ("--grid", 0, 0.5, 2, "--steps", 2, "--out", out, "--json")
    code, said, _ = run(capsys, "generate", *texts, *flags)
    result = json.loads(said.splitlines()[-1])
    assert code == 0 and len(result["pictures"]) == 6
    assert len({row["seed"] for row in result["pictures"]}) == 1
    assert Path(result["pictures"][0]["path"]).name.startswith("ohwx-man-at-the-beach-")
    weights = [row["text"].rpartition(":")[2] for row in result["pictures"]]
    assert weights == ["0>", "1>", "4>", "0>", "0.5>", "2>"]
    sheet, first = opened(result["grid"]), opened(result["pictures"][0]["path"])
    assert sheet.width > 3 * first.width and sheet.height > 2 * first.height
    assert len(list(out.iterdir())) == 7
    for flags, says in (
        (["a man", "--grid"], "name one with --lora"),
        ([texts[0], "--grid", "--num-images", "2"], "one picture a cell"),
        ([texts[0], "--grid", "3"], "needs a weight from -4 to 4"),
    ):
        refused(capsys, "generate", *flags, says=says)


def test_train_then_generate(
    tmp_path: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    result = trained.rows[-1]
    assert result.keys() == {
        "lora",
        "steps",
        "steps_per_second",
        "loss",
        "validation_loss",
        "seconds",
        "peak_rss_mb",
        "base",
        "trigger",
        "warnings",
        "comfyui",
        "planned",
        "chosen",
        "identity",
        "prompt",
    }
    assert (result["steps"], result["base"], result["trigger"]) == (4, "nano", "ohwx man")
    assert Path(result["lora"]).is_file()
    for_comfyui = lora_file.read(result["comfyui"])
    assert for_comfyui.path.parts[-4:] == ("ComfyUI", "models", "loras", "ohwx-man.safetensors")
    assert (for_comfyui.format, for_comfyui.trigger) == ("kohya", "ohwx man")

    text = f"ohwx man at the beach in a red hoodie <lora:{result['lora']}:0.9>"
    flags = (
        "--steps",
        2,
        "--num-images",
        2,
        "--seed",
        5,
        "--aspect-ratio",
        "16:9",
        "--out",
        tmp_path / "p",
    )
    code, out, _ = run(capsys, "generate", text, *flags, "--json", "--progress", "json")
    assert code == 0
    *events, result = [json.loads(line) for line in out.splitlines()]
    pictures = result["pictures"]
    assert [
        row for event in events if event["event"] == "picture" for row in event["pictures"]
    ] == pictures
    assert [p["seed"] for p in pictures] == [5, 6]
    for picture in pictures:
        assert picture.keys() == {"path", "seed", "width", "height", "text"}
        assert opened(picture["path"]).size == (picture["width"], picture["height"]) == (176, 96)

    code, out, _ = run(capsys, "lora", "info", trained.rows[-1]["lora"], "--json")
    info = json.loads(out)
    assert (info["rank"], info["trigger"], info["spec"]["steps"]) == (4, "ohwx man", 4)


def test_progress_for_programs_is_json_lines(trained: Trained) -> None:
    rows = trained.rows
    assert [row["step"] for row in rows if row.get("event") == "step"] == [1, 2, 3, 4]
    assert [row["event"] for row in rows[:2]] == ["plan", "prepared"]
    assert "lora" in rows[-1]
    logged = [json.loads(line) for line in (trained.folder / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in logged if row["event"] == "step"] == [1, 2, 3, 4]


def test_the_spec_that_a_run_used_runs_again(
    tmp_path: Path, trained: Trained, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used = trained.folder / "spec.toml"
    again = tmp_path / "again"
    assert run(capsys, "train", photos, "--config", used, "--out", again, "--json")[0] == 0
    assert used.read_text() == (again / "spec.toml").read_text()
    # flags win over the file
    code, out, _ = run(
        capsys,
        "train",
        photos,
        "--config",
        used,
        "--steps",
        2,
        "--out",
        tmp_path / "other",
        "--json",
    )
    assert code == 0
    assert json.loads(out)["steps"] == 2


def test_models_and_inspect(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "models", "--json")
    assert code == 0
    assert {row["name"] for row in json.loads(out)["models"]} >= {
        "nano",
        "flux-dev",
        "flux-krea",
        "flux-schnell",
    }
    code, out, _ = run(capsys, "inspect", photos, "--json")
    assert code == 0
    assert [p["bucket"] for p in json.loads(out)["photos"]] == [
        [128, 128],
        [112, 144],
        [144, 112],
        [128, 128],
    ]
    (photos / "photo-02.txt").write_text("[trigger] as I say")
    code, out, _ = run(capsys, "inspect", photos)
    assert "photo-01.png: 384 x 384" in out
    # which training would take, and can be changed in a file beside the photo
    assert "will be captioned: [trigger]" in out
    assert "its caption: [trigger] as I say" in out


def test_what_is_left_out_is_said(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "clip.mov").touch()
    (photos / "older").mkdir()
    _, out, _ = run(capsys, "inspect", photos)
    assert "files: clip.mov" in out and "read: older" in out


def test_a_class_with_a_slash_writes_nowhere_else_and_a_loss_that_diverges_is_said(
    tmp_path: Path,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (photos / "photo-01.txt").write_text("a man")
    (photos / "clip.mov").touch()
    monkeypatch.setattr(run_warnings, "WORSE", 0.01)  # so that any loss has
    flags = ("--steps", 10, "--rank", 4, "--batch-size", 1)
    code, out, err = run(capsys, "train", photos, "--name", "../man/woman", *flags, "--json")
    assert code == 0 and Path(json.loads(out)["lora"]).parent.resolve().parent == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "ohwx-man-woman"}
    warnings = json.loads(out)["warnings"]
    assert [
        any(word in text for text in warnings) for word in ("clip.mov", "photo-01.png", "diverged")
    ] == [True] * 3
    assert all(f"Warning: {text}" in err for text in warnings)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--steps", "0"], "Steps '0' will not do"),
        (["--steps", "-1"], "Steps '-1' will not do"),
        (["--steps", "many"], "Steps 'many' will not do"),
        (["--rank", "0"], "Rank '0' will not do"),
        (
            ["--preset", "flux-lora-best"],
            "--preset 'flux-lora-best' will not do (did you mean 'flux-lora-fast'?): use 'flux-lora-portrait'",
        ),
        (["--base", "sdxl"], "There is no base 'sdxl': use one of nano, flux-dev"),
        (["--base", "flux-schnell"], "cannot be trained"),
        (["--learning-rate", "nan"], "Learning rate 'nan' will not do"),
        (["--resolution", "100"], "must be a multiple of 16"),
        (["--token", "two words"], "Token 'two words' will not do"),
        (["--token", "<lora:x>"], "Token '<lora:x>' will not do"),
        (["--seed", "-1"], "Seed '-1' will not do"),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--continue-from", "nowhere.safetensors"], "There is no LoRA file nowhere.safetensors"),
    ],
)
def test_settings_that_will_not_do(
    flags: list[str], says: str, tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, "train", photos, "--name", "man", *flags, "--out", tmp_path / "run", says=says)
    assert not list(tmp_path.glob("run/step-*"))


def test_a_mistake_that_is_mended_does_not_stand_in_the_way(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    refused(
        capsys,
        "train",
        photos,
        *QUICK,
        "--continue-from",
        "nowhere.safetensors",
        "--out",
        out,
        says="nowhere.safetensors",
    )
    assert run(capsys, "train", photos, *QUICK, "--out", out)[0] == 0


def test_a_folder_that_is_no_comfyui_is_told_before_the_training(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag, says in ((tmp_path, "is no ComfyUI"), (tmp_path / "nowhere", "is no ComfyUI")):
        flags = ("--out", tmp_path / "run", "--comfyui", flag)
        refused(capsys, "train", photos, *QUICK, *flags, says=says)
    assert not (tmp_path / "run").exists()


def test_a_class_name_is_asked_for(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, "train", photos, "--out", tmp_path / "run", says="--name")


def giant_png(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def truncated_jpeg(path: Path) -> None:
    Image.effect_noise((300, 300), 80).convert("RGB").save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("a.jpg", lambda p: p.write_text("not a picture"), "a.jpg"),
        ("b.jpg", truncated_jpeg, "b.jpg"),
        ("c.png", giant_png, "60000 x 60000"),
        ("d.png", lambda p: p.write_bytes(b""), "d.png (the file is empty)"),
    ],
)
def test_a_bad_photo_is_named(
    name: str,
    make: Callable[[Path], object],
    says: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(photos / name)
    for command in (["inspect", photos], ["train", photos, *QUICK, "--out", tmp_path / "run"]):
        refused(capsys, *command, says=says)
    assert not (tmp_path / "run").exists()


def test_no_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    refused(capsys, "inspect", tmp_path / "empty", says="has no pictures")
    refused(capsys, "train", tmp_path / "missing", *QUICK, says="missing")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            ["--width", "100", "--height", "128"],
            "Width '100' will not do: it should be a multiple of 16",
        ),
        (["--width", "128"], "must be given together"),
        (["--num-images", "0"], "Num images '0' will not do"),
        (["--aspect-ratio", "7:5"], "--aspect-ratio '7:5' will not do: use '1:1', '16:9'"),
        (["--base", "sd15"], "There is no base 'sd15'"),
        (["--lora", "nowhere.safetensors"], "There is no LoRA 'nowhere.safetensors'"),
        (["--lora", "x:heavy"], "'heavy'"),
        (["--negative-prompt", "blurry"], "sharp"),
        (["--seed", str(2**32)], "Seed"),
    ],
)
def test_requests_that_will_not_do(
    flags: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, "generate", "a man at the beach", *flags, "--out", tmp_path / "p", says=says)


def test_loras_that_will_not_do(
    tmp_path: Path, lora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "huge.safetensors").write_bytes(struct.pack("<Q", 2**63) + b"{}")
    (tmp_path / "cut.safetensors").write_bytes(lora.read_bytes()[:-100])
    other = {
        f"transformer.transformer_blocks.0.attn.to_q.lora_{ab}.weight": torch.zeros(s)
        for ab, s in (("A", (4, 3072)), ("B", (3072, 4)))
    }
    save_file(other, tmp_path / "other.safetensors")
    save_file({"model.diffusion_model.weight": torch.zeros(4, 4)}, tmp_path / "foreign.safetensors")
    for name, says in (
        ("pickle", "pickle"),
        ("huge", "9223372036854775808 bytes"),
        ("cut", "cut short"),
        ("other", "another architecture"),
        ("foreign", "no part of a LoRA that Fluxbooth reads"),
    ):
        file = tmp_path / f"{name}.safetensors"
        refused(
            capsys,
            "generate",
            "ohwx man at the beach",
            "--lora",
            file,
            "--out",
            tmp_path / "p",
            says=says,
        )


def test_an_output_that_exists_is_kept(
    tmp_path: Path, trained: Trained, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = trained.copy(tmp_path / "run")
    before = (out / "ohwx.safetensors").read_bytes()
    refused(capsys, "train", photos, *QUICK, "--out", out, says="--overwrite")
    assert (out / "ohwx.safetensors").read_bytes() == before
    assert run(capsys, "train", photos, *QUICK, "--seed", "9", "--out", out, "--overwrite")[0] == 0
    assert (out / "ohwx.safetensors").read_bytes() != before

    other = tmp_path / "mine"
    other.mkdir()
    (other / "diary.txt").write_text("dear diary")
    refused(capsys, "train", photos, *QUICK, "--out", other, "--overwrite", says="no training run")
    assert (other / "diary.txt").read_text() == "dear diary"


def test_generating_again_replaces_no_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (
        "generate",
        "a man at the beach, smiling",
        "--steps",
        1,
        "--seed",
        3,
        "--out",
        tmp_path,
        "--json",
    )
    paths = [json.loads(run(capsys, *flags)[1])["pictures"][0]["path"] for _ in range(2)]
    assert len(set(paths)) == 2
    assert all(Path(p).is_file() for p in paths)


@pytest.mark.parametrize(
    ("command", "inside", "says"),
    [
        (["train", "photos", "--name", "man"], "fluxbooth.photos.inspection.find",
         "The same command goes on from the last checkpoint"),
        (["train", "photos", "--name", "man", "--overwrite"], "fluxbooth.photos.inspection.find",
         "The same command without --overwrite goes on from the last checkpoint"),
        (["generate", "a man"], "fluxbooth.prompts.negatives.check_negative",
         "Pictures that were ready are in the output folder. The same command begins anew."),
        (["enhance", "photos", "--film-grain"], "fluxbooth.photos.inspection.find",
         "Pictures that were ready are in the output folder. The same command begins anew."),
        (["demo", "--base", "nano"], "fluxbooth.evaluation.demo.run",
         "The same command begins anew."),
        (["models", "pull", "flux-dev"], "fluxbooth.models.hub.pull",
         "What has arrived is kept. The same command goes on from there."),
        (["inspect", "photos"], "fluxbooth.photos.inspection.find", ""),
    ],
)  # fmt: skip
def test_an_interrupted_command_says_what_becomes_of_its_work(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    inside: str,
    says: str,
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inside, stopped)
    code, out, said = run(capsys, *command)
    assert code == 130 and not out
    last = said.strip().splitlines()[-1]
    assert last.startswith(f"Interrupted. {says}".strip())
    assert says or last == "Interrupted."


def test_a_full_disk_is_exit_1_in_one_sentence(tmp_path: Path, photos: Path) -> None:
    code, _, said = Command(
        "train", photos, *QUICK, "--out", tmp_path / "run", largest_file=100_000
    ).finish()
    assert code == 1, said
    assert "Traceback" not in said
    assert "cannot be written" in said


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write anywhere"
)
def test_a_folder_without_permission_is_exit_1(tmp_path: Path, photos: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != Path("/") and "pytest" in str(path):
            path.chmod(0o755)
    drop = (
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        if os.geteuid() == 0
        else []
    )
    command = [
        *drop,
        sys.executable,
        "-m",
        "fluxbooth",
        "train",
        str(photos),
        *QUICK,
        "--out",
        str(locked / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_aspect_ratio_has_a_size_near_the_native_area() -> None:
    from fluxbooth import GenerateSpec
    from fluxbooth.generation.sampling import sizes
    from fluxbooth.models import registry

    for ratio in ASPECT_RATIOS:
        (width, height), drawn = sizes(GenerateSpec(aspect_ratio=ratio), registry.BASES["nano"])
        across, down = map(int, ratio.split(":"))
        assert (width, height) == drawn
        assert width % 16 == height % 16 == 0
        assert 0.75 < width * height / 128**2 < 1.15
        assert abs((width / height) / (across / down) - 1) < 0.2
