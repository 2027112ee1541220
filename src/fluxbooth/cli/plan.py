"""`fluxbooth plan`: what a training would take on common cards, or on one of so many GB, without
loading any weights.

Times are estimates: floating-point operations of a step over (MFU x the card's peak). The MFU are
those that published FLUX.1 LoRA trainings reach: 0.20 to 0.38 on consumer cards, 0.10 on an H100,
where overhead and not arithmetic is the limit. For the other cards of data centres nothing sound is
published: theirs are assumed, the less the faster the card.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from fluxbooth import hardware
from fluxbooth.cli import output
from fluxbooth.cli.options import complete_bases
from fluxbooth.errors import InputError
from fluxbooth.hardware import GIB, Room
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Job
from fluxbooth.memory.size import Shape
from fluxbooth.models import planner, registry
from fluxbooth.models.base import Base
from fluxbooth.models.timing import CARDS, Card, _jobs, _seconds, like, seconds_per_picture
from fluxbooth.specs import TrainSpec

PHOTOS = 10  # of the usual tune
MAIN_MEMORY = 32.0  # GB, assumed of a machine that is not this one


def flags(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    complete_bases(
        parser.add_argument(
            "--base", default="flux-dev", help="model to train on (default: flux-dev)"
        )
    )
    parser.add_argument(
        "--vram",
        type=float,
        metavar="GB",
        help="plan for a card of this memory instead of the common ones",
    )
    parser.add_argument(
        "--ram",
        type=float,
        metavar="GB",
        help=f"main memory beside it (default: {MAIN_MEMORY:.0f})",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        nargs="+",
        metavar="N",
        help="train at these areas (side of the square, pixels)",
    )
    parser.add_argument(
        "--rank", type=int, default=16, metavar="N", help="rank of the LoRA (default: 16)"
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="pictures a step")
    parser.add_argument(
        "--hourly",
        type=float,
        metavar="PRICE",
        help="also say what a tune and a picture cost on a card of this price an hour",
    )
    output.output_flags(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The plan as JSON, printed as a table unless JSON was asked for."""
    asked = {
        "rank": options.rank,
        "batch_size": options.batch_size,
        "resolutions": options.resolution,
    }
    spec = TrainSpec.read(
        {"class_name": "man", "base": options.base}
        | {k: v for k, v in asked.items() if v is not None}
    )
    row = registry.find_to_train(spec.base)
    spec, size = (
        registry.resolve(spec, PHOTOS),
        registry.description_of(row).shape(row.train_source),
    )
    jobs, places = _jobs(spec), _places(options)
    if options.hourly is not None:
        places = [_priced(options, places)]
    rows = [_row(row.name, size, jobs, card, room) for card, room in places]
    job = {
        "resolutions": [job.side for job in jobs],
        "rank": spec.rank,
        "batch_size": spec.batch_size,
        "text_length": spec.text_length,
    }
    if options.vram is not None and "problem" in rows[0]:
        raise InputError(rows[0]["problem"])
    if options.hourly is not None and rows[0]["fits"]:
        rows[0] |= _costs(options.hourly, spec.steps, rows[0], row, places[0][0])
    result = {
        "base": row.name,
        "parameters": size.transformer,
        "weights": planner.two_networks(row),
        "job": job,
        "cards": rows,
    }
    output.show(options, _lines(result))
    return result


def _priced(options: argparse.Namespace, places: list[tuple[Card, Room]]) -> tuple[Card, Room]:
    """The one card that a price is of."""
    if not 0 < options.hourly < 10_000:
        raise InputError(f"--hourly {options.hourly:g} will not do: it is a price, as 0.35.")
    if options.vram is None and hardware.gpu() is None:
        raise InputError("--hourly is the price of one card: add its --vram GB.")
    return places[0]


def _costs(
    hourly: float, steps: int, row: dict[str, Any], base: Base, card: Card
) -> dict[str, Any]:
    """Of a tune of ten photos, and of a picture, in the currency of the price: arithmetic alone,
    without what it takes to load the base."""
    tune, picture = steps * row["seconds_per_step"], seconds_per_picture(base, card)
    return {
        "hourly": hourly,
        "steps": steps,
        "tune_cost": round(tune / 3600 * hourly, 3),
        "seconds_per_picture": round(picture, 2),
        "picture_cost": round(picture / 3600 * hourly, 5),
    }


