"""A release: the version, the changelog's section, the wheel and the sdist, and a look at both.

    make release VERSION=0.2.0

Nothing is committed, tagged or uploaded: that is done by hand, once `git diff` and `dist/` please.
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
UNRELEASED = "## Unreleased\n"
VERSION = re.compile(r'__version__ = "([^"]+)"')
# some of the sdist's tests, which read its code, photos and settings and train nothing
SOME_TESTS = (
    "tests/prompts",
    "tests/photos",
    "tests/tools/test_release.py",
    "tests/test_architecture.py",
)


def main(arguments: list[str]) -> int:
    try:
        if len(arguments) != 1:
            raise ValueError("Say which version: make release VERSION=0.2.0.")
        if _git("status", "--porcelain"):
            raise ValueError("Files here are not committed: commit or stash them first.")
        write_version(ROOT, arguments[0], datetime.date.today())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    wheel, sdist = build(ROOT / "dist", arguments[0])
    check_wheel(wheel, arguments[0])
    check_sdist(sdist)
    print(f"{wheel}\n{sdist}\nNow: git commit -am 'Version {arguments[0]}', git tag, upload.")
    return 0


def write_version(root: Path, version: str, day: datetime.date) -> None:
    """The number in the package, and what was unreleased as its section of the changelog.

    Raises ValueError, before anything is written, for a version that is no later number, or if the
    changelog has nothing new.
    """
    module, changelog = root / "src" / "fluxbooth" / "version.py", root / "CHANGELOG.md"
    code, text = module.read_text(), changelog.read_text()
    now = VERSION.findall(code)[0]
    if not re.fullmatch(r"\d+\.\d+\.\d+", version) or f"\n## {version} " in text:
        raise ValueError(f"{version!r} is no new version: three numbers, such as 0.2.0.")
    if _numbers(version) < _numbers(now):
        raise ValueError(f"{version} comes before {now}, which the package has now.")
    before, mark, after = text.partition(UNRELEASED)
    if not mark or not after.partition("\n## ")[0].strip():
        raise ValueError("CHANGELOG.md says nothing under Unreleased: what is new?")
    changelog.write_text(f"{before}{mark}\n## {version} - {day}\n{after}")
    module.write_text(VERSION.sub(f'__version__ = "{version}"', code))


def build(folder: Path, version: str) -> tuple[Path, Path]:
    """The wheel and the sdist, by the build backend itself."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    subprocess.run(command, cwd=ROOT, check=True)
    name = f"fluxbooth-{version}"
    return folder / f"{name}-py3-none-any.whl", folder / f"{name}.tar.gz"


def check_wheel(wheel: Path, version: str) -> None:
    """It installs without a network, and its program says what it is."""
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        install = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install"]
        subprocess.run([*install, "--quiet", "--no-index", "--no-deps", wheel], check=True)
        said = subprocess.check_output([venv / "bin" / "fluxbooth", "--version"], text=True)
    if said.strip() != f"fluxbooth {version}":
        raise SystemExit(f"The program of {wheel} says {said.strip()!r}.")


def check_sdist(sdist: Path) -> None:
    """Some of its tests pass on its own package, unpacked where nothing else of the repository
    is."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
        root = Path(folder) / sdist.name.removesuffix(".tar.gz")
        where = subprocess.check_output(
            [*_python(root), "-c", "import fluxbooth as f; print(f.__file__)"], cwd=root, text=True
        )
        if not Path(where.strip()).is_relative_to(root):
            raise SystemExit(f"The tests of {sdist} would have run on {where.strip()}.")
        subprocess.run([*_python(root), "-m", "pytest", *SOME_TESTS], cwd=root, check=True)


def _python(root: Path) -> list[str]:
    """This interpreter, with the package of a folder before the one that is installed."""
    return ["env", f"PYTHONPATH={root / 'src'}", sys.executable]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
