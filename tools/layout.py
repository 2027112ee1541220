"""Figures of the layout: how much there is to look over, and how tangled it is.

    python -m tools.layout            # prints them
    python -m tools.layout --record   # and keeps them for docs/architecture.md

A room is a folder or module at the top of the package. An arrow goes from one room to another that
it imports, at the top of a module or in a function. A climb is a place in the code that hands the
photos of a training to another room, from which it comes back: whoever follows the photos leaves a
room there and climbs back into it.
"""

from __future__ import annotations

import ast
import datetime
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import grimp
import numpy as np

from bench import tables
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.photos.inspection import Photo
from fluxbooth.specs import TrainSpec
from fluxbooth.training.loop import train
from tests.support import docs

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "fluxbooth"
FILES = sorted(SOURCE.rglob("*.py"))
MIGRATIONS = SOURCE / "service" / "db" / "migrations"  # written once, in the order of the columns
TABLES = ast.Dict | ast.Tuple | ast.List | ast.Set
WIDTH = 100
Imports = dict[str, set[str]]
# what may be, and what was before the package had folders; None: nobody counted
LIMITS: dict[str, tuple[int, int | None]] = {
    "rooms at the top of the package": (30, 56),
    "arrows between them": (150, 236),
    "modules in import circles, those for types alone included": (0, 19),
    "climbs of the photos of a training": (4, 8),
    "lines of the longest function, without its docstring": (50, None),
    "words of the longest paragraph, bullet or cell of the documents": (90, 308),
    "lines over 100 columns in src": (0, None),
    "places where the formatter is kept off, but for tables": (0, 110),
}


def imports(*, types: bool) -> Imports:
    """What each module imports of the package, at its top and in functions; for `types` alone,
    too, if wanted."""
    graph = grimp.build_graph("fluxbooth", exclude_type_checking_imports=not types, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def room(module: str) -> str:
    return module.split(".")[1]


def rooms(found: Imports) -> set[str]:
    return {room(module) for module in found if module != "fluxbooth"}


def arrows(found: Imports) -> set[tuple[str, str]]:
    return {
        (room(module), room(other))
        for module, others in found.items()
        if module != "fluxbooth"
        for other in others - {"fluxbooth"}
        if room(module) != room(other)
    }


def in_circles(found: Imports) -> set[str]:
    """The modules that import themselves by way of others."""

    def reached(module: str) -> set[str]:
        seen, left = set[str](), list(found[module])
        while left:
            if (other := left.pop()) not in seen:
                seen.add(other)
                left.extend(found.get(other, ()))
        return seen

    return {module for module in found if module in reached(module)}


def climbs(folder: Path) -> set[str]:
    """Places, as FILE:LINE, that hand the photos of a training to another room; one step of nano is
    trained in the folder for it."""
    photos = folder / "photos"
    photos.mkdir()
    for path in sorted(PHOTOS.glob("*.png"))[:2]:
        shutil.copy(path, photos)
    found, pixels = set[str](), list[np.ndarray]()

    def is_photo(value: Any) -> bool:
        if isinstance(value, Photo):
            pixels.append(value.pixels)
            return True
        if isinstance(value, (str, Path)):
            return str(value).startswith(str(photos))
        if isinstance(value, np.ndarray):
            return any(value is known for known in pixels)
        return isinstance(value, (list, tuple)) and any(map(is_photo, value))

    def look(frame: FrameType, event: str, _: Any) -> None:
        caller = frame.f_back
        if event != "call" or caller is None or not (of := _room_of(frame)):
            return
        by = _room_of(caller)
        if by and by != of and any(map(is_photo, frame.f_locals.values())):
            path = Path(caller.f_code.co_filename).relative_to(SOURCE)
            found.add(f"{path}:{caller.f_lineno}")

    spec = TrainSpec(class_name="man", base="nano", steps=1, rank=1, batch_size=1)
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        train(photos, spec, folder / "run")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def _room_of(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(SOURCE):
        return None
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def functions() -> Iterator[tuple[int, str]]:
    """Each function's lines without its docstring, and where it is."""
    for path in FILES:
        if MIGRATIONS in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                said = ast.get_docstring(node) is not None
                docstring = (first.end_lineno or 0) - first.lineno + 1 if said else 0
                lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
                yield lines, f"{path.relative_to(SOURCE)}: {node.name}"


def long_lines() -> list[str]:
    """The formatter leaves strings and comments as long as they are."""
    return [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > WIDTH
    ]


def unformatted(source: str) -> list[int]:
    """Lines that keep the formatter off something other than a table at the top of a module."""
    tables = {
        node.end_lineno
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, TABLES)
    }
    return [
        number
        for number, line in enumerate(source.splitlines(), 1)
        if ("# fmt: skip" in line and number not in tables) or "# fmt: off" in line
    ]


def longest_block(documents: Iterable[Path]) -> int:
    return max(len(block.split()) for path in documents for block in docs.blocks(path.read_text()))


def measure() -> dict[str, int]:
    """Each figure of LIMITS."""
    found = imports(types=False)
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    with tempfile.TemporaryDirectory() as folder:
        climbed = climbs(Path(folder))
    figures = (
        len(rooms(found)),
        len(arrows(found)),
        len(in_circles(imports(types=True))),
        len(climbed),
        max(functions())[0],
        longest_block(documents),
        len(long_lines()),
        sum(len(unformatted(path.read_text())) for path in FILES),
    )
    return dict(zip(LIMITS, figures, strict=True))


def record(figures: dict[str, int]) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    rows = [
        [name, str(figure), str(LIMITS[name][0]), str(LIMITS[name][1] or "")]
        for name, figure in figures.items()
    ]
    table = {
        "machine": {
            "date": datetime.date.today().isoformat(),
            "commit": commit,
            "processor": "any",
        },
        "by": "python -m tools.layout --record",
        "columns": ["what", "now", "at most", "before there were folders"],
        "rows": rows,
    }
    tables.save("layout", {"figures": table})


def main(arguments: list[str], show: Callable[[str], None] = print) -> int:
    figures = measure()
    for name, figure in figures.items():
        show(f"{figure:5}  of at most {LIMITS[name][0]:3}  {name}")
    if arguments == ["--record"]:
        record(figures)
    return int(any(figure > LIMITS[name][0] for name, figure in figures.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
