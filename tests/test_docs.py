"""The documents are held to the code. `python -m tests.test_docs` rewrites the tables that come from it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from fluxbooth import models
from fluxbooth.cli import main
from fluxbooth.options import flag_of
from fluxbooth.service.settings import Settings
from fluxbooth.specs import ASPECT_RATIOS, GenerateSpec, Spec, TrainSpec

ROOT = Path(__file__).parent.parent
PAGES = {"docs/training.md": TrainSpec, "docs/generating.md": GenerateSpec}
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "src/fluxbooth/models/nano/README.md",
    *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md")),
]


def settings(spec: type[Spec]) -> str:
    rows = []
    for name, field in spec.model_fields.items():
        default = "" if field.is_required() or field.default in (None, ()) else f"`{field.default}`"
        words = ", ".join(f"`{word}`" for word in spec.choices(name))
        rows.append(f"| `{flag_of(name)}` | {default} | {field.description}{': ' + words if words else ''} |")
    return "\n".join(rows) + "\n"


TABLE = re.compile(r"(?<=\| setting \| default \| meaning \|\n\|---\|---\|---\|\n)(?:SETTINGS\n|(?:\|.*\n)+)")


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_is_described_as_it_is(page: str) -> None:
    found = TABLE.search((ROOT / page).read_text())
    assert found
    assert found.group() == settings(PAGES[page])


def server_settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = {"data": "~/.local/share/fluxbooth"}.get(name, field.default)
        default = default.model_dump() if isinstance(default, BaseModel) else default
        text = json.dumps(default) if isinstance(default, (dict, bool)) else default
        rows.append(f"| `FLUXBOOTH_{name.upper()}` | {'' if text is None else f'`{text}`'} | {field.description} |")
    return "\n".join(rows) + "\n"


SERVER_TABLE = re.compile(r"(?<=\| variable \| default \| what it does \|\n\|---\|---\|---\|\n)(?:SETTINGS\n|(?:\|.*\n)+)")


def test_every_setting_of_the_server_is_described_as_it_is() -> None:
    found = SERVER_TABLE.search((ROOT / "docs/operations.md").read_text())
    assert found
    assert found.group() == server_settings()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("document", ["README.md", "docs/training.md", "docs/generating.md"])
def test_the_flags_that_documents_name_exist(document: str) -> None:
    known = {flag_of(n) for spec in (TrainSpec, GenerateSpec) for n in spec.model_fields}
    known |= {"--out", "--json", "--progress", "--overwrite", "--config", "--help", "--version", "--to"}
    others = r"\.venv/bin/pip.*|(?:accelerate launch|torchrun) .*?-m fluxbooth"  # flags of other programs
    text = re.sub(others, "", (ROOT / document).read_text())
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known


def test_the_readme_names_every_base() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in models.BASES)


def test_the_help_of_every_command_names_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for command, spec in (("train", TrainSpec), ("generate", GenerateSpec)):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = capsys.readouterr().out
        assert all(flag_of(name) in shown for name in spec.model_fields)
        whole = "".join(shown.split())
        assert all(f"{{{','.join(words)}}}" in whole for name in spec.model_fields if (words := spec.choices(name)))
        assert "%%" not in shown
    assert all(ratio in shown for ratio in ASPECT_RATIOS)


def test_the_readmes_python_runs(tmp_path: Path, photos: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[0]
    assert 'class_name="man"' in code
    code = code.replace('class_name="man"', 'class_name="man", steps=2, rank=2, dtype="bfloat16"')  # in which libraries warn most
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert (tmp_path / "beach.png").is_file()


def test_the_readmes_client_is_the_documented_one_that_is_run() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    assert "fluxbooth.Client(" in shown and shown in (ROOT / "docs" / "client.md").read_text()


def test_the_makefile_has_the_readmes_verbs() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"demo", "test", "slow", "lint", "bench", "clean"} <= verbs
    for document in ("README.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"^make ([a-z]+)", (ROOT / document).read_text(), re.M)) <= verbs


def _rewrite() -> None:
    for page, spec in PAGES.items():
        path = ROOT / page
        path.write_text(TABLE.sub(settings(spec).replace("\\", r"\\"), path.read_text()))
    path = ROOT / "docs/operations.md"
    path.write_text(SERVER_TABLE.sub(server_settings().replace("\\", r"\\"), path.read_text()))


if __name__ == "__main__":
    _rewrite()
