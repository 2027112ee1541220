"""The documents are held to the code and to results.

`python -m tests.test_docs` rewrites what is made from them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench import tables
from fluxbooth.cli.main import main
from fluxbooth.cli.options import flag_of
from fluxbooth.models import registry
from fluxbooth.specs import ASPECT_RATIOS, GenerateSpec, TrainSpec
from fluxbooth.version import __version__
from tests.support import docs

ROOT = docs.ROOT
LONGEST = 90  # words in a paragraph, a bullet or a cell
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "src/fluxbooth/models/nano/README.md",
    "bench/README.md",
    *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md"))),
]


@pytest.mark.parametrize("page", docs.MADE)
def test_what_is_made_from_elsewhere_is_as_made(page: str) -> None:
    text = (ROOT / page).read_text()
    assert docs.MADE[page](text) == text, "run `python -m tests.test_docs`"


def test_every_made_part_has_its_place() -> None:
    assert all(
        docs.SETTINGS.search((ROOT / page).read_text())
        for page in ("docs/training.md", "docs/generating.md")
    )
    assert docs.PICTURE_OPTIONS.search((ROOT / "docs/options.md").read_text())
    assert docs.VARIABLES.search((ROOT / "docs/operations.md").read_text())


def test_every_result_is_shown_and_says_where_it_was_taken() -> None:
    shown = {
        found[1:]
        for page in tables.pages()
        for found in tables.PLACE.findall((ROOT / page).read_text())
    }
    for path in tables.RESULTS.glob("*.json"):
        for name, table in tables.load(path.stem).items():
            assert {(path.stem, name), (path.stem, "")} & {
                (place[0], place[1]) for place in shown
            }, f"{path.stem}.{name}"
            assert table["machine"].keys() >= {"processor", "commit"} and (
                "row" in table or "rows" in table
            )


def test_a_table_follows_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"processor": "a card", "commit": "unknown"}
    spread = {"least": 1.0, "median": 2.345, "most": 3.0}
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    rows = {
        "machine": machine,
        "by": "make",
        "columns": ["what", "is"],
        "rows": [["a", 1.0], ["b", None]],
    }
    tables.save(
        "one", {"row": {"machine": machine, "row": {"step": {"seconds": spread}}}, "rows": rows}
    )
    end = "<!-- end of measured -->"
    page = (
        f"before\n<!-- measured: one.row -->\nold\n{end}\n<!-- measured: one.rows -->\n{end}\nafter"
    )
    made = tables.made(page)
    assert "| step: seconds | 2.35 (1 to 3) |" in made and "old" not in made
    assert "| a | 1.0 |\n| b |  |\n\nTaken on: processor a card, commit unknown, by `make`." in made
    assert made.startswith("before\n") and made.endswith("\nafter") and tables.made(made) == made


@pytest.mark.parametrize(
    "path", sorted(docs.DECISIONS.glob("[0-9]*.md")), ids=lambda path: path.stem
)
def test_a_decision_has_its_sections(path: Path) -> None:
    title, part, status = docs.decision(path)
    assert title and part and re.fullmatch(r"accepted|superseded by \d{4}", status)
    sections = re.findall(r"^## (.+)\n\n(.+)", path.read_text(), re.M)
    assert [name for name, _ in sections] == docs.SECTIONS


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted(docs.DECISIONS.glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_block_of_a_document_is_long(document: str) -> None:
    longest = max(docs.blocks((ROOT / document).read_text()), key=lambda block: len(block.split()))
    assert len(longest.split()) <= LONGEST, longest


def test_blocks_are_paragraphs_bullets_and_cells() -> None:
    text = "# Title\nOne two\nthree.\n- a b\n  c\n- d\n\n| x y | z |\n|---|---|\n```\ncode\n```\n"
    assert [block.split() for block in docs.blocks(text) if block.strip(" |-\n")] == [
        ["One", "two", "three."],
        ["-", "a", "b", "c"],
        ["-", "d"],
        ["|", "x", "y"],
        ["z", "|"],
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_and_modules_that_documents_name_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    assert [name for name in docs.named_files(text) if not docs.is_ours(name)] == []
    assert [name for name in docs.named_modules(text) if not docs.is_module(name)] == []


def test_a_file_that_has_moved_is_found_out() -> None:
    text = "`training/flow.py`, `flow.py`, `src/fluxbooth/gone.py`, `pretrain/`, `script.py --all`"
    assert [docs.is_ours(name) for name in docs.named_files(text)] == [True, False, False, True]
    text = (
        "fluxbooth.train, `fluxbooth.training.flow`, fluxbooth.training.loop.train, fluxbooth.flow"
    )
    assert [docs.is_module(name) for name in docs.named_modules(text)] == [True, True, True, False]


def test_the_tree_of_the_readme_is_the_tree() -> None:
    (tree,) = re.findall(r"```\n(src/fluxbooth/\n.*?)```", (ROOT / "README.md").read_text(), re.S)
    shown = re.findall(r"[\w.]+(?:\.py|/)", "".join(line[:34] for line in tree.splitlines()[1:]))
    assert [name for name in shown if not (docs.SOURCE / name).exists()] == []
    folders = {path.name for path in docs.SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert folders == {name.rstrip("/") for name in shown if name.endswith("/")}


@pytest.mark.parametrize("document", ["README.md", "docs/training.md", "docs/generating.md"])
def test_the_flags_that_documents_name_exist(document: str) -> None:
    known = {flag_of(n) for spec in (TrainSpec, GenerateSpec) for n in spec.model_fields}
    known |= {
        "--out",
        "--against",
        "--html",
        "--json",
        "--progress",
        "--overwrite",
        "--comfyui",
        "--grid",
        "--config",
        "--help",
        "--version",
        "--to",
    }
    # flags of other programs
    others = r"\.venv/bin/pip.*|(?:accelerate launch|torchrun) .*?-m fluxbooth"
    text = re.sub(others, "", (ROOT / document).read_text())
    named = re.findall(r"(?<![\w-])--[a-z][a-z_-]+", text)  # in a prompt they are as in the API
    assert {name.replace("_", "-") for name in named} <= known


def test_the_readme_names_every_base() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in registry.BASES)


def test_the_defaults_that_are_shown_are_those_of_the_rows() -> None:
    table = (ROOT / "docs/presets.md").read_text().split("## What Fluxbooth takes")[1]
    cells = [re.split(r"\s*\|\s*", line)[1:-1] for line in table.splitlines() if "|" in line]
    shown = {first: rest for first, *rest in cells if len(rest) == 4}
    rows = [registry.BASES[name] for name in ("flux-dev", "flux2-klein", "flux2-klein-9b", "nano")]
    assert [float(rate) for rate in shown["learning rate"]] == [row.learning_rate for row in rows]
    assert shown["pictures a step"] == [str(row.batch_size) for row in rows]
    assert shown["areas"] == [", ".join(map(str, row.resolutions)) for row in rows]
    assert shown["tokens of a caption"] == [str(row.text_length) for row in rows]
    settled = rows[-1].settle_steps or 0
    weights = shown["loss outside the head, of people"]
    assert [float(weight) for weight in weights] == [row.outside_head for row in rows]
    assert shown["it falls to a tenth"][-1] == f"over steps {settled // 2} to {settled}"
    told = TrainSpec.model_fields
    assert set(shown["rank, alpha"]) == {f"{told['rank'].default}, {told['rank'].default}"}
    assert set(shown["noise levels"]) == {told["sigma_law"].default}


def test_the_help_of_every_command_names_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for command, spec in (("train", TrainSpec), ("generate", GenerateSpec)):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = capsys.readouterr().out
        assert all(flag_of(name) in shown for name in spec.model_fields)
        whole = "".join(shown.split())
        assert all(
            f"{{{','.join(words)}}}" in whole or f"({','.join(words)})".replace(" ", "") in whole
            for name in spec.model_fields
            if (words := spec.choices(name))
        )
        assert "%%" not in shown
    assert all(ratio in shown for ratio in ASPECT_RATIOS)


def test_the_readmes_python_runs(tmp_path: Path, photos: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[0]
    assert 'class_name="man"' in code
    # in which libraries warn most
    code = code.replace('class_name="man"', 'class_name="man", steps=2, rank=2, dtype="bfloat16"')
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert (tmp_path / "beach.png").is_file()


def test_the_readmes_client_is_the_documented_one_that_is_run() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
    assert "fluxbooth.Client(" in shown and shown in (ROOT / "docs" / "client.md").read_text()


def test_on_a_package_index_the_readme_has_no_dead_link() -> None:
    hook = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"][
        "hooks"
    ]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text()
    assert re.search(r"\]\((?!https?:)", text)
    for step in hook["substitutions"]:
        text = re.sub(step["pattern"], step["replacement"], text)
    assert not re.search(r"\]\((?!https?:)", text)
    assert (
        "operations settings, keys and backups" in text and "| `flux-dev` | 1024 x 1024 |" in text
    )


def test_the_changelog_has_this_version_and_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (\S+)", text, re.M)
    assert versions[0] == "Unreleased" and __version__ in versions
    assert set(re.findall(r"^### (.+)", text, re.M)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }


def test_the_makefile_has_the_readmes_verbs() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"demo", "test", "slow", "lint", "bench", "clean"} <= verbs
    for document in ("README.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"^make ([a-z]+)", (ROOT / document).read_text(), re.M)) <= verbs


if __name__ == "__main__":
    docs.rewrite()
