from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fluxbooth import hardware
from fluxbooth.cli.main import main
from fluxbooth.errors import FluxboothError
from fluxbooth.hardware import GIB
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Choice, Job
from fluxbooth.models import timing
from fluxbooth.models.flux1.size import FLUX1
from fluxbooth.specs import GenerateSpec, TrainSpec
from fluxbooth.training import flow
from tests.memory.test_estimate import Case, family


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["plan", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_common_cards_are_planned_for(capsys: pytest.CaptureFixture[str]) -> None:
    result = planned(capsys)
    assert result["parameters"] == 11_901_408_320
    assert result["job"] == {
        "resolutions": [512, 768, 1024],
        "rank": 16,
        "batch_size": 1,
        "text_length": 512,
    }
    rows = {row["vram_gb"]: row for row in result["cards"]}
    assert {8, 10, 12, 16, 24, 40, 80} <= rows.keys()
    for row in result["cards"]:
        assert row["fits"] and row["peak_gb"] <= row["vram_gb"]
        assert row["minutes_per_1000_steps"] == pytest.approx(
            row["seconds_per_step"] * 1000 / 60, abs=0.06
        )
    assert (rows[80]["quantisation"], rows[80]["checkpointing"]) == ("none", "none")
    assert (rows[24]["quantisation"], rows[8]["quantisation"]) == ("int8", "nf4")
    assert rows[8]["offloaded"] > 0


@pytest.mark.parametrize(
    ("name", "mebibytes", "card"),
    [
        ("NVIDIA GeForce RTX 5090", 32607, "RTX 5090"),
        ("NVIDIA GeForce RTX 5070 Ti", 16303, "RTX 5070 Ti"),
        ("NVIDIA GeForce RTX 5070", 12227, "RTX 5070"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 97887, "RTX PRO 6000"),
        ("NVIDIA B200", 183359, "B200"),
        ("NVIDIA H200", 143771, "H200"),
        ("NVIDIA H100 80GB HBM3", 81559, "H100"),
        ("NVIDIA A100-SXM4-80GB", 81920, "A100 80 GB"),
        ("NVIDIA A100-SXM4-40GB", 40960, "A100 40 GB"),
        ("NVIDIA L40S", 46068, "L40S"),
        ("NVIDIA A10", 23028, "A10"),
        ("NVIDIA A10G", 23028, "A10G"),
        ("Tesla T4", 15360, "T4"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, "RTX 4080"),  # another chip of that name
        ("Somebody's card of next year", 24576, "RTX 4090"),
    ],
)
def test_a_card_is_known_by_its_drivers_name(name: str, mebibytes: int, card: str) -> None:
    assert timing.like(mebibytes * 2**20, name).name == card


def test_a_card_without_bfloat16_is_planned_for_in_float32(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = {row["card"]: row for row in planned(capsys)["cards"]}
    assert {
        "B200",
        "H200",
        "RTX PRO 6000",
        "L40S",
        "RTX 5090",
        "RTX 5060",
        "A10",
        "T4",
    } <= rows.keys()
    assert rows["T4"]["dtype"] == "float32" and "no bfloat16" in rows["T4"]["why"]
    assert (
        rows["RTX 5090"]["seconds_per_step"]
        < rows["RTX 4090"]["seconds_per_step"]
        < rows["RTX 3090"]["seconds_per_step"]
    )


def test_one_card_and_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    (small,) = planned(capsys, "--vram", "24", "--resolution", "512")["cards"]
    (large,) = planned(
        capsys,
        "--vram",
        "24",
        "--resolution",
        "512",
        "1024",
        "--rank",
        "64",
        "--batch-size",
        "2",
        "--ram",
        "64",
    )["cards"]
    assert large["seconds_per_step"] > 2 * small["seconds_per_step"]
    assert large["checkpointed"] > small["checkpointed"]
    assert main(["plan", "--vram", "24", "--resolution", "512"]) == 0
    shown = capsys.readouterr().out
    assert small["why"] in shown
    assert "estimate" in shown


def test_a_price_an_hour_becomes_that_of_a_tune_and_of_a_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (row,) = planned(capsys, "--vram", "48", "--hourly", "0.72")["cards"]
    assert row["steps"] == 1000  # of ten photos
    assert row["tune_cost"] == pytest.approx(1000 * row["seconds_per_step"] * 0.72 / 3600, abs=1e-3)
    assert row["picture_cost"] == pytest.approx(row["seconds_per_picture"] * 0.0002, abs=1e-5)
    assert main(["plan", "--vram", "48", "--hourly", "0.72"]) == 0
    assert f"costs {row['tune_cost']:.2f}, and a picture" in capsys.readouterr().out
    assert "hourly" not in planned(capsys, "--vram", "48")["cards"][0]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--vram", "3"], "flux-dev does not fit"),
        (["--vram", "0"], "--vram 0 will not do"),
        (["--vram", "nan"], "--vram nan will not do"),
        (["--ram", "-1"], "--ram -1 will not do"),
        (["--vram", "24", "--hourly", "0"], "--hourly 0 will not do"),
        (["--hourly", "1"], "the price of one card: add its --vram"),
        (["--vram", "8", "--ram", "8"], "of main memory"),
        (["--resolution", "100"], "must be a multiple of 16"),
        (["--rank", "0"], "Rank 0 will not do"),
        (["--base", "flux-schnell"], "cannot be trained"),
        (["--base", "sdxl"], "There is no base 'sdxl'"),
    ],
)
def test_plans_that_cannot_be(
    flags: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *flags]) == 2
    assert says in capsys.readouterr().err


