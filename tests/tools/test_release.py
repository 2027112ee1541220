"""A release, and the settings of the tools around the code."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tools.release import VERSION, write_version

ROOT = Path(__file__).parents[2]
DAY = datetime.date(2026, 12, 1)
# that the package names as its own
PYTHONS = re.findall(
    r'"Programming Language :: Python :: ([\d.]+)"', (ROOT / "pyproject.toml").read_text()
)
# of what git tracks, what no user of the sdist needs
LEFT_OUT = (".git", ".github", ".ci")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What a release writes, at version 0.1.0 with one thing unreleased."""
    module = tmp_path / "src" / "fluxbooth" / "version.py"
    module.parent.mkdir(parents=True)
    module.write_text('"""The version."""\n\n__version__ = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n### Added\n\n- A thing.\n\n## 0.1.0 - 2026-11-01\n\nFirst.\n"
    )
    return tmp_path


def test_a_release_writes_the_version_and_dates_what_is_new(repository: Path) -> None:
    write_version(repository, "0.2.0", DAY)
    assert VERSION.findall((repository / "src/fluxbooth/version.py").read_text()) == ["0.2.0"]
    assert (repository / "CHANGELOG.md").read_text() == (
        "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-01\n\n### Added\n\n- A thing.\n\n"
        "## 0.1.0 - 2026-11-01\n\nFirst.\n"
    )
    with pytest.raises(ValueError, match="nothing under Unreleased"):
        write_version(repository, "0.3.0", DAY)


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "v0.2.0", "0.2", "next"])
def test_a_version_that_is_no_later_number_writes_nothing(repository: Path, version: str) -> None:
    files = [repository / "CHANGELOG.md", repository / "src/fluxbooth/version.py"]
    before = [file.read_bytes() for file in files]
    with pytest.raises(ValueError, match=re.escape(version)):
        write_version(repository, version, DAY)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an sdist knows no list of tracked files")
def test_the_sdist_has_every_file_of_the_repository(tmp_path: Path) -> None:
    """So its tests find what they need; `make release` runs some of them."""
    backend = "import sys; from hatchling.build import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", backend, tmp_path], cwd=ROOT, check=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    assert {name for name in tracked if not name.startswith(LEFT_OUT)} - inside == set()


def test_hooks_and_ci_call_what_the_makefile_has() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"  # any other would be fetched
    entries = [hook["entry"] for hook in local["hooks"]]
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    if workflow.exists():  # an sdist has none
        job = yaml.safe_load(workflow.read_text())["jobs"]["check"]
        assert job["strategy"]["matrix"]["python"] == PYTHONS
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in used)
        entries += [step["run"] for step in job["steps"] if "run" in step]
    for program, *rest in map(str.split, entries):
        if program == "make":
            assert rest[0] in targets
        else:
            assert Path(program).parent == Path(".venv/bin")
            assert shutil.which(Path(program).name, path=Path(sys.executable).parent)
