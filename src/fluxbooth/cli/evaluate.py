"""`fluxbooth demo` and `fluxbooth verify`."""

from __future__ import annotations

import argparse
from pathlib import Path

from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.types import Json


def demo(options: argparse.Namespace) -> Json:
    from fluxbooth import base_selection
    from fluxbooth.cli import models
    from fluxbooth.models import licences, registry

    row = registry.find(options.base) if options.base else models.offered(base_selection.default)
    licence = licences.notice(row)
    from fluxbooth.cli.progress import Display
    from fluxbooth.evaluation.demo import run

    out = Path(options.out)
    with Display(options.progress) as display:
        display.note(licence)
        report = run(out, display, base=row.name)
    learnt, before = report["subject_similarity"], report["subject_similarity_without_lora"]
    display.note(
        f"The pictures show {learnt:.0%} of the subject's traits, {before:.0%} without the LoRA."
    )
    display.note(f"Look at {out / 'contact-sheet.png'} or {out / 'index.html'}.")
    return report


def verify(options: argparse.Namespace) -> Json:
    from fluxbooth import base_selection
    from fluxbooth.cli import models
    from fluxbooth.models import licences, registry

    row = registry.find(options.base) if options.base else models.offered(base_selection.default)
    if not row.trains:
        raise InputError(
            f"{row.name} cannot be trained, only generated with: verify flux-dev, or nano."
        )
    licence = licences.notice(row)
    from fluxbooth.cli.progress import Display
    from fluxbooth.evaluation.verify import run
    from fluxbooth.evaluation.verify_page import figures

    out = Path(options.out)
    with Display(options.progress) as display:
        display.note(licence)
        report = run(out, display, row)
    for check in report["checks"]:
        display.note(
            f"{'held' if check['ok'] else 'DID NOT HOLD'}: {check['what']}: {check['why']}"
        )
    for name, measured, predicted in figures(report):
        display.note(f"{name}: {measured}" + (f", predicted {predicted}" if predicted else ""))
    display.note(
        f"{out / 'report.html'} and report.json hold no names and no paths: docs/hardware.md "
        "says where they help."
    )
    failed = [check["what"] for check in report["checks"] if not check["ok"]]
    if failed:
        raise FluxboothError(
            f"{', '.join(failed)} did not hold: {out / 'report.html'} tells how; please share it."
        )
    return report
