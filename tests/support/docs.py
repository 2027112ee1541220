"""Parts of the documents that are made from the code and from other files, and the reading of
documents for tests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel

import fluxbooth
from bench import report, tables
from fluxbooth.cli.options import flag_of
from fluxbooth.prompts.options import OPTIONS, Option
from fluxbooth.service.settings import Settings
from fluxbooth.specs import GenerateSpec, Spec, TrainSpec
from tests.support import architecture

ROOT = Path(__file__).parent.parent.parent
DECISIONS = ROOT / "docs" / "decisions"
SOURCE = ROOT / "src" / "fluxbooth"
ELSEWHERE = {"train_dreambooth_lora_flux.py"}  # files of other projects that documents name
SECTIONS = ["Context", "Decision", "Evidence", "Rejected"]
ADD = """# Decisions

What was decided while building, why, what was measured, and what was rejected: one decision a page.

A new page is named `NNNN-a-few-words.md` with the next free number, has a title, the line
`Part · status` (`accepted`, or `superseded by NNNN`) and the sections Context, Decision, Evidence
and Rejected.
`python -m tests.test_docs` puts it into this list.
"""
SETTINGS = re.compile(r"(?<=\| setting \| default \| meaning \|\n\|---\|---\|---\|\n)(?:\|.*\n)*")
PICTURE_OPTIONS = re.compile(
    r"(?<=\| option \| takes \| what it does \| here \|\n\|---\|---\|---\|---\|\n)(?:\|.*\n)*"
)
VARIABLES = re.compile(
    r"(?<=\| variable \| default \| what it does \|\n\|---\|---\|---\|\n)(?:\|.*\n)*"
)


def settings(spec: type[Spec]) -> str:
    rows = []
    for name, field in spec.model_fields.items():
        if name in OPTIONS:  # which have a page of their own
            continue
        default = "" if field.is_required() or field.default in (None, ()) else f"`{field.default}`"
        words = ", ".join(f"`{word}`" for word in spec.choices(name))
        meaning = f"{field.description}{': ' + words if words else ''}"
        rows.append(f"| `{flag_of(name)}` | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def picture_options() -> str:
    return "".join(
        f"| `{row.name}` | {_taken(row)} | {row.does} | {_standing(row)} |\n"
        for row in OPTIONS.values()
    )


def _taken(row: Option) -> str:
    if row.words:
        return ", ".join(f"`{word}`" for word in row.words)
    limits = "" if row.least is None else f", {row.least:g} to {row.most:g}"
    default = f"; {row.default}" if row.default not in (None, False) else ""
    return row.takes + limits + default


OF_A_PART = {
    "mask": "ignored where the picture stays as it is, without `fill` or `restore_mask`",
    "drawn": "ignored where nothing is drawn",
}


def _standing(row: Option) -> str:
    if row.refused:
        return f"refused: {row.refused}"
    if row.ignored:
        return f"ignored: {row.ignored}"
    needs = [f"needs `{'` and `'.join(row.needs)}`"] if row.needs else []
    beside = [f"ignored without `{'` or `'.join(row.goes_with)}`"] if row.goes_with else []
    if row.of_words:
        beside.append("ignored where the text has no words")
    if row.yields_to:
        beside.append(f"ignored beside `{'` or `'.join(row.yields_to)}`")
    if row.part in OF_A_PART:
        beside.append(OF_A_PART[row.part])
    return "; ".join(["works", *needs, *beside, *(["may have a price"] if row.priced else [])])


def server_settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = {"data": "~/.local/share/fluxbooth"}.get(name, field.default)
        default = default.model_dump() if isinstance(default, BaseModel) else default
        text = json.dumps(default) if isinstance(default, (dict, bool)) else default
        shown = "" if text is None else f"`{text}`"
        rows.append(f"| `FLUXBOOTH_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


def decisions_index() -> str:
    """The list of all decisions, a table for each part in the order of its first page."""
    parts: dict[str, list[str]] = {}
    for path in sorted(DECISIONS.glob("[0-9]*.md")):
        title, part, status = decision(path)
        parts.setdefault(part, []).append(
            f"| {int(path.name[:4])} | [{title}]({path.name}) | {status} |"
        )
    listed = [
        f"\n## {part}\n\n| | decision | status |\n|---|---|---|\n" + "\n".join(rows) + "\n"
        for part, rows in parts.items()
    ]
    return ADD + "".join(listed)


def decision(path: Path) -> tuple[str, str, str]:
    """Title, part and status of a decision's page."""
    title, _, standing, *_ = path.read_text().splitlines()
    part, _, status = standing.partition(" · ")
    return title.removeprefix("# "), part, status


def _table(pattern: re.Pattern[str], rows: Callable[[], str]) -> Callable[[str], str]:
    return lambda text: pattern.sub(lambda _: rows(), text)


def _both(first: Callable[[str], str], second: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: second(first(text))


# how each page with a part that is made from elsewhere is made anew, from its text; measured tables
# may be on any of them
PARTS: dict[str, Callable[[str], str]] = {
    "docs/training.md": _table(SETTINGS, lambda: settings(TrainSpec)),
    "docs/generating.md": _table(SETTINGS, lambda: settings(GenerateSpec)),
    "docs/options.md": _table(PICTURE_OPTIONS, picture_options),
    "docs/operations.md": _table(VARIABLES, server_settings),
    "docs/decisions/README.md": lambda text: decisions_index(),
    "docs/architecture.svg": lambda text: architecture.svg(),
    "docs/benchmarks.svg": lambda text: report.plot(tables.load("benchmarks")),
}
MADE: dict[str, Callable[[str], str]] = {
    page: _both(PARTS[page], tables.made) if page in PARTS else tables.made
    for page in dict.fromkeys([*PARTS, *tables.pages()])
}


def rewrite() -> None:
    """Writes every part of the documents that is made from elsewhere."""
    for page, made in MADE.items():
        path = ROOT / page
        path.write_text(made(path.read_text() if path.exists() else ""))


def named_files(text: str) -> list[str]:
    """Python files and folders between backticks, but for those of other projects."""
    names = re.findall(r"`([\w./-]+(?:\.py|/))`", text)
    return [name for name in names if not name.startswith((".", "/")) and name not in ELSEWHERE]


def is_ours(name: str) -> bool:
    """Whether a file or folder lies in the repository or, named from there, in the package."""
    return (ROOT / name).exists() or (SOURCE / name).exists()


def named_modules(text: str) -> list[str]:
    return re.findall(r"(?<![\w./@-])fluxbooth(?:\.[A-Za-z_]\w*)+(?!\.?\w|/)", text)


def is_module(name: str) -> bool:
    """Whether a dotted name is a module of ours, or may be something in one."""
    path = SOURCE.parent.joinpath(*name.split("."))
    here = [path.with_suffix(".py"), path, path.parent.with_suffix(".py")]
    return (
        any(place.exists() for place in here)
        or name.removeprefix("fluxbooth.") in fluxbooth.__all__
    )


def blocks(text: str) -> Iterator[str]:
    """Paragraphs, bullets and cells of tables of a document, without code and headings."""
    text = re.sub(r"^```.*?^```$|^#[^\n]*$", "", text, flags=re.M | re.S)
    for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)|\n(?=\|)|(?<=\|)\n", text):
        yield from part.split(" | ") if part.startswith("|") else [part]
