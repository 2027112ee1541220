"""How long a drawing takes with the steps that follow it: by the last of its kind here, else by
what was measured."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import tables
from fluxbooth.service import drawing_work
from fluxbooth.service.contract.public_bases import FLUX_DEV
from fluxbooth.service.db.tables import Prompt, Tune, now
from fluxbooth.service.jobs.queue import DEVICE, PICTURES
from tests.support.in_process_server import InProcessServer, in_process_server

KEPT = {"base": "nano", "num_images": 1, "steps": 28, "input_image": True, "denoising_strength": 0}


@pytest.fixture
def house(blank: Path, tmp_path: Path) -> Iterator[InProcessServer]:
    with in_process_server(blank, tmp_path / "data") as opened:
        yield opened


def drawn(house: InProcessServer, seconds: float, **fields: Any) -> None:
    number = house.prompt(1, FLUX_DEV, "a man at sea", **fields)
    house.drawn(number)
    with house.db.write() as session:
        row = session.get_one(Prompt, number)
        assert row.trained_at
        row.started_training_at = row.trained_at - datetime.timedelta(seconds=seconds)


def estimate(house: InProcessServer, **asked: Any) -> dict[str, Any]:
    words = {name: str(value) for name, value in asked.items()}
    return house.http.get("/estimates/prompt", params=words).raise_for_status().json()


def test_each_kind_is_timed_by_the_last_of_its_own(house: InProcessServer) -> None:
    assert not estimate(house)["measured"]
    drawn(house, 40, super_resolution=True)
    drawn(house, 10)
    assert estimate(house)["seconds"] == pytest.approx(10)
    assert estimate(house, num_images=2)["seconds"] == pytest.approx(20)
    larger = estimate(house, super_resolution=True)
    assert larger["measured"] and larger["seconds"] == pytest.approx(40)
    # of no kind that was done here: by the last, and by what is done more
    assert estimate(house, face_correct=True)["seconds"] > 10


def test_a_picture_waits_where_every_device_trains_on_another_base(
    blank: Path, tmp_path: Path
) -> None:
    with in_process_server(blank, tmp_path / "data", devices="0,1") as house:
        same, other = (house.tune(1, base, branch="flux1") for base in ("same", "other"))

        def begins(tune: int, base: str, seconds: int) -> None:
            house.results.training_begun(tune)
            with house.db.write() as session:
                row = session.get_one(Tune, tune)
                row.base, row.eta = base, now() + datetime.timedelta(seconds=seconds)

        begins(other, "flux-krea", 600)
        assert estimate(house)["waits_seconds"] == 0  # a device is free
        begins(same, "flux-schnell", 300)
        assert estimate(house)["waits_seconds"] == pytest.approx(300, abs=5)
        begins(same, "nano", 300)
        assert estimate(house)["waits_seconds"] == 0  # that training stands aside


def test_what_cannot_be_drawn_beside_a_training_is_a_job_of_its_own(house: InProcessServer) -> None:
    """Asked for twice, after a kill, it is one job; with its prompt it goes."""
    number = house.prompt(1, FLUX_DEV, "a man at sea")
    request = house.results.begin_drawing(number)
    assert request is not None and not request["alone"]
    assert house.row(Prompt, number).started_training_at is None
    for _ in range(2):
        house.results.draw_alone(number, "because")
    request = house.results.begin_drawing(number)
    assert request is not None and request["alone"]
    (job,) = house.results.jobs.client.list_workflows(workflow_ids=[f"prompt-{number}-alone"])
    assert (job.queue_name, job.name) == (DEVICE, "draw")
    (first,) = house.results.jobs.client.list_workflows(workflow_ids=[f"prompt-{number}"])
    assert first.queue_name == PICTURES
    house.results.drawing_begun(number)
    assert house.row(Prompt, number).started_training_at


@pytest.mark.parametrize(
    "asked",
    [
        {"super_resolution": True, "inpaint_faces": True},
        {"face_correct": True},
        {"tiled_upscale": True, "upscale_factor": 4},
        {"outpaint": "center", "outpaint_width": 256},
        {"multi": True},
        {"remove_background": True},
        {"color_grading": "Ektar", "film_grain": True},
    ],
)
def test_what_follows_takes_longer(house: InProcessServer, asked: dict[str, Any]) -> None:
    assert estimate(house, **asked)["seconds"] > estimate(house)["seconds"]


def test_of_a_picture_that_is_kept_its_own_size_counts() -> None:
    for option in ({"super_resolution": True}, {"remove_background": True}, {"film_grain": True}):
        small, large = (drawing_work.work(KEPT | option, side**2) for side in (512, 1024))
        assert 0 < small == pytest.approx(large / 4)
    assert drawing_work.kind(KEPT | {"film_grain": True}) != drawing_work.kind({"film_grain": True})


def test_what_does_not_draw_takes_as_long_beside_a_larger_base() -> None:
    larger = KEPT | {"super_resolution": True}
    assert drawing_work.work(larger | {"base": "flux-dev"}, 128**2) < 0.01 * drawing_work.work(
        larger, 128**2
    )


def test_the_shares_are_those_that_were_measured() -> None:
    found = tables.load("seconds")["steps"]["row"]["in drawings"]
    held = {
        "enlarged": drawing_work.ENLARGED,
        "drawn anew in tiles": drawing_work.TILED,
        "drawn on": drawing_work.CONTINUED,
        "heads found": drawing_work.HEADS_FOUND,
        "background removed": drawing_work.CUT_OUT,
        "graded": drawing_work.GRADED,
        "grained": drawing_work.GRAINED,
    }
    assert held == {name: pytest.approx(found[name], rel=0.1) for name in held}


def test_what_is_looked_at_takes_its_time() -> None:
    plain = {"base": "flux2-klein", "num_images": 1, "steps": 4}
    looking = {"references": ["a", "b", "c", "d"]}
    alone, edited, four = (
        drawing_work.work(plain | more) for more in ({}, {"input_image": True}, looking)
    )
    assert 2 < edited / alone < 2.5 and 6 < four / alone < 9
    started = plain | {"input_image": True, "denoising_strength": 0.5}
    assert drawing_work.work(started) == pytest.approx(alone / 2)
    kinds = [drawing_work.kind(one) for one in (plain, plain | {"input_image": True}, started)]
    assert kinds[0] != kinds[1] != kinds[2]
