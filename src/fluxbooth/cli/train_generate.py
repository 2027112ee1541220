"""`fluxbooth train` and `fluxbooth generate`: flags in, one JSON object out, words for people on
standard error."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fluxbooth.cli.options import given, read_config
from fluxbooth.errors import InputError
from fluxbooth.types import Json

RESUMES = "The same command goes on from the last checkpoint, if there is one by now."
LORA_FILE = re.compile(r"^\S.*\.safetensors(:-?[\d.]+)?$")


def train_command(options: argparse.Namespace) -> Json:
    from fluxbooth import base_selection
    from fluxbooth.cli import models
    from fluxbooth.models import licences, registry
    from fluxbooth.specs import TrainSpec

    if options.overwrite:
        options.interrupted = RESUMES.replace("command", "command without --overwrite")
    values = read_config(options.config) | given(options, TrainSpec)
    if not options.photos:  # some flags take all that stands behind them
        raise InputError(
            "Say which photos to train on, before the flags: `fluxbooth train PHOTOS --name man`."
        )
    if not values.get("class_name"):
        raise InputError("Say what the photos show with --name: man, woman, dog, bag ...")
    spec = TrainSpec.read(values)
    spec = models.offered(lambda: base_selection.with_base(spec))
    licence = licences.notice(registry.find(spec.base))
    from fluxbooth import files
    from fluxbooth.photos import inspection
    from fluxbooth.training import distributed

    # a folder that is missing is told before seconds are spent on loading
    inspection.find(options.photos)
    from fluxbooth.cli.progress import Display
    from fluxbooth.lora import convert
    from fluxbooth.models import comfyui
    from fluxbooth.training.loop import train

    out = Path(options.out or f"./{files.folder_name(spec.trigger)}")
    # known before hours are spent on training
    loras = comfyui.lora_folder(Path(options.comfyui)) if options.comfyui else None
    if loras is not None:
        files.make_folder(loras, "--comfyui")
    main = distributed.join().main
    if not main:  # of processes that train together, one speaks
        options.progress, options.json = "none", False
    with Display(options.progress) as display:
        display.note(licence)
        display.note("Loading ...")
        result = train(options.photos, spec, out, display, overwrite=options.overwrite).to_json()
        if loras is not None and main:
            result["comfyui"] = str(convert.for_comfyui(result["lora"], loras, spec.trigger))
            display.note(f"For ComfyUI: {result['comfyui']}.")
    display.note(_told(result, out))
    display.note(f'Next: fluxbooth generate "{spec.trigger} at the beach" --lora {result["lora"]}')
    return result


def _told(result: Json, out: Path) -> str:
    """What a training came to."""
    said = (
        f"{result['lora']}: {result['steps']} steps in {result['seconds']:.0f} s, loss "
        f"{result['loss']:.4f}."
    )
    if result["identity"] is None:
        return said
    return (
        f"{said} It is of step {result['chosen']}, whose pictures are {result['identity']:.0%} "
        f"like the photos: {out / 'report.html'} shows them."
    )


def generate_command(options: argparse.Namespace) -> Json:
    from fluxbooth.specs import GenerateSpec

    values = given(options, GenerateSpec)
    texts = [t for t in options.texts if not LORA_FILE.search(t)]
    # `--lora a.safetensors b.safetensors` leaves b among the texts
    values["loras"] = (*values.get("loras", ()), *(t for t in options.texts if LORA_FILE.search(t)))
    spec = GenerateSpec.read(values)
    spec.check_start()
    if not texts:
        raise InputError("Say what to draw: a text in quotation marks before --lora.")
    from fluxbooth import base_selection, files
    from fluxbooth.cli import grid, models
    from fluxbooth.models import licences, registry
    from fluxbooth.prompts import negatives

    negatives.check_negative(spec.negative_prompt)
    strengths, titles = options.grid, texts
    if strengths is not None:
        strengths = strengths or list(grid.STRENGTHS)
        texts = grid.cells(texts, spec, strengths)
        spec = spec.model_copy(update={"loras": ()})  # they stand in the texts now
    out, folders = Path(options.out), [Path(options.out), Path()]
    spec = models.offered(lambda: base_selection.with_base(spec, texts, folders))
    licence = licences.notice(registry.find(spec.base))
    from fluxbooth.cli.drawing import Report
    from fluxbooth.cli.progress import Display
    from fluxbooth.generation.generate import generate

    files.make_folder(out)
    with Display(options.progress) as display:
        display.note(licence)
        report = Report(display, lambda one: files.free_name(out, _words(one.text), one.seed))
        generate(texts, spec, report, folders=folders)
        result = report.result()
        if strengths is not None:
            sheet = grid.write(out, titles, strengths, result)
            display.note(f"All of them: {sheet}.")
            result["grid"] = str(sheet)
    return result


def _words(text: str) -> str:
    """Of a text, what a file is named after."""
    from fluxbooth.prompts import language

    return language.parse(text, may_be_blank=True).text
