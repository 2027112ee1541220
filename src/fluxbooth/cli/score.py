"""`fluxbooth score` and `fluxbooth compare`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fluxbooth.cli import output
from fluxbooth.cli.options import complete_bases
from fluxbooth.files import cannot_write, write_whole
from fluxbooth.types import Json

if TYPE_CHECKING:
    from PIL.Image import Image


def score_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", metavar="PICTURES", help="a folder, or the files")
    parser.add_argument(
        "--against", nargs="+", required=True, metavar="PHOTOS", help="photos of the subject"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="what all pictures should show (default: their own texts)"
    )
    parser.add_argument(
        "--calibrate",
        nargs=2,
        metavar=("A", "B"),
        help="folders of photos of two subjects, by which similarity reads as a percentage",
    )
    complete_bases(
        parser.add_argument(
            "--base", help="base that drew the pictures (default: the one they name, else nano)"
        )
    )
    output.output_flags(parser)
    parser.set_defaults(run=score_pictures)


def compare_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folders that train wrote")
    parser.add_argument(
        "--against", nargs="+", metavar="PHOTOS", help="also score the last samples of each"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with curves and samples")
    output.output_flags(parser)
    parser.set_defaults(run=compare_runs)


def score_pictures(options: argparse.Namespace) -> Json:
    from fluxbooth.evaluation import score
    from fluxbooth.models import registry
    from fluxbooth.photos import inspection

    paths = inspection.find(options.pictures)
    base = options.base or _drawn_by(paths)
    prompts = [options.prompt] if options.prompt else _texts(paths)
    people = tuple(_images([folder]) for folder in options.calibrate or ())
    report = score.score(
        _images(options.pictures),
        _images(options.against),
        registry.find(base),
        prompts,
        (people[0], people[1]) if people else None,
    )
    output.show(options, score.lines(report))
    return report


def compare_runs(options: argparse.Namespace) -> Json:
    from fluxbooth.evaluation import compare, score
    from fluxbooth.models import registry

    runs = [compare.read(Path(run)) for run in options.runs]
    photos = _images(options.against) if options.against else []

    def scores(run: compare.Run, pictures: Sequence[Image], texts: Sequence[str]) -> Json:
        return score.score(pictures, photos, registry.find(run.spec["base"]), texts)

    report = compare.compare(runs, scores if photos else None)
    scored = [score.lines(run["score"]) for run in report["runs"] if "score" in run]
    output.show(options, [*compare.lines(report), *(line for each in scored for line in each)])
    if options.html:
        path = Path(options.html)
        try:
            write_whole(path, compare.page(runs, report, scored).encode())
        except OSError as error:
            raise cannot_write(path, error, "--html") from error
    return report


def _images(paths: Sequence[str]) -> list[Image]:
    from PIL import Image

    from fluxbooth.photos import inspection

    return [Image.fromarray(photo.pixels) for photo in inspection.read(paths)]


def _drawn_by(paths: Sequence[Path]) -> str:
    from fluxbooth import picture_files

    return next(filter(None, (picture_files.base_said(p.read_bytes()) for p in paths)), "nano")


def _texts(paths: Sequence[Path]) -> list[str]:
    """What the pictures' own files say was asked for; nothing if one of them does not say."""
    from fluxbooth import picture_files

    recipes = [picture_files.recipe_said(path.read_bytes()) for path in paths]
    texts = [recipe["text"] for recipe in recipes if recipe]
    return texts if len(texts) == len(paths) else []
