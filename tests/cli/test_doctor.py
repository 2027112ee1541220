"""What the machine is said to have.

A GPU cannot be had here, so what torch would tell of one is given instead.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import fluxbooth
from fluxbooth import InputError, base_selection, hardware
from fluxbooth.cli import models
from fluxbooth.cli.main import main
from fluxbooth.hardware import GIB, Gpu
from fluxbooth.models import hub, licences, registry
from fluxbooth.models.flux1.bases import NANO
from fluxbooth.service import licensing
from fluxbooth.service.settings import Settings
from fluxbooth.specs import GenerateSpec, TrainSpec

CARD = Gpu("NVIDIA GeForce RTX 4090", 24 * GIB, 23 * GIB, (8, 9), True)


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token, no weights, nothing stated, plenty of memory and disk."""
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", licences.STATED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hardware, "gpu", lambda: None)
    monkeypatch.setattr(hardware, "free_memory", lambda: 64 * GIB)
    monkeypatch.setattr(hardware, "free_disk", lambda path: 500 * GIB)


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = {row["what"]: row for row in report["findings"]}
    assert report["attention"] == sum(row["state"] == "attention" for row in rows.values())
    assert all(bool(row["advice"]) == (row["state"] == "attention") for row in rows.values())
    return rows


def test_a_machine_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    rows = findings(capsys)
    assert {
        "Python",
        "driver",
        "torch",
        "GPU",
        "main memory",
        "disk",
        "weights",
        "token",
        "licence",
    } <= rows.keys()
    assert "nano does everything on the CPU" in rows["GPU"]["advice"]
    assert "make a token" in rows["token"]["advice"]
    assert "commercial use needs a licence" in rows["licence"]["advice"]
    assert main(["doctor"]) == 0
    assert rows["GPU"]["advice"] in capsys.readouterr().out


def test_a_machine_that_has_it_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hardware, "gpu", lambda: CARD)
    monkeypatch.setattr(hub, "local", lambda row: Path("/weights"))
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setenv(licences.STATED, "commercial")
    rows = findings(capsys)
    assert {what for what, row in rows.items() if row["state"] == "attention"} <= {
        "driver",
        "torch",
    }
    assert "int8 base" in rows["GPU memory"]["found"]


def test_each_lack_has_its_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hardware, "gpu", lambda: Gpu("Tesla T4", 3 * GIB, 2 * GIB, (7, 5), True))
    monkeypatch.setattr(hardware, "free_memory", lambda: 3 * GIB)
    monkeypatch.setattr(hardware, "free_disk", lambda path: 5 * GIB)
    monkeypatch.setenv(licences.STATED, "maybe")
    rows = findings(capsys)
    for what, says in (
        ("bfloat16", "RTX 30"),
        ("GPU memory", "flux-dev does not fit"),
        ("main memory", "Close other programs"),
        ("disk", "HF_HOME"),
        ("licence", "state noncommercial or commercial"),
    ):
        assert says in rows[what]["advice"], what


def test_the_default_base(monkeypatch: pytest.MonkeyPatch) -> None:
    assert base_selection.default().name == "nano"
    monkeypatch.setattr(hardware, "gpu", lambda: CARD)
    with pytest.raises(
        InputError, match=r"run `fluxbooth models pull flux-dev` \(34 GB\), or .* `--base nano`"
    ):
        base_selection.default()
    assert base_selection.suited().name == "flux-dev"
    monkeypatch.setattr(hub, "local", lambda row: Path("/weights"))
    assert base_selection.default().name == "flux-dev"


def test_a_person_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    pulled = []
    monkeypatch.setattr(hardware, "gpu", lambda: CARD)
    monkeypatch.setattr(hub, "local", lambda row: Path("/weights") if pulled else None)
    monkeypatch.setattr(hub, "pull", lambda row, report: pulled.append(row.name))
    monkeypatch.setattr("sys.stderr", Terminal())
    for answer in ("n\n", "\n"):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        with pytest.raises(InputError):
            models.offered(base_selection.default)
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    spec = models.offered(lambda: base_selection.with_base(TrainSpec(class_name="man")))
    assert spec.base == "flux-dev" and pulled == ["flux-dev"]