def _places(options: argparse.Namespace) -> list[tuple[Card, Room]]:
    """The cards to plan for and what is free there: the one asked for, or this machine's and
    the common ones."""
    for name in ("vram", "ram"):
        value = getattr(options, name)
        if value is not None and not 0 < value < 10_000:
            raise InputError(f"--{name} {value:g} will not do: it is a number of GB, as 24.")
    main = (options.ram or MAIN_MEMORY) * GIB
    if options.vram is not None:
        near = like(options.vram * GIB)
        card = dataclasses.replace(
            near, name=f"{options.vram:g} GB, as fast as {near.name}", vram=options.vram
        )
        return [(card, card.room(main))]
    here = hardware.gpu()
    own = []
    if here is not None:
        card = dataclasses.replace(
            like(here.total, here.name), name=f"this machine's {here.name}", vram=here.total / GIB
        )
        free_main = options.ram * GIB if options.ram else hardware.free_memory()
        own = [(card, Room(here.free, free_main, *hardware.fast_dtype(here)))]
    return own + [(card, card.room(main)) for card in CARDS]


def _row(name: str, size: Shape, jobs: list[Job], card: Card, room: Room) -> dict[str, Any]:
    facts: dict[str, Any] = {"card": card.name, "vram_gb": round(card.vram, 1)}
    try:
        plan = estimate.choose(name, size, jobs[-1], room)  # the largest pictures decide
    except InputError as error:
        return facts | {"fits": False, "problem": str(error)}
    seconds = _seconds(size, jobs, plan.choice, card)
    return facts | {
        "fits": True,
        **asdict(plan.choice),
        "checkpointing": plan.choice.checkpointing(size),
        "peak_gb": round(plan.estimate.device / GIB, 1),
        "main_memory_gb": round(plan.estimate.main / GIB, 1),
        "seconds_per_step": round(seconds, 3),
        "minutes_per_1000_steps": round(seconds * 1000 / 60, 1),
        "why": plan.why,
    }


def _lines(result: dict[str, Any]) -> Iterator[str]:
    job = result["job"]
    sides = ", ".join(map(str, job["resolutions"]))
    yield (
        f"Training {result['base']} ({result['parameters'] / 1e9:.2f} billion parameters) at "
        f"{sides} px, rank {job['rank']}, batch {job['batch_size']}, {job['text_length']} text "
        "tokens:"
    )
    if result["weights"]:
        yield result["weights"]
    yield (
        f"{'card':28}{'GB':>5}{'peak':>7}{'RAM':>6}  "
        f"{'base':10}{'recomputed':24}{'encoders':10}{'offloaded':>10}{'min/1000':>10}"
    )
    why = ""
    for row in result["cards"]:
        if not row["fits"]:
            yield f"{row['card']:28}{row['vram_gb']:5g}  {row['problem']}"
            continue
        base = row["dtype"] if row["quantisation"] == "none" else row["quantisation"]
        yield (
            f"{row['card']:28}{row['vram_gb']:5g}{row['peak_gb']:7.1f}{row['main_memory_gb']:6.1f}"
            f"  {base:10}{row['checkpointing']:24}{row['encoders']:10}{row['offloaded']:10}"
            f"{row['minutes_per_1000_steps']:10.1f}"
        )
        if row["why"] != why:  # cards of one size are told why once
            why = row["why"]
            yield f"    {why}"
    for row in result["cards"]:
        if "hourly" in row:
            yield (
                f"At {row['hourly']:g} an hour a tune of {PHOTOS} photos ({row['steps']} steps) "
                f"costs {row['tune_cost']:.2f}, and a picture ({row['seconds_per_picture']:.1f} s) "
                f"{row['picture_cost']:.4f}."
            )
    yield (
        "Times are estimates: operations / (MFU x peak), from published trainings; the mean "
        "over the sizes."
    )
