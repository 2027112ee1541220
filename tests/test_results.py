"""What a person at an interpreter or in a notebook sees."""

from __future__ import annotations

import pydoc
from pathlib import Path

import pytest

import fluxbooth
from fluxbooth import GenerateSpec, InputError, TrainResult, TrainSpec


def test_a_result_is_a_table() -> None:
    result = TrainResult(
        Path("run/ohwx.safetensors"),
        4,
        4,
        4,
        None,
        None,
        1.23456,
        0.25,
        0.5,
        3.0,
        700.0,
        "nano",
        "ohwx man",
        [],
    )
    rows = dict(line.split(None, 1) for line in str(result).splitlines())
    assert (
        rows["lora"] == "run/ohwx.safetensors"
        and rows["steps_per_second"] == "1.235"
        and rows["trigger"] == "ohwx man"
    )
    assert result.to_json()["steps_per_second"] == 1.23456


def test_one_text_is_enough() -> None:
    spec = GenerateSpec(base="nano", steps=1, seed=3)
    one = fluxbooth.generate("a man at the beach", spec)
    several = fluxbooth.generate(["a man at the beach"], spec)
    assert [p.text for p in one] == ["a man at the beach"]
    assert one[0].image.tobytes() == several[0].image.tobytes()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"step": 3}, r"^There is no setting 'step' \(did you mean 'steps'\?\)\.$"),
        (
            {"class_name": "man", "frobnicate": 3},
            "There is no setting 'frobnicate': the settings are class_name, base",
        ),
        ({}, "Class name is missing"),
        (
            {"class_name": "man", "dtype": "bf16"},
            r"Dtype 'bf16' will not do \(did you mean 'bfloat16'\?\): use 'auto', 'float32'",
        ),
        ({"class_name": "man", "steps": "many"}, "Steps 'many' will not do"),
    ],
)
def test_a_spec_that_will_not_do_is_an_input_error(values: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        TrainSpec(**values)


@pytest.mark.parametrize("spec", [TrainSpec, GenerateSpec])
def test_help_tells_each_setting(spec: type[TrainSpec] | type[GenerateSpec]) -> None:
    shown = pydoc.plain(pydoc.render_doc(spec)).splitlines()
    for name, field in spec.model_fields.items():
        (line,) = (line for line in shown if line.startswith(f" |      {name} ("))
        assert field.description and field.description in line
        assert all(word in line for word in spec.choices(name))
