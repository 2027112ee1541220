"""What a training keeps of its way: chosen, handed out, counted, gone on from, and deleted with
the tune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluxbooth.service.accounts import quotas
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import MoreForm
from fluxbooth.service.db.checkpoint_tables import Checkpoint
from fluxbooth.service.db.tables import Tune
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.tunes import checkpoints, train_more, tunes
from tests.support.installation import Installation


@pytest.fixture
def owner(installation: Installation) -> int:
    return installation.account()


def trained_with_stages(installation: Installation, owner: int) -> int:
    """A tune with samples at 0, 10 and 30, and checkpoints at 10 and 30, its end."""
    tune = installation.tune(owner, "staged")
    request = installation.results.begin_training(tune)
    assert request is not None
    for step in (0, 10, 30):
        installation.sampled(tune, step, 0)
    stages = Path(request["out"]) / "stages"
    stages.mkdir(parents=True)
    for step in (10, 30):
        (stages / f"step-{step:06d}.safetensors").write_bytes(b"w" * step)
    result = installation.made(request, "lora.safetensors")
    scores = {"0": [0.25], "10": [0.5], "30": [1.0]}
    installation.results.publish_tune(
        tune, {**result, "likeness": {"photos": 0.9, "samples": scores}}
    )
    installation.results.tidy(Tune, tune)
    return tune


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, (0.15, True)),
        ({"steps": 80}, (0.15, False)),
        ({"steps": 80, "choose_within": 0.05, "stop_early": True}, (0.05, True)),
        ({"choose_within": 0, "stop_early": False}, (0, False)),
    ],
)
def test_how_the_best_is_chosen_is_asked_for(
    installation: Installation, owner: int, asked: dict[str, Any], kept: tuple[float, bool]
) -> None:
    tune = installation.row(Tune, installation.tune(owner, "asked", branch="flux1", **asked))
    assert (tune.spec["choose_within"], tune.spec["stop_early"]) == kept


def rows(installation: Installation, tune: int) -> list[Checkpoint]:
    with installation.results.db.read() as session:
        return list(checkpoints.of(session, session.get_one(Tune, tune)))


def test_checkpoints_are_kept_and_one_is_chosen(installation: Installation, owner: int) -> None:
    tune = trained_with_stages(installation, owner)
    found = rows(installation, tune)
    assert [(row.step, row.likeness, row.lora is None, row.bytes) for row in found] == [
        (0, 0.25, True, 0),
        (10, 0.5, False, 10),
        (30, 1.0, False, 0),
    ]
    assert installation.row(Tune, tune).lora == found[2].lora
    installation.write(
        owner, lambda session, account: checkpoints.promote(session, account, tune, 10)
    )
    assert installation.row(Tune, tune).lora == found[1].lora
    drawing = installation.prompt(owner, tune, "sks man at the beach, smiling")
    request = installation.results.begin_drawing(drawing)
    assert request and request["spec"]["loras"] == [
        f"{installation.results.store.path(found[1].lora or '')}:1.0"
    ]
    with pytest.raises(ServiceError, match="Step 0 has no LoRA"):
        installation.write(
            owner, lambda session, account: checkpoints.promote(session, account, tune, 0)
        )
    for who, step in ((owner, 11), (installation.account(), 10)):
        with pytest.raises(NotFound):
            installation.write(
                who,
                lambda session, account, step=step: checkpoints.promote(
                    session, account, tune, step
                ),
            )


def test_the_best_is_the_tune_s_and_its_report_is_for_its_owner(
    installation: Installation, owner: int
) -> None:
    tune = installation.tune(owner, "chosen")
    request = installation.results.begin_training(tune)
    assert request is not None
    for step, value in ((10, 0.5), (20, 0.9), (10, 0.8), (20, 0.9)):  # a kill, and both again
        installation.results.scored(
            tune,
            {"event": "scored", "step": step, "identity": value, "prompt": None, "variety": 1.0,
             "value": value, "best": step, "pictures": [], "seconds": 1.0},
        )  # fmt: skip
    progress = installation.row(Tune, tune).progress
    assert [(look["step"], look["value"]) for look in progress["looks"]] == [(10, 0.8), (20, 0.9)]
    stages = Path(request["out"]) / "stages"
    stages.mkdir(parents=True)
    for step in (10, 20, 30):
        (stages / f"step-{step:06d}.safetensors").write_bytes(b"w" * step)
    (Path(request["out"]) / "report.html").write_text("<h1>how it went</h1>")
    result = installation.made(request, "lora.safetensors") | {"chosen": 20}
    installation.results.publish_tune(tune, result)
    installation.results.tidy(Tune, tune)
    found = rows(installation, tune)
    assert [(row.step, row.bytes) for row in found] == [(10, 10), (20, 0), (30, 30)]
    assert installation.row(Tune, tune).lora == found[1].lora
    assert installation.row(Tune, tune).progress["best"] == 20
    key = installation.write(
        owner, lambda session, account: checkpoints.report(session, account, tune)
    )
    assert installation.results.store.path(key).read_text() == "<h1>how it went</h1>"
    for who, number in ((installation.account(), tune), (owner, installation.tune(owner, "none"))):
        with pytest.raises(NotFound):
            installation.write(
                who,
                lambda session, account, number=number: checkpoints.report(
                    session, account, number
                ),
            )


def test_checkpoints_count_and_go_with_their_tune(installation: Installation, owner: int) -> None:
    tune = trained_with_stages(installation, owner)
    store = installation.results.store
    with installation.results.db.read() as session:
        counted = quotas.stored(session, owner)
    assert counted == sum(
        path.stat().st_size
        for path in store.path(installation.row(Tune, tune).folder).rglob("*")
        if path.is_file()
    )
    keys = installation.write(
        owner,
        lambda session, account: tunes.delete(
            session, installation.results.jobs, account, tune, with_prompts=False
        ),
    )
    for key in keys:
        store.remove(key)
    assert installation.files(f"tunes/{tune}") == []
    with installation.results.db.read() as session:
        assert quotas.stored(session, owner) == 0


def test_a_sample_that_is_drawn_twice_is_one(installation: Installation, owner: int) -> None:
    tune = installation.tune(owner, "killed")
    installation.results.begin_training(tune)
    for _ in range(2):
        installation.sampled(tune, 10, 1)
    assert [len(row.samples) for row in rows(installation, tune)] == [1]
    assert installation.row(Tune, tune).progress["samples"] == 1


def test_training_goes_on_from_a_tune_that_may_be_deleted_meanwhile(
    installation: Installation, owner: int
) -> None:
    old, results = installation.tune(owner, "old", steps=20), installation.results

    def more(steps: int | None = None) -> int:
        form = MoreForm.read({"steps": steps})
        return installation.write(
            owner,
            lambda session, account: (
                train_more.more(Context.of(results, session, account), old, form).id
            ),
        )

    with pytest.raises(ServiceError, match="is not trained"):
        more()
    installation.trained(old)
    new = more(10)
    for key in installation.write(
        owner,
        lambda session, account: tunes.delete(
            session, results.jobs, account, old, with_prompts=False
        ),
    ):
        results.store.remove(key)
    row, request = installation.row(Tune, new), results.begin_training(new)
    assert request and request["spec"]["steps"] == 10 and (row.continues, row.title) == (old, "old")
    assert Path(request["spec"]["continue_from"]).read_bytes() == b"weights"
    assert [Path(path).is_file() for path in request["photos"]] == [True]
    results.publish_tune(new, installation.made(request, "lora.safetensors"))
    results.tidy(Tune, new)
    assert installation.files(f"tunes/{new}") == ["000.png", "lora.safetensors"]
