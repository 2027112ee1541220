"""What commands of the command line find, each in a process of its own: they may load torch, which
the application itself does not."""

from __future__ import annotations

import json
import subprocess
import sys

from fluxbooth.types import Json


def asked(*arguments: str) -> Json:
    """The JSON object of `fluxbooth ARGUMENTS`; takes seconds where it loads torch.

    Raises CalledProcessError if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "fluxbooth", *arguments, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)
