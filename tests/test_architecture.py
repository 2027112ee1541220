"""The layout is kept: what may be imported where, and that an algorithm is read in one place."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pretrain.people import HELD_OUT, Person, Shot, is_held_out
from pretrain.renders import Pair, Still, training_row

SOURCE = Path(__file__).parent.parent / "src" / "fluxbooth"


@pytest.mark.parametrize(
    "module",
    [
        "cli",
        "specs",
        "prompts",
        "photocheck",
        "decode",
        "lorafile",
        "models",
        "models.selection",
        "options",
        "display",
        "web.forms",
        "web.app",
        "service.webhooks",
    ],
)  # fmt: skip
def test_what_looks_and_asks_does_not_load_torch(module: str) -> None:
    script = f"import json, sys, fluxbooth.{module}; print(json.dumps('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) is False


def test_the_functions_keep_their_names_after_the_modules_are_imported() -> None:
    script = "import fluxbooth.train, fluxbooth.generate, fluxbooth; print(callable(fluxbooth.train) and callable(fluxbooth.generate))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True"


def source_lines(path: Path) -> int:
    """Lines of a file without its docstrings, so that nobody saves on those."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    return len(path.read_text().splitlines()) - sum((text.end_lineno or 0) - text.lineno + 1 for text in texts)


def test_every_file_is_one_concept() -> None:
    long = {p.name: n for p in SOURCE.rglob("*.py") if (n := source_lines(p)) > 300}
    assert not long


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
            assert f"{portrait.shot.clothes_colour} {portrait.shot.clothes}" not in HELD_OUT["clothes"]
    held = Person(**HELD_OUT["people"][0])
    assert is_held_out(held, Shot("t-shirt", "red", "sad", "white", "left", 1.0))
