from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fluxbooth import FluxboothError, InputError, TrainSpec, picture_files, train
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.lora import file as lora_file
from fluxbooth.lora.convert import convert
from fluxbooth.models import loader, registry
from fluxbooth.specs import steps_for
from fluxbooth.training import flow
from tests.conftest import QUICK
from tests.support.images import opened


@pytest.mark.parametrize(
    ("preset", "steps", "pictures", "expected"),
    [
        (None, None, 4, 400),
        (None, None, 2, 300),
        (None, None, 20, 2000),
        ("flux-lora-fast", None, 10, 300),
        ("flux-lora-portrait", None, 20, 540),
        ("flux-lora-focus", 77, 20, 77),
        (None, 1, 20, 1),
    ],
)
def test_steps_follow_the_preset_and_an_explicit_number_wins(
    preset: Any, steps: int | None, pictures: int, expected: int
) -> None:
    assert (
        steps_for(TrainSpec(class_name="man", base="nano", preset=preset, steps=steps), pictures)
        == expected
    )


@pytest.mark.parametrize(("base", "times"), [("flux-dev", 3.0), ("nano", 1.0)])
def test_presets_raise_the_rate_of_the_base_as_far_as_it_can_bear(base: str, times: float) -> None:
    plain, fast = (
        registry.resolve(TrainSpec(class_name="man", base=base, preset=preset), 8)
        for preset in (None, "flux-lora-fast")
    )
    assert plain.learning_rate == registry.BASES[base].learning_rate
    assert fast.learning_rate == pytest.approx(times * plain.learning_rate)


def test_captions_that_were_written_are_shown_and_can_be_changed(
    tmp_path: Path, photos: Path
) -> None:
    (photos / "photo-02.txt").write_text("[trigger] as I say")
    spec = QUICK.model_copy(update={"steps": 1})
    train(photos, spec, tmp_path / "run")
    shown = sorted((tmp_path / "run" / "captions").iterdir())
    assert [path.name for path in shown] == ["photo-01.txt", "photo-03.txt", "photo-04.txt"]
    assert all("[trigger]" in path.read_text() for path in shown)
    for path in shown:
        shutil.copy(path, photos)
    lora = train(photos, spec, tmp_path / "run", overwrite=True).lora
    assert not (tmp_path / "run" / "captions").exists()  # they are given now
    with safe_open(lora, "pt") as file:
        told = json.loads(file.metadata()["fluxbooth"])["spec"]
    recipe = {name: told[name] for name in ("captioner", "fit_text", "text_length")}
    assert recipe == {"captioner": "reader", "fit_text": True, "text_length": 24}
    assert (told["outside_head"], told["settle_steps"]) == (0.1, 150)


def test_training_lowers_the_validation_loss_and_reports_as_it_goes(
    tmp_path: Path, photos: Path
) -> None:
    events: list[dict[str, Any]] = []
    spec = QUICK.model_copy(update={"steps": 40, "checkpoint_every": 10, "learning_rate": 5e-3})
    result = train(photos, spec, tmp_path / "run", events.append)
    validation = [e["validation_loss"] for e in events if e["event"] == "checkpoint"]
    assert len(validation) == 4
    assert validation[-1] < validation[0]
    assert result.validation_loss == pytest.approx(validation[-1])
    steps = [e for e in events if e["event"] == "step"]
    assert [e["step"] for e in steps] == list(range(1, 41))
    assert steps[-1]["seconds_left"] == 0
    assert len(list((tmp_path / "run").glob("step-*"))) == spec.keep_checkpoints


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """What QUICK makes of `photos`."""
    return load_file(
        train(
            sorted(PHOTOS.glob("*.png"))[:4], QUICK, tmp_path_factory.mktemp("usual") / "run"
        ).lora
    )


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    tmp_path: Path, photos: Path, usual: dict[str, torch.Tensor]
) -> None:
    def weights(name: str, seed: int) -> dict[str, torch.Tensor]:
        return load_file(
            train(photos, QUICK.model_copy(update={"seed": seed}), tmp_path / name).lora
        )

    a, b, c = usual, weights("b", QUICK.seed), weights("c", QUICK.seed + 1)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not any(torch.equal(a[k], c[k]) for k in a if "lora_A" in k)


