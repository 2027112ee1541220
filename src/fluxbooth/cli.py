"""The command line. Flags are the fields of the specs; nothing heavy is imported before a command runs.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 2 the input or usage, 1 anything else,
130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fluxbooth import __version__, commands, libraries
from fluxbooth.errors import FluxboothError, InputError

if TYPE_CHECKING:
    from fluxbooth.specs import Spec

Json = dict[str, Any]
Command = Callable[[argparse.Namespace], Json]
# what the fields of the specs are called on the command line, where not by their own name
FLAG_NAMES = {"class_name": "name", "resolutions": "resolution", "loras": "lora", "sample_prompts": "sample-prompt", "trackers": "tracker"}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(sys.argv[1:] if arguments is None else list(arguments))
    libraries.quieten()
    warnings.simplefilter("ignore")
    try:
        result = options.run(options)
    except InputError as error:
        return _failed(options, error, 2)
    except FluxboothError as error:
        return _failed(options, error, 1)
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What was done is kept; the same command goes on from there.", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(result))
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fluxbooth", description="Fine-tune a FLUX image model on photos of a subject, and make pictures of it."
    )
    parser.add_argument("--version", action="version", version=f"fluxbooth {__version__}")
    known = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    asked = next((a for a in arguments if not a.startswith("-")), None)
    for name, help_text, build, run in _COMMANDS:
        command = known.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        if name == asked:  # the flags come from the specs, which take a moment to import
            build(command)
            command.set_defaults(**({} if run is None else {"run": run}))
    return parser.parse_args(arguments)


def _train_flags(parser: argparse.ArgumentParser) -> None:
    from fluxbooth.specs import TrainSpec

    parser.add_argument("photos", nargs="+", metavar="PHOTOS", help="a folder of photos, or the files")
    _spec_flags(parser, TrainSpec)
    parser.add_argument("--config", metavar="FILE.toml", help="settings by their names; flags win")
    parser.add_argument("--overwrite", action="store_true", help="replace what the output folder holds")
    parser.add_argument("--out", metavar="DIR", help="output folder (default: ./ohwx-CLASS)")
    _common_flags(parser, progress=True)


def _generate_flags(parser: argparse.ArgumentParser) -> None:
    from fluxbooth.specs import GenerateSpec

    parser.add_argument("texts", nargs="+", metavar="TEXT", help="what to draw; <lora:NAME_OR_PATH:WEIGHT> uses a LoRA")
    _spec_flags(parser, GenerateSpec)
    parser.add_argument("--out", metavar="DIR", default="pictures", help="output folder (default: pictures)")
    _common_flags(parser, progress=True)


def _inspect_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTOS", help="a folder of photos, or the files")
    parser.add_argument("--base", default="nano", help="base whose sizes to assume (default: nano)")
    _common_flags(parser)


def _lora_flags(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    info = verbs.add_parser("info", help="what is in a LoRA file", description="What is in a LoRA file.")
    info.add_argument("file", metavar="FILE")
    info.set_defaults(run=commands.lora_info)
    _common_flags(info)
    convert = verbs.add_parser("convert", help="write a LoRA file in another format", description="Write a LoRA file in another format.")
    convert.add_argument("file", metavar="IN")
    convert.add_argument("result", metavar="OUT", help="a new .safetensors file")
    convert.add_argument("--to", required=True, choices=("diffusers", "kohya"), help="kohya: also read by ComfyUI and Forge")
    convert.set_defaults(run=commands.lora_convert)
    _common_flags(convert)
    _flags_of("operate", "import_lora_flags")(verbs.add_parser("import", help="make a LoRA from elsewhere a tune of the server"))


def _demo_flags(parser: argparse.ArgumentParser, out: str = "demo-out") -> None:
    parser.add_argument("--out", metavar="DIR", default=out, help=f"output folder (default: {out})")
    parser.add_argument("--base", help="model to train on (default: flux-dev with a GPU, else nano)")
    _common_flags(parser, progress=True)


def _verify_flags(parser: argparse.ArgumentParser) -> None:
    _demo_flags(parser, "verify-out")


def _common_flags(parser: argparse.ArgumentParser, *, progress: bool = False) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    if progress:
        parser.add_argument(
            "--progress", choices=("auto", "json", "none"), default="auto", help="json: a line for each event on standard output"
        )


def _spec_flags(parser: argparse.ArgumentParser, spec: type[Spec]) -> None:
    """A flag for every field; values stay text, the spec itself checks them."""
    for name, field in spec.model_fields.items():
        flag = "--" + FLAG_NAMES.get(name, name).replace("_", "-")
        default = f" (default: {field.default})" if field.default not in (None, (), False) and not field.is_required() else ""
        help_text = f"{field.description}{default}".replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(flag, dest=name, action="store_true", default=None, help=help_text)
        elif "tuple" in str(field.annotation):
            kinds: Json = {"nargs": "+"} if name == "resolutions" else {"action": "append"}
            parser.add_argument(flag, dest=name, help=help_text, metavar="VALUE", **kinds)
        else:
            parser.add_argument(flag, dest=name, help=help_text, metavar="VALUE")


def _failed(options: argparse.Namespace, error: FluxboothError, code: int) -> int:
    print(f"fluxbooth: {error}", file=sys.stderr)
    if options.json:
        print(json.dumps({"error": str(error)}))
    return code


def _flags_of(module: str, flags: str = "flags") -> Callable[[argparse.ArgumentParser], None]:
    """The flags of a command that has a module of its own; they name the function that runs it."""

    def add(parser: argparse.ArgumentParser) -> None:
        try:
            found = importlib.import_module(f"fluxbooth.{module}")
        except ModuleNotFoundError as error:
            raise InputError(f"This needs a package that is not here ({error.name}): pip install 'fluxbooth[server]'.") from error
        getattr(found, flags)(parser)

    return add


_COMMANDS: list[tuple[str, str, Callable[[argparse.ArgumentParser], None], Command | None]] = [
    ("demo", "train on the photos that come with Fluxbooth and make pictures, in a few minutes on a CPU", _demo_flags, commands.demo),
    ("inspect", "look at photos before training: size, sharpness, duplicates, crop", _inspect_flags, commands.inspect),
    ("train", "train a LoRA on photos of one subject", _train_flags, commands.train),
    ("generate", "make pictures", _generate_flags, commands.generate),
    ("doctor", "look at this machine: driver, GPU, memory, disk, cache, token, licence; what to do about each", _flags_of("doctor"), None),
    ("plan", "what a training would take on common cards: memory, time, and what is given up for it", _flags_of("plan"), None),
    (
        "verify",
        "measure this machine and a base's real weights against what is claimed; writes a report to share",
        _verify_flags,
        commands.verify,
    ),
    ("lora", "look at LoRA files, convert them", _lora_flags, None),
    ("models", "the bases: which are here, which fit this machine, their licences; pull one", _flags_of("bases"), None),
    ("serve", "answer the API, and do its work", _flags_of("serve"), None),
    ("key", "make, list and revoke the keys of the server", _flags_of("operate", "key_flags"), None),
    ("account", "make, list, disable, export and delete the accounts of the server", _flags_of("operate_accounts", "account_flags"), None),
    ("credit", "give an account of the server money", _flags_of("operate_accounts", "credit_flags"), None),
    ("callbacks", "list and repeat what the server told", _flags_of("operate", "callbacks_flags"), None),
    ("backup", "copy everything of the server, while it runs", _flags_of("operate", "backup_flags"), None),
    ("restore", "make a server of a backup", _flags_of("operate", "restore_flags"), None),
]
