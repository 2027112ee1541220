"""The command line. Flags are the fields of the specs; nothing heavy is imported before a command runs.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 2 the input or usage, 1 anything else,
130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxbooth import __version__
from fluxbooth.errors import FluxboothError, InputError

if TYPE_CHECKING:
    from fluxbooth.specs import Spec

Json = dict[str, Any]
Command = Callable[[argparse.Namespace], Json]
LORA_FILE = re.compile(r"^\S.*\.safetensors(:-?[\d.]+)?$")
# what the fields of the specs are called on the command line, where not by their own name
FLAG_NAMES = {"class_name": "name", "resolutions": "resolution", "loras": "lora", "sample_prompts": "sample-prompt", "trackers": "tracker"}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(sys.argv[1:] if arguments is None else list(arguments))
    for library in ("TRANSFORMERS", "DIFFUSERS"):  # what they warn of while importing is not for this program's users
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
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


def train(options: argparse.Namespace) -> Json:
    from fluxbooth import bases, models
    from fluxbooth.specs import TrainSpec

    values = _config(options.config) | _given(options, TrainSpec)
    if not values.get("class_name"):
        raise InputError("Say what the photos show with --name: man, woman, dog, bag ...")
    spec = TrainSpec.read(values)
    if "base" not in values:
        spec = spec.model_copy(update={"base": bases.default("train").name})
    licence = bases.notice(models.find(spec.base))
    from fluxbooth.display import Display
    from fluxbooth.train import train as run

    out = Path(options.out or f"./{spec.trigger.replace(' ', '-')}")
    with Display(options.progress) as display:
        display.note(licence)
        display.note("Loading ...")
        result = run(options.photos, spec, out, display, overwrite=options.overwrite).to_json()
    display.note(f"{result['lora']}: {result['steps']} steps in {result['seconds']:.0f} s, loss {result['loss']:.4f}.")
    display.note(f'Next: fluxbooth generate "{spec.trigger} at the beach" --lora {result["lora"]} --base {spec.base}')
    return result


def generate(options: argparse.Namespace) -> Json:
    from fluxbooth.specs import GenerateSpec

    values, texts = _given(options, GenerateSpec), [t for t in options.texts if not LORA_FILE.search(t)]
    # `--lora a.safetensors b.safetensors` leaves b among the texts
    values["loras"] = (*values.get("loras", ()), *(t for t in options.texts if LORA_FILE.search(t)))
    spec = GenerateSpec.read(values)
    if not texts:
        raise InputError("Say what to draw: a text in quotation marks before --lora.")
    from fluxbooth import bases, files, models, prompts

    licence = bases.notice(models.find(spec.base))
    prompts.check_negative(spec.negative_prompt)
    from fluxbooth.display import Display
    from fluxbooth.generate import generate as run

    out = Path(options.out)
    files.make_folder(out)
    advice: list[Json] = []
    with Display(options.progress) as display:
        display.note(licence)

        def report(event: Json) -> None:
            if event["event"] == "advice":
                advice.extend(a.to_json() for a in event["advice"])
                for row in advice:
                    display.note(f"Advice: {row['message']}")
            else:
                display(event)

        pictures = run(texts, spec, report, folders=[out, Path()])
    rows = []
    for picture in pictures:
        path = files.free_name(out, picture.text, picture.seed)
        try:
            picture.save(path)
        except OSError as error:
            raise files.cannot_write(path, error) from error
        rows.append({"path": str(path), "seed": picture.seed, "width": picture.width, "height": picture.height, "text": picture.text})
        display.note(str(path))
    return {"pictures": rows, "advice": advice}


def inspect(options: argparse.Namespace) -> Json:
    from fluxbooth import models, photocheck

    row = models.find(options.base)
    report = photocheck.inspect(photocheck.read(options.photos), max(row.resolutions) ** 2)
    if not options.json:
        for photo in report.photos:
            left, top, right, bottom = photo.crop
            crop = f"crop {right - left} x {bottom - top}, trained at {photo.bucket[0]} x {photo.bucket[1]}"
            facts = f"{photo.width} x {photo.height}, sharpness {photo.sharpness:.2f}, {crop}"
            print(f"{photo.name}: {facts}" + (", with caption" if photo.has_caption else ""))
            for advice in photo.advice:
                print(f"    {advice}")
        for advice in report.advice:
            print(advice)
    return report.to_json()


def lora_info(options: argparse.Namespace) -> Json:
    from fluxbooth import lorafile

    facts = lorafile.read(options.file).describe()
    if not options.json:
        for name, value in facts.items():
            if name not in ("spec", "metadata"):
                print(f"{name}: {value}")
        for group in ("spec", "metadata"):
            for name, value in facts[group].items():
                print(f"{group}.{name}: {value}")
    return facts


def demo(options: argparse.Namespace) -> Json:
    from fluxbooth import bases, models

    row = models.find(options.base) if options.base else bases.default("demo")
    licence = bases.notice(row)
    from fluxbooth.demo import run
    from fluxbooth.display import Display

    out = Path(options.out)
    with Display(options.progress) as display:
        display.note(licence)
        report = run(out, display, base=row.name)
    learnt, before = report["subject_similarity"], report["subject_similarity_without_lora"]
    display.note(f"The pictures show {learnt:.0%} of the subject's traits, {before:.0%} without the LoRA.")
    display.note(f"Look at {out / 'contact-sheet.png'} or {out / 'index.html'}.")
    return report


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fluxbooth", description="Fine-tune a FLUX image model on photos of a subject, and make pictures of it."
    )
    parser.add_argument("--version", action="version", version=f"fluxbooth {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    asked = next((a for a in arguments if not a.startswith("-")), None)
    for name, help_text, build, run in _COMMANDS:
        command = commands.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        if name == asked:  # the flags come from the specs, which take a moment to import
            build(command)
            command.set_defaults(**({} if run is None else {"run": run}))
    return parser.parse_args(arguments)


def _flags_of(module: str) -> Callable[[argparse.ArgumentParser], None]:
    """The flags and the body of a command that has a module of its own."""
    return lambda parser: importlib.import_module(f"fluxbooth.{module}").flags(parser)


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
    info.set_defaults(run=lora_info)
    _common_flags(info)


def _demo_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", default="demo-out", help="output folder (default: demo-out)")
    parser.add_argument("--base", help="model to train on (default: flux-dev with a GPU, else nano)")
    _common_flags(parser, progress=True)


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


def _given(options: argparse.Namespace, spec: type[Spec]) -> Json:
    return {name: getattr(options, name) for name in spec.model_fields if getattr(options, name) is not None}


def _config(path: str | None) -> Json:
    import tomllib

    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(f"The settings file {path} cannot be read ({error.strerror}): check --config.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The settings file {path} is not valid TOML: {error}.") from error


def _failed(options: argparse.Namespace, error: FluxboothError, code: int) -> int:
    print(f"fluxbooth: {error}", file=sys.stderr)
    if options.json:
        print(json.dumps({"error": str(error)}))
    return code


_COMMANDS: list[tuple[str, str, Callable[[argparse.ArgumentParser], None], Command | None]] = [
    ("demo", "train on the photos that come with Fluxbooth and make pictures, in a few minutes on a CPU", _demo_flags, demo),
    ("inspect", "look at photos before training: size, sharpness, duplicates, crop", _inspect_flags, inspect),
    ("train", "train a LoRA on photos of one subject", _train_flags, train),
    ("generate", "make pictures", _generate_flags, generate),
    (
        "doctor",
        "look at this machine: driver, GPU, memory, disk, cache, token, licence, and what to do about each",
        _flags_of("doctor"),
        None,
    ),
    ("plan", "what a training would take on common cards: memory, time, and what is given up for it", _flags_of("plan"), None),
    ("lora", "look at LoRA files", _lora_flags, None),
    ("models", "the bases: which are here, which fit this machine, their licences; pull one", _flags_of("bases"), None),
]
