"""The best checkpoint is chosen on the way, within the time that it may take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fluxbooth import train
from fluxbooth.evaluation import scoring
from fluxbooth.evaluation.scoring import Score
from fluxbooth.lora import file as lora_file
from fluxbooth.models import registry
from fluxbooth.specs import TrainSpec
from fluxbooth.training import choosing
from fluxbooth.training.choosing import Look
from tests.conftest import QUICK


@pytest.mark.parametrize("picture", [0.02, 0.1, 0.3, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("steps", [100, 300, 799, 2000])
def test_pictures_never_take_more_than_their_share(steps: int, picture: float) -> None:
    plan = choosing.planned(steps, 0.15, 0.1, picture)
    for number, step in enumerate(plan.steps, 1):
        assert number * plan.pictures * picture <= 0.15 * 0.1 * (step + 0.5)  # of a rounded step
    assert len(plan.steps) != 1 and (not plan.steps or plan.steps[-1] == steps)


def test_a_fast_base_has_looks_and_a_slow_one_says_that_it_has_none() -> None:
    usual = choosing.planned(800, 0.15, 0.1, 0.15)
    assert (usual.steps, usual.pictures) == ((100, 200, 300, 400, 500, 600, 700, 800), 8)
    assert "best of up to 8 checkpoints" in usual.why
    slower = choosing.planned(800, 0.15, 0.1, 0.2)  # eight pictures: five looks
    assert (slower.steps[0], len(slower.steps), slower.pictures) == (80, 10, 4)
    short = choosing.planned(300, 0.15, 0.1, 0.2)  # no way to have many
    assert (short.steps, short.pictures) == ((150, 300), 8)
    slow = choosing.planned(300, 0.15, 1.0, 60.0)
    assert slow == choosing.Plan((), 0) and "the last is kept" in slow.why
    assert not choosing.possible(99, 0.15) and not choosing.possible(800, 0)


def looks(*values: float) -> list[Look]:
    return [Look(100 * (i + 1), value, value, None) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "best", "over"),
    [
        ((), None, False),
        ((0.9,), 100, False),
        ((0.7, 0.9), 200, False),
        ((0.9, 0.925), 100, False),  # no better than by luck, and less sharp
        ((0.9, 0.925, 0.929), 100, True),
        ((0.9, 0.8, 0.94), 300, False),
        ((0.9, 0.95, 0.8, 0.7), 200, True),
        ((0.0, 0.0, 0.0), 100, True),
    ],
)
def test_what_is_best_and_when_it_is_over(
    values: Sequence[float], best: int | None, over: bool
) -> None:
    found = choosing.best(looks(*values), 8)
    assert (found and found.step) == best
    assert choosing.is_over(looks(*values), 8) == over


def test_fewer_pictures_must_find_more_to_prefer_a_later_checkpoint() -> None:
    found = [choosing.best(looks(0.9, 0.935), pictures) for pictures in (8, 4)]
    assert [look and look.step for look in found] == [200, 100]


class Scripted:
    """Gives the scores of a list, one a look; nothing for the pictures that are drawn to
    measure."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)
        self.pictures = list[list[bytes]]()

    def score(self, pictures: Sequence[Image.Image], prompts: Sequence[int]) -> Score:
        self.pictures.append([picture.tobytes() for picture in pictures])
        return Score(self.values[max(0, len(self.pictures) - 2)], 1.0, 1.0)


def same(one: Path, other: Path) -> bool:
    weights, others = load_file(one), load_file(other)
    return all(torch.equal(weights[name], others[name]) for name in weights)


SPEC = QUICK.model_copy(update={"steps": 12, "checkpoint_every": 5, "learning_rate": 5e-3})
OPEN = SPEC.model_copy(update={"stop_early": True})


def run(
    spec: TrainSpec, photos: Path, out: Path, scorer: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, list[Any]]:
    monkeypatch.setattr(scoring, "scorer_for", lambda *_: scorer)
    events = list[Any]()
    return train(photos, spec, out, events.append), events


