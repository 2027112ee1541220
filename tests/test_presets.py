"""A preset is added in one place, and is then known everywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fluxbooth
from fluxbooth.specs import PRESET_NAMES

SOURCE = Path(fluxbooth.__file__).parent
# in a process of its own: forms, prices and pages are made of the list when they are imported
ADDED = """

import importlib
from pathlib import Path
import fluxbooth.specs as specs
from fluxbooth.specs import training

text = Path(training.__file__).read_text(encoding="utf-8")
row = '    "flux-lora-landscape": Preset(9, 1.5, "Landscape", "For hills."),'
place = "PRESETS: dict[str | None, Preset] = {"
assert text.count(place) == 1
exec(compile(text.replace(place, place + chr(10) + row), training.__file__, "exec"), vars(training))
importlib.reload(specs)

from fluxbooth.models import registry
from fluxbooth.service.billing import prices
from fluxbooth.service.contract.forms import PackForm, TuneForm
from fluxbooth.web.pages import training_ways

name = "flux-lora-landscape"
spec = specs.TrainSpec(class_name="man", base="nano", preset=name)
assert specs.steps_for(spec, 100) == 900 and registry.resolve(spec, 100).steps == 900
assert TuneForm.read({"title": "a", "name": "man", "preset": name}).preset == name
assert PackForm.read({"title": "a", "preset": name}).preset == name
listed = prices.Prices.model_validate({"step": {name: 2}})
assert prices.training_cost(listed, spec, 100) == 1800
(way,) = (way for way in training_ways.MORE if way.name == name)
assert way.title == "Landscape" and way.help == "9 steps for each photo. For hills."
"""


def test_a_preset_that_is_added_is_known_to_flags_forms_prices_and_pages() -> None:
    done = subprocess.run([sys.executable, "-c", ADDED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_no_other_file_lists_them() -> None:
    naming = {
        path.relative_to(SOURCE).as_posix(): named
        for path in SOURCE.rglob("*")
        if path.suffix in (".py", ".toml", ".html", ".js")
        and (named := [name for name in PRESET_NAMES if name in path.read_text(encoding="utf-8")])
    }
    assert naming.pop("specs/training.py") == list(PRESET_NAMES)
    # one that is chosen for a purpose is no list
    assert all(len(named) == 1 for named in naming.values()), naming