def test_the_lora_has_every_linear_of_the_blocks_and_says_what_it_is(lora: Path) -> None:
    tensors = load_file(lora)
    network = loader.load("nano").network
    linear = {
        n for n, m in network.named_modules() if isinstance(m, torch.nn.Linear) and "blocks." in n
    }
    assert {k.removeprefix("transformer.").split(".lora_")[0] for k in tensors} == linear
    assert any("norm1.linear" in name for name in linear)  # modulations included
    with safe_open(lora, "pt") as file:
        metadata = file.metadata()
    assert metadata["modelspec.trigger_phrase"] == "ohwx man"
    assert metadata["modelspec.architecture"] == "flux-1-dev/lora"
    assert metadata["ss_network_dim"] == metadata["ss_network_alpha"] == "4"
    assert metadata["ss_steps"] == "30"
    assert metadata["ss_num_train_images"] == "10"
    assert json.loads(metadata["ss_tag_frequency"]) == {"1_ohwx man": {"ohwx man": 10}}
    assert json.loads(metadata["fluxbooth"])["spec"]["learning_rate"] == 5e-3
    assert "photo-01" not in json.dumps(metadata)


def test_a_loss_that_is_not_a_number_stops_within_ten_steps(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = flow.velocity_loss, []

    def breaks_at_13(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        loss = real(*arguments)
        return loss * float("nan") if sum(calls) == 13 else loss

    monkeypatch.setattr(flow, "velocity_loss", breaks_at_13)
    spec = QUICK.model_copy(update={"steps": 100, "checkpoint_every": 5})
    with pytest.raises(
        FluxboothError, match=r"became nan at step 13.*last good checkpoint is .*step-000010"
    ):
        train(photos, spec, tmp_path / "run")
    assert sum(calls) <= 23
    assert not (tmp_path / "run" / "ohwx.safetensors").exists()
    kept = load_file(tmp_path / "run" / "step-000010" / "lora.safetensors")
    assert all(t.isfinite().all() for t in kept.values())


def test_training_on_starts_from_the_lora(tmp_path: Path, photos: Path, lora: Path) -> None:
    spec = QUICK.model_copy(update={"continue_from": str(lora), "steps": 1, "learning_rate": 1e-9})
    before, after = load_file(lora), load_file(train(photos, spec, tmp_path / "run").lora)
    assert all(torch.allclose(before[k], after[k], atol=1e-6) for k in before)
    with pytest.raises(InputError, match="has rank 4, not 8: add --rank 4"):
        train(photos, spec.model_copy(update={"rank": 8}), tmp_path / "other")


def test_training_on_begins_at_the_strength_that_the_file_tells(
    tmp_path: Path, photos: Path, lora: Path
) -> None:
    """In the header alone, and in kohya's format; a layer of a lower rank has room to grow, and
    what cannot be trained is refused."""
    before = load_file(lora)
    told = {"lora_adapter_metadata": json.dumps({"transformer.r": 4, "transformer.lora_alpha": 8})}
    save_file(before, tmp_path / "double.safetensors", told)
    convert(tmp_path / "double.safetensors", tmp_path / "kohya.safetensors", "kohya")
    spec = QUICK.model_copy(update={"steps": 1, "learning_rate": 1e-9})
    for name in ("double", "kohya"):
        start = spec.model_copy(update={"continue_from": str(tmp_path / f"{name}.safetensors")})
        after = load_file(train(photos, start, tmp_path / name).lora)
        assert all(
            torch.allclose((2 if "lora_B" in k else 1) * before[k], after[k], atol=1e-6)
            for k in before
        ), name
    first = "transformer.transformer_blocks.0.attn.to_q"
    low = before | {
        f"{first}.lora_A.weight": before[f"{first}.lora_A.weight"][:2].clone(),
        f"{first}.lora_B.weight": before[f"{first}.lora_B.weight"][:, :2].clone(),
    }
    save_file(low, tmp_path / "low.safetensors")
    after = load_file(
        train(
            photos,
            spec.model_copy(update={"continue_from": str(tmp_path / "low.safetensors")}),
            tmp_path / "low",
        ).lora
    )
    assert torch.allclose(
        after[f"{first}.lora_B.weight"][:, :2], low[f"{first}.lora_B.weight"], atol=1e-6
    )
    assert after[f"{first}.lora_B.weight"][:, 2:].abs().max() < 1e-6
    for extra, reason in (
        (
            {f"{first}.lora_magnitude_vector": torch.ones(256)},
            r"is a DoRA \(LoRA\), which cannot be trained on",
        ),
        (
            {
                "transformer.x_embedder.lora_A.weight": torch.ones(4, 64),
                "transformer.x_embedder.lora_B.weight": torch.ones(256, 4),
            },
            "x_embedder",
        ),
    ):
        save_file(before | extra, tmp_path / "odd.safetensors")
        with pytest.raises(InputError, match=reason):
            train(
                photos,
                spec.model_copy(update={"continue_from": str(tmp_path / "odd.safetensors")}),
                tmp_path / "odd",
            )


def test_the_moving_average_is_what_is_saved(
    tmp_path: Path, photos: Path, usual: dict[str, torch.Tensor]
) -> None:
    averaged = load_file(
        train(photos, QUICK.model_copy(update={"ema": 0.999}), tmp_path / "a").lora
    )
    size = {
        name: sum(t[k].abs().mean() for k in t if "lora_B" in k)
        for name, t in (("averaged", averaged), ("plain", usual))
    }
    # B started at zero and the average hardly followed
    assert 0 < size["averaged"] < 0.05 * size["plain"]


def test_captions_beside_the_photos_are_used(tmp_path: Path, photos: Path) -> None:
    (photos / "photo-01.txt").write_text("ohwx man in a grey t-shirt")
    (photos / "photo-02.txt").write_text("somebody else")
    with safe_open(train(photos, QUICK, tmp_path / "run").lora, "pt") as file:
        assert json.loads(file.metadata()["ss_tag_frequency"]) == {"1_ohwx man": {"ohwx man": 3}}


def test_samples_are_drawn_on_the_way(tmp_path: Path, photos: Path) -> None:
    events: list[dict[str, Any]] = []
    spec = QUICK.model_copy(update={"sample_prompts": ("ohwx man at the beach",)})
    train(photos, spec, tmp_path / "run", events.append)
    samples = [e for e in events if e["event"] == "sample"]
    assert [e["step"] for e in samples] == [3, 6]
    for event in samples:
        assert picture_files.source_in(opened(Path(event["path"]))) == picture_files.GENERATED


def test_stages_are_whole_loras_and_what_they_draw(tmp_path: Path, photos: Path) -> None:
    events: list[dict[str, Any]] = []
    spec = QUICK.model_copy(
        update={"sample_prompts": ("ohwx man at the beach",), "stages": 3, "checkpoint_every": 100}
    )
    done = train(photos, spec, tmp_path / "run", events.append)
    assert [e["step"] for e in events if e["event"] == "sample"] == [0, 2, 4, 6]
    stages = [Path(e["path"]) for e in events if e["event"] == "stage"]
    assert [lora_file.read(path).ours["spec"]["steps"] for path in stages] == [2, 4, 6]
    assert all(
        torch.equal(value, load_file(done.lora)[name])
        for name, value in load_file(stages[-1]).items()
    )
    kept = load_file(stages[0])

    def kill_before_the_second_stage(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint" and event["step"] == 4:
            raise KeyboardInterrupt

    other, blind = tmp_path / "killed", spec.model_copy(update={"sample_prompts": ()})
    with pytest.raises(KeyboardInterrupt):
        train(photos, blind, other, kill_before_the_second_stage)
    assert sorted(path.name for path in (other / "stages").iterdir()) == ["step-000002.safetensors"]
    train(photos, blind, other)
    assert all(
        torch.equal(value, load_file(other / "stages" / stages[0].name)[name])
        for name, value in kept.items()
    )
    assert len(list((other / "stages").iterdir())) == 3
    assert str(tmp_path) not in str(lora_file.read(stages[0]).metadata)


def test_a_run_with_other_settings_is_not_mixed_in(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "run"

    def stop_at_first_checkpoint(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photos, QUICK, out, stop_at_first_checkpoint)
    with pytest.raises(InputError, match="unfinished training with other settings"):
        train(photos, QUICK.model_copy(update={"rank": 2}), out)
    (photos / "photo-04.png").unlink()
    with pytest.raises(InputError, match="unfinished training with other settings or photos"):
        train(photos, QUICK, out)


def test_an_optimiser_that_is_not_installed_names_its_package(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(InputError, match=r"fluxbooth\[prodigy\]"):
        train(photos, QUICK.model_copy(update={"optimizer": "prodigy"}), tmp_path / "run")


def test_gradient_checkpointing_changes_nothing_but_memory(
    tmp_path: Path, photos: Path, usual: dict[str, torch.Tensor]
) -> None:
    checkpointed = load_file(
        train(
            photos, QUICK.model_copy(update={"gradient_checkpointing": "all"}), tmp_path / "run"
        ).lora
    )
    assert all(torch.allclose(usual[k], checkpointed[k], atol=1e-5) for k in usual)
