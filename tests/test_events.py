"""Every event that a training and a drawing tell is one of `events.py`, with exactly its keys."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from fluxbooth import events, generate, train
from fluxbooth.events import (
    DeviceEvent,
    DrawingEvent,
    Event,
    JsonEvent,
    LoggedEvent,
    PictureFile,
    TrainingEvent,
)
from fluxbooth.generation.picture import Picture
from fluxbooth.memory.estimate import Choice
from fluxbooth.models.family import Family
from fluxbooth.specs import GenerateSpec
from tests.conftest import QUICK


def types_of(union: Any) -> dict[str, Any]:
    """The types of a union by the `event` that names them."""
    found: dict[str, Any] = {}
    for member in get_args(union):
        kind = get_origin(member) or member
        named = get_type_hints(kind, localns={"Picture": Picture})["event"]
        assert get_origin(named) is Literal
        found[get_args(named)[0]] = kind
    return found


def check(told: Sequence[Any], union: Any) -> set[str]:
    """Holds each event to its type; the kinds that were told."""
    types = types_of(union)
    for event in told:
        kind = types[event["event"]]
        assert kind.__required_keys__ <= event.keys(), event
        assert event.keys() <= kind.__required_keys__ | kind.__optional_keys__, event
    return {event["event"] for event in told}


def test_every_union_names_each_event_once() -> None:
    for union in (Event, TrainingEvent, DrawingEvent, JsonEvent, DeviceEvent, LoggedEvent):
        assert len(types_of(union)) == len(get_args(union))


def test_a_plan_tells_every_choice() -> None:
    told = events.Plan.__required_keys__ - {"event", "why"}
    assert told == {field.name for field in dataclasses.fields(Choice)}


@pytest.mark.usefixtures("quick_looks")
def test_what_a_training_tells_and_logs(tmp_path: Path, photos: Path) -> None:
    (photos / "photo-01.txt").write_text("a man without his trigger")  # worth a warning
    told: list[TrainingEvent] = []
    spec = QUICK.model_copy(
        update={"steps": 4, "checkpoint_every": 2, "stages": 2, "sample_prompts": ("a man",)}
    )
    train(photos, spec, tmp_path / "run", told.append)
    assert check(told, TrainingEvent) == types_of(TrainingEvent).keys()
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert check(logged, LoggedEvent) == types_of(LoggedEvent).keys() - {"warning"}


def test_what_a_drawing_tells_in_memory_and_as_json(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxbooth.generation.generate.of_one_colour", lambda image: True)
    told: list[DrawingEvent] = []
    spec = GenerateSpec(base="nano", steps=1, seed=1)
    generate("a man at the beach", spec, told.append)
    # no step of it takes long
    assert check(told, DrawingEvent) == types_of(DrawingEvent).keys() - {"enhancing"}

    def written(pictures: list[Picture]) -> list[PictureFile]:
        return [
            {"path": "a", "seed": p.seed, "width": p.width, "height": p.height, "text": p.text}
            for p in pictures
        ]

    lines = [json.loads(json.dumps(events.to_json(event, written))) for event in told]
    check(lines, JsonEvent)
    assert [len(line["pictures"]) for line in lines if line["event"] == "picture"] == [1]
    assert [one["code"] for line in lines if line["event"] == "advice" for one in line["advice"]]
