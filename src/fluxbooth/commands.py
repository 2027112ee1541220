"""What the commands of one machine do: flags in, one JSON object out, words for people on standard error."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxbooth.errors import FluxboothError, InputError

if TYPE_CHECKING:
    from fluxbooth.generate import Picture
    from fluxbooth.specs import Spec

Json = dict[str, Any]
LORA_FILE = re.compile(r"^\S.*\.safetensors(:-?[\d.]+)?$")


def train(options: argparse.Namespace) -> Json:
    from fluxbooth import bases, models
    from fluxbooth.models import selection
    from fluxbooth.specs import TrainSpec

    values = _config(options.config) | _given(options, TrainSpec)
    if not options.photos:  # some flags take all that stands behind them
        raise InputError("Say which photos to train on, before the flags: `fluxbooth train PHOTOS --name man`.")
    if not values.get("class_name"):
        raise InputError("Say what the photos show with --name: man, woman, dog, bag ...")
    spec = TrainSpec.read(values)
    spec = bases.offered(lambda: selection.with_base(spec))
    licence = bases.notice(models.find(spec.base))
    from fluxbooth import files, parallel, photocheck

    photocheck.find(options.photos)  # a folder that is missing is told before seconds are spent on loading
    from fluxbooth.display import Display
    from fluxbooth.train import train as run

    out = Path(options.out or f"./{files.folder_name(spec.trigger)}")
    if not parallel.join().main:  # of processes that train together, one speaks
        options.progress, options.json = "none", False
    with Display(options.progress) as display:
        display.note(licence)
        display.note("Loading ...")
        result = run(options.photos, spec, out, display, overwrite=options.overwrite).to_json()
    display.note(f"{result['lora']}: {result['steps']} steps in {result['seconds']:.0f} s, loss {result['loss']:.4f}.")
    display.note(f'Next: fluxbooth generate "{spec.trigger} at the beach" --lora {result["lora"]}')
    return result


def generate(options: argparse.Namespace) -> Json:
    from fluxbooth.specs import GenerateSpec

    values, texts = _given(options, GenerateSpec), [t for t in options.texts if not LORA_FILE.search(t)]
    # `--lora a.safetensors b.safetensors` leaves b among the texts
    values["loras"] = (*values.get("loras", ()), *(t for t in options.texts if LORA_FILE.search(t)))
    spec = GenerateSpec.read(values)
    if not texts:
        raise InputError("Say what to draw: a text in quotation marks before --lora.")
    from fluxbooth import bases, files, models, negatives
    from fluxbooth.models import selection

    negatives.check_negative(spec.negative_prompt)
    out, folders = Path(options.out), [Path(options.out), Path()]
    spec = bases.offered(lambda: selection.with_base(spec, texts, folders))
    licence = bases.notice(models.find(spec.base))
    from fluxbooth.display import Display
    from fluxbooth.generate import generate as run

    files.make_folder(out)
    advice: list[Json] = []
    rows: list[Json] = []
    with Display(options.progress) as display:
        display.note(licence)

        def report(event: Json) -> None:
            if event["event"] == "picture":  # written as soon as it is drawn: whoever stops the others keeps it
                drawn = [_written(picture, out) for picture in event["pictures"]]
                rows.extend(drawn)
                display({**event, "pictures": drawn})
                for row in drawn:
                    display.note(row["path"])
            elif event["event"] == "advice":
                advice.extend(a.to_json() for a in event["advice"])
                for one in event["advice"]:
                    display.note(f"Advice: {one.message}")
            else:
                display(event)

        run(texts, spec, report, folders=folders)
    return {"pictures": rows, "advice": advice}


def _written(picture: Picture, out: Path) -> Json:
    from fluxbooth import files

    path = files.free_name(out, picture.text, picture.seed)
    try:
        picture.save(path)
    except OSError as error:
        raise files.cannot_write(path, error) from error
    return {"path": str(path), "seed": picture.seed, "width": picture.width, "height": picture.height, "text": picture.text}


def inspect(options: argparse.Namespace) -> Json:
    from fluxbooth import models, photocheck, photofolders
    from fluxbooth.models import selection

    photocheck.find(options.photos)  # a folder that is missing is told before torch is asked for a GPU
    row = models.find(options.base) if options.base else selection.suited()
    side = max(row.resolutions)
    report = photocheck.inspect(photocheck.read(options.photos), side**2)
    report.advice.extend(photofolders.left_out(options.photos))
    if not options.json:
        print(f"For {row.name}, at the area of {side} x {side}:")
        for photo in report.photos:
            left, top, right, bottom = photo.crop
            crop = f"crop {right - left} x {bottom - top}, trained at {photo.bucket[0]} x {photo.bucket[1]}"
            facts = f"{photo.width} x {photo.height}, sharpness {photo.sharpness:.2f}, {crop}"
            print(f"{photo.name}: {facts}" + (", with caption" if photo.has_caption else ""))
            for advice in photo.advice:
                print(f"    {advice}")
        for advice in report.advice:
            print(advice)
    return {"base": row.name, **report.to_json()}


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


def lora_convert(options: argparse.Namespace) -> Json:
    from fluxbooth.loraformats import run

    return run(options)


def demo(options: argparse.Namespace) -> Json:
    from fluxbooth import bases, models
    from fluxbooth.models import selection

    row = models.find(options.base) if options.base else bases.offered(selection.default)
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


def verify(options: argparse.Namespace) -> Json:
    from fluxbooth import bases, models
    from fluxbooth.models import selection

    row = models.find(options.base) if options.base else bases.offered(selection.default)
    if not row.trains:
        raise InputError(f"{row.name} cannot be trained, only generated with: verify flux-dev, or nano.")
    licence = bases.notice(row)
    from fluxbooth.display import Display
    from fluxbooth.verify import run
    from fluxbooth.verifypage import figures

    out = Path(options.out)
    with Display(options.progress) as display:
        display.note(licence)
        report = run(out, display, row)
    for check in report["checks"]:
        display.note(f"{'held' if check['ok'] else 'DID NOT HOLD'}: {check['what']}: {check['why']}")
    for name, measured, predicted in figures(report):
        display.note(f"{name}: {measured}" + (f", predicted {predicted}" if predicted else ""))
    display.note(f"{out / 'report.html'} and report.json hold no names and no paths: docs/hardware.md says where they help.")
    failed = [check["what"] for check in report["checks"] if not check["ok"]]
    if failed:
        raise FluxboothError(f"{', '.join(failed)} did not hold: {out / 'report.html'} tells how; please share it.")
    return report


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