def test_a_plan_for_a_given_card_loads_no_torch() -> None:
    script = "import sys; from fluxbooth.cli.main import main; main(['plan', '--vram', '24']); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("checkpointed", [0, 3])
def test_the_operations_are_those_that_torch_counts(checkpointed: int) -> None:
    # rank 1, so that the LoRA's own arithmetic is as small as at FLUX.1's width; torch counts no
    # flash attention on a CPU
    case = Case(1, 2, 8, 64, Job(128, 192, batch_size=2, rank=1), checkpointed, dtype="float32")
    trained, job = family(case, "cpu"), case.job
    lora_training.add(trained, job.rank, 0)
    trained.checkpoint_gradients(checkpointed)
    z = torch.zeros(2, job.image_tokens, 64)
    told = {
        "states": torch.zeros(2, job.text_length, case.text_width),
        "pooled": torch.zeros(2, case.pooled_width),
    }
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        flow.velocity_loss(
            trained.velocity(z, torch.full((2,), 0.5), told, 1.0, (128, 128)), z, z
        ).backward()
    assert timing.step_flops(case.shape, job, case.choice) == pytest.approx(
        counter.get_total_flops(), rel=0.03
    )


def test_flux1s_operations() -> None:
    """59,510 GFLOP in the Linears and 14.9 TFLOP in the attention of one forward pass at 1024
    px."""
    job = Job(1024, 512)
    none, everything = (
        timing.step_flops(FLUX1, job, Choice(checkpointed=count)) for count in (0, 57)
    )
    assert everything - none == pytest.approx(74.4e12, rel=0.01)
    assert none == pytest.approx(172e12, rel=0.02)


def test_a_machine_that_trained_nothing_is_guessed_from_its_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's program is ours here; it names a card of the table. What this machine has
    free, and how fast it is, is said to it."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\ncase "$1" in *uuid*) echo GPU-1;; *) echo "NVIDIA GeForce RTX 4090, 24564";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hardware, "free_memory", lambda: int(32 * GIB))
    monkeypatch.setattr(hardware, "matrix_speed", lambda: 1e11)
    timing.worker.cache_clear()
    assert timing.worker().name == "NVIDIA GeForce RTX 4090"
    step = timing.guessed_training(TrainSpec(class_name="man", base="flux-dev"))
    picture = timing.guessed_drawing(GenerateSpec(base="flux-dev", steps=28), 1024**2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    timing.worker.cache_clear()
    try:
        assert timing.worker().name == "this CPU"
        on_cpu = timing.guessed_training(TrainSpec(class_name="man", base="flux-dev"))
    finally:
        timing.worker.cache_clear()
    # published: two to four seconds, twenty to thirty
    assert step and 1 < step < 6 and 10 < picture < 60
    assert on_cpu and on_cpu > 10 * step


def test_a_text_that_is_fitted_to_captions_is_timed_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """nano reads 24 tokens of its reader's captions, and computes a third less for it."""
    monkeypatch.setattr(timing, "worker", lambda _: timing.Card("this CPU", 0, 0.1, 0.4))
    whole = TrainSpec(class_name="man", base="nano", fit_text=False)
    fitted = timing.guessed_training(whole.model_copy(update={"fit_text": None}))
    short = timing.guessed_training(whole.model_copy(update={"text_length": 24}))
    unfitted = timing.guessed_training(whole)
    assert fitted and unfitted and fitted == short and 0.6 < fitted / unfitted < 0.75


def test_a_driver_that_hangs_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hardware, "DRIVER_WITHIN", 0.1)
    with pytest.raises(FluxboothError, match="nvidia-smi does not answer"):
        hardware.gpus()
