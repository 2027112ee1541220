"""The command line. Flags are the fields of the specs; nothing heavy is imported before a command
runs.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 2 the input or
usage, 1 anything else, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from fluxbooth import library_logging
from fluxbooth.cli import evaluate, inspect, lora, output, train_generate
from fluxbooth.cli.options import (
    Flags,
    Parser,
    complete_bases,
    completion_flags,
    spec_flags,
    verbs,
)
from fluxbooth.cli.output import output_flags
from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.types import Json
from fluxbooth.version import __version__

Command = Callable[[argparse.Namespace], Json]


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        try:
            return _run(given)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read has gone
        # or Python would complain once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    library_logging.quieten()
    warnings.simplefilter("ignore")
    options = argparse.Namespace()
    try:
        options = _parse(arguments)
        if options.run is None:
            options.parser.print_help(sys.stderr)
            return 2
        result = options.run(options)
    except InputError as error:
        output.fail(arguments, error)
        return 2
    except FluxboothError as error:
        output.fail(arguments, error)
        return 1
    except KeyboardInterrupt:
        kept = getattr(options, "interrupted", "")
        print(f"\nInterrupted. {kept}".rstrip(" "), file=sys.stderr)
        return 130
    output.finish(options, result)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Raises InputError for what is not understood."""
    parser = Parser(
        prog="fluxbooth",
        description="Fine-tune a FLUX image model on photos of a subject, and make pictures of it.",
    )
    parser.add_argument("--version", action="version", version=f"fluxbooth {__version__}")
    below = verbs(parser)
    for name, (help_text, flags) in COMMANDS.items():
        below.add_parser(name, help=help_text, description=help_text, flags=flags)
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)  # answers the shell, and ends
    return parser.read(arguments)


def _train_flags(parser: argparse.ArgumentParser) -> None:
    from fluxbooth.specs import TrainSpec

    parser.add_argument(
        "photos", nargs="*", metavar="PHOTOS", help="a folder of photos, or the files"
    )
    spec_flags(parser, TrainSpec)
    parser.add_argument("--config", metavar="FILE.toml", help="settings by their names; flags win")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what the output folder holds"
    )
    parser.add_argument("--out", metavar="DIR", help="output folder (default: ./ohwx-CLASS)")
    parser.add_argument(
        "--comfyui", metavar="DIR", help="also put the LoRA where this ComfyUI looks for LoRAs"
    )
    output_flags(parser, progress=True)
    parser.set_defaults(interrupted=train_generate.RESUMES)


def _generate_flags(parser: argparse.ArgumentParser) -> None:
    from fluxbooth.specs import GenerateSpec

    parser.add_argument(
        "texts",
        nargs="*",
        metavar="TEXT",
        help="what to draw; <lora:NAME_OR_PATH:WEIGHT> uses a LoRA",
    )
    spec_flags(parser, GenerateSpec)
    parser.add_argument(
        "--out", metavar="DIR", default="pictures", help="output folder (default: pictures)"
    )
    parser.add_argument(
        "--grid",
        nargs="*",
        type=float,
        metavar="STRENGTH",
        help="each text with its LoRAs at these strengths (default: 0 0.4 0.7 1 1.3), and a sheet "
        "of all of them",
    )
    output_flags(parser, progress=True)
    parser.set_defaults(interrupted=output.READY_ARE_KEPT)


def _inspect_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos", nargs="+", metavar="PHOTOS", help="a folder of photos, or the files"
    )
    complete_bases(
        parser.add_argument(
            "--base",
            help="base whose sizes to assume (default: as train, flux-dev with a GPU, else nano)",
        )
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write a page with every photo, its crop and its faults"
    )
    parser.add_argument(
        "--name", default="person", help="class word, as train takes it (default: person)"
    )
    output_flags(parser)


