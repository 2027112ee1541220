"""The wheel alone, with the packages that it asks for and none of the extras: as `pip install
fluxbooth` leaves it, without a network."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fluxbooth.evaluation.demo import PHOTOS

ROOT = Path(__file__).parent.parent
SERVED = ("serve", "key", "account", "credit", "callbacks", "backup", "restore", "lora import")
CORE = (
    "demo",
    "inspect",
    "score",
    "compare",
    "train",
    "generate",
    "doctor",
    "plan",
    "verify",
    "lora",
    "lora info",
    "lora convert",
    "models",
    "completion",
)
# each command line of a JSON list in turn, in one process; answers lines of [exit code or what was
# raised, standard error, standard output]
SCRIPT = """
import contextlib, io, json, sys
from fluxbooth.cli.main import main
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:
            code = repr(error)
    print(json.dumps([code, err.getvalue(), out.getvalue()]))
"""


def needed(requirements: list[str]) -> Iterator[Distribution]:
    """What is installed here of these requirements, and of what they need in turn."""
    seen, waiting = set(), [(Requirement(text), ("",)) for text in requirements]
    while waiting:
        one, extras = waiting.pop()
        key = (canonicalize_name(one.name), *sorted(one.extras))
        if key in seen or (
            one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in extras)
        ):
            continue
        seen.add(key)
        try:
            found = importlib.metadata.distribution(one.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # not needed on this system, or this build of torch brings it
        yield found
        waiting += [(Requirement(text), ("", *one.extras)) for text in found.requires or []]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment where the wheel is installed beside links to its
    dependencies."""
    folder = tmp_path_factory.mktemp("install")
    backend = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", backend, folder], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            wheel,
        ],
        check=True,
    )
    (site,) = folder.glob("venv/lib/python*/site-packages")
    (own,) = importlib.metadata.distributions(path=[str(site)], name="fluxbooth")
    for distribution in needed(list(own.requires or [])):
        for top in {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(distribution.locate_file(top)))
    return python


def answers(python: Path, cwd: Path, commands: list[list[str]]) -> list[tuple[int | str, str, str]]:
    done = subprocess.run(
        [python, "-c", SCRIPT],
        input=json.dumps(commands),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_no_extra_is_there(python: Path) -> None:
    names = ["sqlalchemy", "fastapi", "httpx", "torchao", "dlib", "wandb"]
    script = f"from importlib.util import find_spec; print([name for name in {names} if find_spec(name)])"
    assert (
        subprocess.run(
            [python, "-c", script], check=True, capture_output=True, text=True
        ).stdout.strip()
        == "[]"
    )
    program = python.parent / "fluxbooth"
    assert subprocess.run(
        [program, "--version"], check=True, capture_output=True, text=True
    ).stdout.startswith("fluxbooth ")


def test_every_command_helps_or_says_what_to_install(python: Path, tmp_path: Path) -> None:
    for command, answer in zip(
        [*CORE, *SERVED],
        answers(python, tmp_path, [[*c.split(), "--help"] for c in [*CORE, *SERVED]]),
        strict=True,
    ):
        code, said, out = answer
        if command in CORE:
            assert code == 0 and "usage:" in out, (command, answer)
        else:
            assert (
                code == 2
                and "pip install 'fluxbooth[server]'" in said
                and len(said.splitlines()) == 1
            ), (command, answer)


def test_all_of_the_core_works(python: Path, tmp_path: Path) -> None:
    photo, lora, kohya = str(PHOTOS / "photo-01.png"), "run/ohwx.safetensors", "kohya.safetensors"
    train = ["train", photo, "--name", "man", "--steps", "1", "--rank", "2", "--batch-size", "1"]
    works = [
        ["inspect", photo],
        [*train, "--out", "run"],
        ["score", photo, "--against", photo],
        ["lora", "info", lora],
        ["lora", "convert", lora, kohya, "--to", "kohya"],
        ["generate", "ohwx man", "--lora", lora, "--steps", "1"],
        ["plan"],
        ["doctor"],
        ["models"],
        ["completion", "bash"],
    ]
    lacks = {
        "prodigy": [*train, "--optimizer", "prodigy"],
        "quant": [*train, "--optimizer", "adamw8bit"],
        "faces": [*train, "--face-crop"],
        "tensorboard": [*train, "--tracker", "tensorboard"],
        "wandb": [*train, "--tracker", "wandb"],
    }
    given = answers(
        python, tmp_path, [*works, *([*command, "--out", "other"] for command in lacks.values())]
    )
    for command, (code, said, _) in zip(works, given, strict=False):
        assert code == 0, (command, code, said)
    for (extra, command), (code, said, _) in zip(lacks.items(), given[len(works) :], strict=True):
        assert code == 2 and f"pip install 'fluxbooth[{extra}]'" in said, (command, code, said)
    assert not (tmp_path / "other").exists()


def test_the_library_works_and_says_nothing_of_others(python: Path, tmp_path: Path) -> None:
    script = (
        "from fluxbooth import *\nimport fluxbooth, pydoc\npydoc.render_doc(fluxbooth)\n"
        "generate('a man', GenerateSpec(steps=1, dtype='bfloat16'))\n"
        "try: fluxbooth.Client('http://localhost', 'x')\nexcept InputError as error: print(error)\n"
    )
    done = subprocess.run(
        [python, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "pip install 'fluxbooth[client]'" in done.stdout
    assert done.stderr == ""


def test_its_types_reach_those_who_check_theirs(python: Path, tmp_path: Path) -> None:
    """By `py.typed`: without it checkers take a library's word for nothing."""
    (tmp_path / "user.py").write_text(
        "import fluxbooth\n"
        "reveal_type(fluxbooth.TrainSpec(class_name='man').steps)\n"
        "fluxbooth.train('photos', fluxbooth.GenerateSpec(), 'out')\n"
    )
    (tmp_path / "pyrightconfig.json").write_text('{"useLibraryCodeForTypes": false}')
    pyright = Path(sys.executable).with_name("pyright")
    said = subprocess.run(
        [pyright, "--pythonpath", python, "--project", tmp_path], capture_output=True, text=True
    ).stdout
    assert 'is "int | None"' in said and '"GenerateSpec" is not assignable to "TrainSpec"' in said
