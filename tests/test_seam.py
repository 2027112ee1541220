"""The seam between the families of models and everything else: a family is asked by its description
or its `Family`, and nothing outside `models/` knows what it is made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxbooth.models.registry import FAMILIES
from tools import layout

PACKAGES = tuple(f"fluxbooth.models.{name}" for name in FAMILIES)
# classes of the libraries' that are one family's, and names of text encoders; what the API calls a
# branch ("flux1") and bases by their names are public words
INTERNAL = re.compile(r"\b(Auto\w*)?(Flux\d?[A-Z]\w+|T5\w*|CLIP\w*|Qwen\d\w*)")
# a library's own words, told from what it warns of; a network of that name that judges pictures
QUOTED = {"library_logging.py", "text_match.py"}


def internals(path: Path) -> Iterator[str]:
    """What a file's code says of a family's inside; comments and documentation are free."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        words: list[str] = []
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{name.name}" for name in node.names]
            words = [module for module in modules if module.startswith(PACKAGES)]
            words += [name.name for name in node.names if INTERNAL.match(name.name)]
        elif isinstance(node, ast.Import):
            words = [name.name for name in node.names if name.name.startswith(PACKAGES)]
        elif isinstance(node, ast.Name) and INTERNAL.match(node.id):
            words = [node.id]
        elif isinstance(node, ast.Attribute) and INTERNAL.match(node.attr):
            words = [node.attr]
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
            and (INTERNAL.search(node.value) or node.value.startswith(PACKAGES))
        ):
            words = [node.value]
        for word in words:
            yield f"{path.name}:{node.lineno}: {word}"


def test_no_file_outside_models_names_a_familys_internals() -> None:
    outside = [
        path
        for path in layout.FILES
        if path.relative_to(layout.SOURCE).parts[0] != "models" and path.name not in QUOTED
    ]
    assert len(outside) > 100
    assert [found for path in outside for found in internals(path)] == []


def test_shared_files_of_models_import_no_family_but_in_the_registry() -> None:
    shared = [
        path
        for path in layout.FILES
        if path.relative_to(layout.SOURCE).parts[0] == "models"
        and len(path.relative_to(layout.SOURCE).parts) == 2
        and path.name != "registry.py"
    ]
    imports = [found for path in shared for found in internals(path) if "fluxbooth.models" in found]
    assert imports == []


@pytest.mark.parametrize(
    "line",
    [
        "from fluxbooth.models.flux1 import size",
        "import fluxbooth.models.flux2.family",
        "from diffusers import FluxPipeline",
        "kind = transformers.T5EncoderModel",
        "name = 'Qwen3ForCausalLM'",
        "load('fluxbooth.models.flux1.family')",
    ],
)
def test_what_names_them_is_found(line: str, tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(f'"""FluxPipeline."""\n{line}  # of T5\n')
    assert len(list(internals(file))) == 1