@pytest.mark.usefixtures("quick_looks")
def test_the_best_is_kept_and_training_ends_when_nothing_gets_better(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that were given by hand are all done, to the very same checkpoints."""
    found, events = run(OPEN, photos, tmp_path / "open", Scripted(0.5, 0.9, 0.8, 0.7), monkeypatch)
    assert (found.chosen, found.identity, found.steps, found.planned) == (4, 0.9, 8, 12)
    scored = [event for event in events if event["event"] == "scored"]
    assert [(event["step"], event["best"]) for event in scored] == [(2, 2), (4, 4), (6, 4), (8, 4)]
    (plan,) = [event for event in events if event["event"] == "choosing"]
    assert plan["at"] == [2, 4, 6, 8, 10, 12] and plan["pictures"] == 1
    steps = [event["step"] for event in events if event["event"] == "step"]
    assert steps == list(range(1, 9))
    stages = sorted((tmp_path / "open" / "stages").iterdir())
    assert [path.stem for path in stages] == [f"step-{step:06d}" for step in (2, 4, 6, 8)]
    assert found.lora.read_bytes() == stages[1].read_bytes()
    assert lora_file.read(found.lora).ours["spec"]["steps"] == 4
    told = (tmp_path / "open" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in told if '"scored"' in line] == scored
    assert all(Path(event["pictures"][0]).exists() for event in scored)
    report = (tmp_path / "open" / "report.html").read_text()
    assert "of step 4, the best of 4 checkpoints" in report and "after 8 of 12 steps" in report
    assert report.count("data:image/jpeg") == 4 + 4 and "http" not in report
    assert str(tmp_path) not in report

    whole, _ = run(
        SPEC, photos, tmp_path / "whole", Scripted(0.5, 0.9, 0.8, 0.7, 0.6, 0.5), monkeypatch
    )
    assert (whole.steps, whole.planned, whole.chosen) == (12, 12, 4)
    assert same(whole.lora, found.lora)
    last = run(
        SPEC.model_copy(update={"choose_within": 0}), photos, tmp_path / "last", None, monkeypatch
    )[0]
    assert (last.chosen, last.identity) == (12, None)
    ends = [tmp_path / name / "step-000012" / "lora.safetensors" for name in ("last", "whole")]
    assert same(*ends) and not same(last.lora, whole.lora)


@pytest.mark.usefixtures("quick_looks")
def test_a_run_that_was_killed_between_looks_chooses_as_one_that_was_not(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a checkpoint, between the checkpoint and its look, and after a look that is done again:
    the pictures are the same too."""
    spec = OPEN.model_copy(update={"checkpoint_every": 4})
    values = (0.5, 0.9, 0.8, 0.7)
    unbroken = Scripted(*values)
    whole, told = run(spec, photos, tmp_path / "whole", unbroken, monkeypatch)
    out, seen, scorer = tmp_path / "killed", list[Any](), Scripted(*values)
    monkeypatch.setattr(scoring, "scorer_for", lambda *_: scorer)

    def kill_at(kind: str, step: int) -> None:
        def tell(event: Any) -> None:
            seen.append(event)
            if (event["event"], event.get("step", -1)) == (kind, step):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(photos, spec, out, tell)

    kill_at("checkpoint", 4)  # its look is still to come
    scorer.pictures = scorer.pictures[:2]
    kill_at("scored", 6)  # which the next process does again
    scorer.pictures = scorer.pictures[:3]
    result = train(photos, spec, out, seen.append)
    assert same(result.lora, whole.lora)
    assert (result.chosen, result.steps) == (whole.chosen, whole.steps) == (4, 8)
    assert scorer.pictures == unbroken.pictures
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    kept = [(event["step"], event["value"]) for event in log if event["event"] == "scored"]
    assert kept == [(e["step"], e["value"]) for e in told if e["event"] == "scored"]


def test_steps_that_are_given_are_all_done() -> None:
    spec = TrainSpec(class_name="man", base="nano")
    assert registry.resolve(spec, 8).stop_early
    by_hand = spec.model_copy(update={"steps": 300})
    assert not registry.resolve(by_hand, 8).stop_early
    assert registry.resolve(by_hand.model_copy(update={"stop_early": True}), 8).stop_early
