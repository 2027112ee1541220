"""The layout is kept: what may be imported where, and the form of the code (import-linter's
contracts in pyproject.toml hold the layers)."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from pretrain.people import HELD_OUT, Person, Shot, is_held_out
from pretrain.renders import Pair, Still, training_row

SOURCE = Path(__file__).parent.parent / "src" / "fluxbooth"
FILES = sorted(SOURCE.rglob("*.py"))
TABLES = ast.Dict | ast.Tuple | ast.List | ast.Set
MOST_ROOMS, MOST_ARROWS = 30, 150  # at the top of the package; 56 and 236 before it had folders
WIDTH = 100


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What each module imports of the package, at its top and in functions; not for types alone."""
    graph = grimp.build_graph("fluxbooth", exclude_type_checking_imports=True, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_no_modules_import_each_other_in_a_circle(imports: dict[str, set[str]]) -> None:
    graphlib.TopologicalSorter(imports).prepare()  # a CycleError names the modules


def test_the_top_of_the_package_can_be_looked_over(imports: dict[str, set[str]]) -> None:
    def room(module: str) -> str:
        return module.split(".")[1]

    inside = {module: found for module, found in imports.items() if module != "fluxbooth"}
    arrows = {
        (room(module), room(other))
        for module, found in inside.items()
        for other in found - {"fluxbooth"}
        if room(module) != room(other)
    }
    assert len({room(module) for module in inside}) <= MOST_ROOMS
    assert len(arrows) <= MOST_ARROWS


def unformatted(source: str) -> list[int]:
    """Lines that keep the formatter off something other than a table at the top of a module."""
    tables = {
        node.end_lineno
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, TABLES)
    }
    lines = enumerate(source.splitlines(), 1)
    return [
        number
        for number, line in lines
        if ("# fmt: skip" in line and number not in tables) or "# fmt: off" in line
    ]


def test_the_formatter_skips_tables_alone() -> None:
    assert unformatted("a = {\n 1: 2}  # fmt: skip\n") == []
    assert unformatted("def f():\n    a = {1: 2}  # fmt: skip\nb = f( )  # fmt: skip\n") == [2, 3]
    found = {str(path.relative_to(SOURCE)): unformatted(path.read_text()) for path in FILES}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_line_is_longer_than_a_screen_is_wide() -> None:
    """As the formatter leaves strings and comments as long as they are."""
    long = [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > WIDTH
    ]
    assert long == []


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
