"""Chromium for the tests of the web app: one that is there, else from apt where this user may
install; else a sentence that says how."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "No Chromium was found, so the tests that need a browser are skipped: install it (apt install chromium), or run "
    "`.venv/bin/python -m playwright install chromium`."
)


def find() -> str | None:
    """The path of a Chromium: of the system, else the one that Playwright downloaded."""
    of_system = next((path for name in NAMES if (path := shutil.which(name))), None)
    if of_system:
        return of_system
    homes = Path(
        os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright"
    )
    return next(
        (str(path) for path in sorted(homes.glob("chromium-*/chrome-linux*/chrome"), reverse=True)),
        None,
    )


def install() -> None:
    """By apt, as root or where sudo asks for no password."""
    apt = shutil.which("apt-get")
    if apt is None:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode:
        return
    print("Installing Chromium with apt, for the tests of the web app ...", file=sys.stderr)
    quiet = {
        "capture_output": True,
        "check": False,
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    }
    subprocess.run([*sudo, apt, "update"], **quiet)  # type: ignore[call-overload]
    subprocess.run([*sudo, apt, "install", "--yes", "--no-install-recommends", "chromium"], **quiet)  # type: ignore[call-overload]


def main() -> None:
    if find() is None:
        install()
    if find() is None:
        print(MISSING, file=sys.stderr)


if __name__ == "__main__":
    main()