def _lora_flags(parser: argparse.ArgumentParser) -> None:
    below = verbs(parser)
    info = below.add_parser(
        "info", help="what is in a LoRA file", description="What is in a LoRA file."
    )
    info.add_argument("file", metavar="FILE")
    info.set_defaults(run=lora.lora_info)
    output_flags(info)
    convert = below.add_parser(
        "convert",
        help="write a LoRA file in another format",
        description="Write a LoRA file in another format.",
    )
    convert.add_argument("file", metavar="IN")
    convert.add_argument("result", metavar="OUT", help="a new .safetensors file")
    convert.add_argument(
        "--to",
        required=True,
        choices=("diffusers", "kohya"),
        help="kohya: also read by ComfyUI and Forge",
    )
    convert.set_defaults(run=lora.lora_convert)
    output_flags(convert)
    below.add_parser(
        "import",
        help="make a LoRA from elsewhere a tune of the server",
        flags=_of_server("operate", "import_lora_flags"),
    )


def _demo_flags(parser: argparse.ArgumentParser, out: str = "demo-out") -> None:
    parser.add_argument("--out", metavar="DIR", default=out, help=f"output folder (default: {out})")
    complete_bases(
        parser.add_argument(
            "--base", help="model to train on (default: flux-dev with a GPU, else nano)"
        )
    )
    output_flags(parser, progress=True)
    parser.set_defaults(interrupted=output.BEGINS_ANEW)


def _verify_flags(parser: argparse.ArgumentParser) -> None:
    _demo_flags(parser, "verify-out")


def _of(module: str, flags: str = "flags") -> Flags:
    """The flags of a command that has a module of its own; they name the function that runs it."""
    return lambda parser: getattr(importlib.import_module(f"fluxbooth.cli.{module}"), flags)(parser)


def _of_server(module: str, flags: str = "flags") -> Flags:
    """As `_of`, of a command whose module needs the extra `server`."""

    def add(parser: argparse.ArgumentParser) -> None:
        with library_logging.needing("server"):
            _of(module, flags)(parser)

    return add


def _running(flags: Flags, run: Command) -> Flags:
    def add(parser: argparse.ArgumentParser) -> None:
        flags(parser)
        parser.set_defaults(run=run)

    return add


COMMANDS: dict[str, tuple[str, Flags]] = {
    "demo": (
        "train on the photos that come with Fluxbooth and make pictures, in a few minutes on a CPU",
        _running(_demo_flags, evaluate.demo),
    ),
    "inspect": (
        "look at photos before training: faults, duplicates, crop, variety",
        _running(_inspect_flags, inspect.inspect),
    ),
    "train": (
        "train a LoRA on photos of one subject",
        _running(_train_flags, train_generate.train_command),
    ),
    "generate": ("make pictures", _running(_generate_flags, train_generate.generate_command)),
    "enhance": (
        "make pictures of any kind larger, or otherwise better, or change a part of them",
        _of("enhance"),
    ),
    "doctor": (
        "look at this machine: driver, GPU, memory, disk, cache, token, licence; what to do about "
        "each",
        _of("doctor"),
    ),
    "plan": (
        "what a training would take on common cards: memory, time, and what is given up for it",
        _of("plan"),
    ),
    "verify": (
        "measure this machine and a base's real weights against what is claimed; writes a report "
        "to share",
        _running(_verify_flags, evaluate.verify),
    ),
    "score": (
        "how like their subject's photos pictures are, and how like what their texts say",
        _of("score", "score_flags"),
    ),
    "compare": ("trainings side by side: settings, curves, samples", _of("score", "compare_flags")),
    "lora": ("look at LoRA files, convert them", _lora_flags),
    "models": (
        "the bases: which are here, which fit this machine, their licences; pull one",
        _of("models"),
    ),
    "serve": ("answer the API, and do its work", _of_server("serve")),
    "key": ("make, list and revoke the keys of the server", _of_server("operate", "key_flags")),
    "account": (
        "make, list, disable, export and delete the accounts of the server",
        _of_server("accounts", "account_flags"),
    ),
    "credit": ("give an account of the server money", _of_server("accounts", "credit_flags")),
    "callbacks": ("list and repeat what the server told", _of_server("operate", "callbacks_flags")),
    "backup": (
        "copy everything of the server, while it runs",
        _of_server("operate", "backup_flags"),
    ),
    "restore": ("make a server of a backup", _of_server("operate", "restore_flags")),
    "completion": ("a script that completes commands and flags: bash, zsh, fish", completion_flags),
}
