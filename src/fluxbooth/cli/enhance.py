"""`fluxbooth enhance`: pictures of any kind made larger, sharper or otherwise better."""

from __future__ import annotations

import argparse
from pathlib import Path

from fluxbooth.cli.options import flag_of, given, spec_flags
from fluxbooth.cli.output import READY_ARE_KEPT, output_flags
from fluxbooth.errors import InputError
from fluxbooth.types import Json

# fields of GenerateSpec that say nothing here: each picture has a size and is one
NOT_HERE = (
    "width", "height", "aspect_ratio", "num_images", "input_image", "references", "negative_prompt",
)  # fmt: skip


def flags(parser: argparse.ArgumentParser) -> None:
    from fluxbooth.specs import GenerateSpec

    parser.add_argument(
        "pictures", nargs="*", metavar="PICTURES", help="a folder of pictures, or the files"
    )
    parser.add_argument("--text", default="", help="what they show, for steps that draw anew")
    spec_flags(parser, GenerateSpec, without=NOT_HERE)
    parser.add_argument(
        "--out", metavar="DIR", default="enhanced", help="output folder (default: enhanced)"
    )
    output_flags(parser, progress=True)
    parser.set_defaults(run=enhance_command, interrupted=READY_ARE_KEPT)


def enhance_command(options: argparse.Namespace) -> Json:
    from fluxbooth.photos import inspection
    from fluxbooth.prompts.options import OPTIONS
    from fluxbooth.specs import GenerateSpec

    if not options.pictures:
        raise InputError("Say which pictures, before the flags: `fluxbooth enhance PICTURES ...`.")
    paths = inspection.find(options.pictures)
    values = given(options, GenerateSpec, without=NOT_HERE)
    spec = GenerateSpec.read(values | {"input_image": str(paths[0])})
    said = spec.with_flags(options.text)
    if not said.enhancements() and not (said.mask_image or said.denoising_strength):
        some = ", ".join(
            flag_of(row.name)
            for row in OPTIONS.values()
            if row.of_spec and not row.goes_with and row.part != "drawn"
        )
        raise InputError(f"Say what to do to the pictures: {some}.")
    from fluxbooth import files
    from fluxbooth.cli.drawing import Report
    from fluxbooth.cli.progress import Display
    from fluxbooth.generation.generate import enhance

    out = Path(options.out)
    files.make_folder(out)
    with Display(options.progress) as display:
        report = Report(display, lambda one: files.free_name(out, (one.given or out).stem))
        enhance(paths, spec, report, text=options.text, folders=[out, Path()])
    return report.result()
