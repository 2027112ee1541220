"""One part of the picture tools, measured: `python -m bench.enhance PART`; `--help` after the part
says more. Each part is a module of this folder with a `main`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

PARTS = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        sys.exit(f"{__doc__}\nparts: {', '.join(PARTS)}")
    part = sys.argv.pop(1)
    importlib.import_module(f"bench.enhance.{part}").main()


if __name__ == "__main__":
    main()
