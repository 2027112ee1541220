"""What a command prints on standard output: lines for people or, with --json, one JSON object. Why
it failed goes to standard error and, with --json, into that object."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence

from fluxbooth.errors import FluxboothError
from fluxbooth.types import Json

FLAG = "--json"
# what becomes of the work of a command that is interrupted
BEGINS_ANEW = "The same command begins anew."
READY_ARE_KEPT = f"Pictures that were ready are in the output folder. {BEGINS_ANEW}"


def output_flags(parser: argparse.ArgumentParser, *, progress: bool = False) -> None:
    """How a command prints its result and, of one that takes its time, its `progress`."""
    parser.add_argument(FLAG, action="store_true", help="print one JSON object on standard output")
    if progress:
        parser.add_argument(
            "--progress",
            choices=("auto", "json", "none"),
            default="auto",
            help="json: a line for each event on standard output",
        )


def show(options: argparse.Namespace, lines: Iterable[str]) -> None:
    """Prints a result's lines for people, unless a program asked for it."""
    if not options.json:
        for line in lines:
            print(line)


def finish(options: argparse.Namespace, result: Json) -> None:
    """Prints what a command found or did, if a program asked for it."""
    if options.json:
        print(json.dumps(result))


def fail(arguments: Sequence[str], error: FluxboothError) -> None:
    """Says why a command failed. It may be that its flags could not be read."""
    print(f"fluxbooth: {error}", file=sys.stderr)
    if FLAG in arguments:
        print(json.dumps({"error": str(error)}))
