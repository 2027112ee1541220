"""The layout is kept: what may be imported where, and the form of the code (import-linter's
contracts in pyproject.toml hold the layers)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

from pretrain.people import HELD_OUT, Person, Shot, is_held_out
from pretrain.renders import Pair, Still, training_row
from tools import layout


@pytest.fixture(scope="module")
def imports() -> layout.Imports:
    return layout.imports(types=False)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not for types alone, either."""
    assert layout.in_circles(layout.imports(types=True)) == set()


def test_modules_in_a_circle_are_found() -> None:
    assert layout.in_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}) == {"b", "c", "d"}


def test_the_top_of_the_package_can_be_looked_over(imports: layout.Imports) -> None:
    assert len(layout.rooms(imports)) <= most("rooms at the top of the package")
    assert len(layout.arrows(imports)) <= most("arrows between them")


def most(what: str) -> int:
    return layout.LIMITS[what][0]


def test_a_function_is_read_on_a_screen() -> None:
    limit = most("lines of the longest function, without its docstring")
    assert [told for told in layout.functions() if told[0] > limit] == []


def test_the_formatter_skips_tables_alone() -> None:
    assert layout.unformatted("a = {\n 1: 2}  # fmt: skip\n") == []
    wrong = "def f():\n    a = {1: 2}  # fmt: skip\nb = f( )  # fmt: skip\n"
    assert layout.unformatted(wrong) == [2, 3]
    found = {path: layout.unformatted(path.read_text()) for path in layout.FILES}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_no_line_is_longer_than_a_screen_is_wide() -> None:
    assert layout.long_lines() == []


def test_a_module_is_called_by_its_name() -> None:
    """Or by its package's name and its own, where that says too little."""
    named = ("lora.file", "lora_file"), ("models.flux1.size", "flux1_size")
    assert all(is_named(*both) for both in named) and not is_named("tunes.tune", "tunes")
    renamed = {
        f"{path.relative_to(layout.SOURCE)}: {node.module}.{name.name} as {name.asname}"
        for path in layout.FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fluxbooth")
        for name in node.names
        if name.asname and not is_named(f"{node.module}.{name.name}", name.asname)
    }
    assert renamed == set()


def is_named(module: str, called: str) -> bool:
    package, name = module.split(".")[-2:]
    return called in (f"{package}_{name}", f"{package.removesuffix('s')}_{name}")


@pytest.mark.parametrize(
    "module",
    [
        "cli.main",
        "specs",
        "prompts.language",
        "photos.inspection",
        "photos.decoder",
        "lora.file",
        "models.registry",
        "base_selection",
        "cli.options",
        "cli.progress",
        "web.http.body",
        "web.app",
        "service.outgoing.webhooks",
    ],
)
def test_what_looks_and_asks_does_not_load_torch(module: str) -> None:
    script = f"import json, sys, fluxbooth.{module}; print(json.dumps('torch' in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) is False


def test_held_out_people_and_clothes_are_never_trained_on() -> None:
    import random

    rng = random.Random(0)
    people = {Person(**row).key for row in HELD_OUT["people"]}
    assert len(people) == 24
    for _ in range(5000):
        match training_row(rng):
            case Still(style, thing):
                assert f"{style} {thing}" not in HELD_OUT["things"]
                portraits = []
            case Pair(left, right):
                portraits = [left, right]
            case row:
                portraits = [row]
        for portrait in portraits:
            assert portrait.person.key not in people
            assert (
                f"{portrait.shot.clothes_colour} {portrait.shot.clothes}" not in HELD_OUT["clothes"]
            )
    held = Person(**HELD_OUT["people"][0])
    assert is_held_out(held, Shot("t-shirt", "red", "sad", "white", "left", 1.0))