def test_the_library_takes_the_base_that_the_commands_take(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    photos: Path,
    lora: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(hardware, "gpu", lambda: CARD)
    with pytest.raises(InputError, match="models pull flux-dev"):
        fluxbooth.train(photos, TrainSpec(class_name="man", steps=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for text, wrong in (
        ("a man", "models pull flux-dev"),
        ("a man <lora:other:1>", "The weights of flux-krea are not"),
    ):
        save_file(
            load_file(lora),
            tmp_path / "other.safetensors",
            {"fluxbooth": json.dumps({"spec": {"base": "flux-krea"}})},
        )
        with pytest.raises(InputError, match=wrong):
            fluxbooth.generate(text, folders=[tmp_path])
    monkeypatch.setattr(hardware, "gpu", lambda: None)
    assert fluxbooth.generate("a man", GenerateSpec(steps=1))[0].metadata["base"] == "nano"
    assert main(["inspect", str(photos), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["base"] == "nano"
    monkeypatch.setattr(hardware, "gpu", lambda: CARD)
    assert main(["inspect", str(photos)]) == 0
    shown = capsys.readouterr().out
    assert "flux-dev" in shown and "trained at 1024 x 1024" in shown


@pytest.mark.parametrize("command", [["train", "photos", "--name", "man"], ["demo"]])
def test_a_program_gets_the_command(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hardware, "gpu", lambda: CARD)
    assert main(command) == 2
    assert "fluxbooth models pull flux-dev" in capsys.readouterr().err


def test_the_licence_is_said_until_it_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    said = licences.notice(registry.find("flux-dev"))
    assert said and "commercial use needs a licence" in said
    assert licences.notice(registry.find("nano")) is None
    assert licences.notice(registry.find("flux-schnell")) is None
    for stated in licences.STATEMENTS:
        monkeypatch.setenv(licences.STATED, stated)
        assert licences.notice(registry.find("flux-krea")) is None
    monkeypatch.setenv(licences.STATED, "yes")
    with pytest.raises(InputError, match="state noncommercial or commercial"):
        licences.notice(registry.find("flux-dev"))


def test_a_picture_is_drawn_with_the_base_that_its_lora_was_trained_on(
    lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hardware, "gpu", lambda: CARD)
    for texts, spec in ((["a man"], {"loras": (str(lora),)}), ([f"a man <lora:{lora}:0.5>"], {})):
        assert base_selection.of_loras(GenerateSpec(**spec), texts, []) == "nano"
    tensors = load_file(lora)
    told = {"fluxbooth": json.dumps({"spec": {"base": "flux-dev"}})}
    save_file(tensors, tmp_path / "dev.safetensors", told)
    save_file(tensors, tmp_path / "elsewhere.safetensors")
    assert (
        base_selection.of_loras(
            GenerateSpec(loras=(f"{tmp_path / 'dev.safetensors'}:0.7",)), ["a man"], []
        )
        == "flux-dev"
    )
    assert (
        base_selection.of_loras(
            GenerateSpec(loras=(str(tmp_path / "elsewhere.safetensors"),)), ["a man"], []
        )
        is None
    )
    out = str(tmp_path / "pictures")
    assert (
        main(["generate", "a man", "--lora", str(tmp_path / "dev.safetensors"), "--out", out]) == 2
    )
    assert (
        "The weights of flux-dev are not on this machine: run `fluxbooth models pull flux-dev`"
        in capsys.readouterr().err
    )
    assert main(["generate", "a man", "--out", out]) == 2
    assert "`--base nano`" in capsys.readouterr().err


def test_what_a_server_may_serve(tmp_path: Path) -> None:
    def served(**settings: object) -> set[str]:
        made = Settings(data=tmp_path, safety="off", **settings)  # type: ignore[arg-type]
        licensing.check(made)
        return made.served

    assert served() == {"nano"}
    assert served(base="flux-dev", flux_dev_license="noncommercial") == {"flux-dev", "flux-krea"}
    assert served(base=str(NANO), base_tunes={1504944: "flux-dev"}) == {str(NANO)}
    for settings, says in (
        ({"base": "flux-dev"}, "flux-dev may be served only under a licence"),
        ({"base": str(NANO)}, "flux-krea may be served only under a licence"),
        ({"base": "flux-schnell"}, "flux-schnell cannot be trained"),
        ({"base": "sdxl"}, "There is no base 'sdxl'"),
        (
            {"base": "flux-dev", "base_tunes": {1504944: "sdxl"}},
            "There is no base 'sdxl'",
        ),
    ):
        with pytest.raises(InputError, match=says):
            served(**settings)


def test_a_card_that_holds_flux_is_told_which_base_suits_whom(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for gpu, said in ((None, False), (replace(CARD, total=8 * GIB), False), (CARD, True)):
        monkeypatch.setattr(hardware, "gpu", lambda gpu=gpu: gpu)
        assert bool(base_selection.which()) == said
    monkeypatch.setattr(
        hardware, "gpu", lambda: replace(CARD, total=int(11.6 * GIB), free=11 * GIB)
    )
    assert main(["models", "--json"]) == 0
    klein, dev = json.loads(capsys.readouterr().out)["which"]
    assert "flux2-klein" in klein and "Apache-2.0" in klein and "sells pictures" in klein
    assert "flux-dev" in dev and "non-commercial" in dev
    assert main(["models"]) == 0
    assert klein in capsys.readouterr().out
