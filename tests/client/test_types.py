"""The client's readings of servers that are not ours: other shapes of errors, fewer fields,
other dates."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from fluxbooth.client.types import ApiError, Prompt, Tune, bracketed, refused


@pytest.mark.parametrize(
    ("body", "sentence", "fields"),
    [
        (
            {"cfg_scale": ["must be less than 5"]},
            "cfg_scale must be less than 5.",
            {"cfg_scale": ["must be less than 5"]},
        ),
        ({"error": "No funds", "base": ["No funds"]}, "No funds.", {}),
        ({"message": "Try later."}, "Try later.", {}),
        ({"base": ["one", "two"]}, "one, two.", {}),
        ({"errors": ["bad"]}, "bad.", {}),
        (None, "http://x/y answered with status 422.", {}),
        (["a"], "http://x/y answered with status 422.", {}),
    ],
)
def test_every_known_shape_of_an_error_becomes_one_sentence(
    body: object, sentence: str, fields: dict[str, list[str]]
) -> None:
    error = refused(422, body, "http://x/y")
    assert (str(error), error.status, error.fields) == (sentence, 422, fields)


def test_a_tune_of_another_server_needs_only_the_contracts_fields() -> None:
    tune = Tune.read(
        {
            "id": 7,
            "title": "a",
            "name": "man",
            "trained_at": "2026-01-02T03:04:05.678Z",
            "surprise": 1,
        }
    )
    assert tune.trained_at == datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.UTC)
    assert tune.finished and tune.state == "done" and tune.token is None and tune.prompts == ()
    assert tune.raw["surprise"] == 1


def test_states_follow_from_times_and_errors() -> None:
    queued = {"id": 1, "text": "a", "trained_at": None, "images": []}
    assert Prompt.read(queued).state == "queued"
    assert Prompt.read({**queued, "started_training_at": "2026-01-02T03:04:05Z"}).state == "running"
    failed = Prompt.read({**queued, "trained_at": "2026-01-02T03:04:05Z", "user_error": "too dark"})
    assert (failed.state, failed.user_error) == ("failed", "too dark")


@pytest.mark.parametrize("answer", [[], {}, "page", {"id": "7"}, {"id": 7}])
def test_what_is_no_tune_is_refused(answer: object) -> None:
    with pytest.raises(ApiError, match="no tune"):
        Tune.read(answer)


def test_a_text_gets_the_tag_and_the_trigger_words_once() -> None:
    tune = Tune.read({"id": 7, "title": "a", "name": "man", "token": "ohwx", "trained_at": None})
    assert tune.mention("at sea") == "<lora:7:1.0> ohwx man at sea"
    assert tune.mention("photo of OHWX  man at sea") == "<lora:7:1.0> photo of OHWX  man at sea"
    assert tune.mention("<lora:7:0.8> ohwx man") == "<lora:7:0.8> ohwx man"
    face = dataclasses.replace(tune, model_type="faceid", token=None)
    assert face.mention("the man at sea") == "<faceid:7:1.0> the man at sea"
    assert face.mention("<faceid:7:1> the man") == "<faceid:7:1> the man"


def test_nested_values_become_bracket_names_that_the_server_reads_back() -> None:
    from fluxbooth.web.http.bracket_names import nest

    tune = {
        "title": "Ann",
        "face_crop": True,
        "steps": 30,
        "seed": None,
        "ids": [1, 2],
        "prompts_attributes": [{"text": "a"}, {"text": "b"}],
    }
    pairs = [
        (k, one)
        for k, v in bracketed("tune", tune).items()
        for one in (v if isinstance(v, list) else [v])
    ]
    read = {
        "title": "Ann",
        "face_crop": "true",
        "steps": "30",
        "ids": ["1", "2"],
        "prompts_attributes": [{"text": "a"}, {"text": "b"}],
    }
    assert nest(pairs) == {"tune": read}
