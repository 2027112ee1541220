"""`fluxbooth models` and `models pull`: bases that are on this machine or fit it, their licences,
and the download of one that is missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from fluxbooth import base_selection, hardware
from fluxbooth.cli import output
from fluxbooth.cli.options import complete_bases, verbs
from fluxbooth.cli.output import output_flags
from fluxbooth.errors import InputError
from fluxbooth.hardware import Room
from fluxbooth.models import hub, planner, registry
from fluxbooth.models.base import Base
from fluxbooth.models.licences import meaning, notice
from fluxbooth.specs import GenerateSpec, TrainSpec
from fluxbooth.types import Json

Chosen = TypeVar("Chosen")


def offered(choose: Callable[[], Chosen]) -> Chosen:
    """What `choose` chooses; if that base is not here yet it is offered to a person at a terminal,
    and chosen once it is.

    Raises InputError with the command where nobody is there, or says no.
    """
    try:
        return choose()
    except base_selection.NotHereError as missing:
        if not _pulled(missing.row):
            raise
        return choose()


def _pulled(row: Base) -> bool:
    """Whether somebody was there to say yes, and it was downloaded."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(
        (
            f"This machine has a GPU, but {row.name} is not on it ({row.licence}; "
            f"{base_selection.size(row)} to download)."
        ),
        file=sys.stderr,
    )
    print("Pull it now? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        return False
    hub.pull(row, lambda text: print(text, file=sys.stderr))
    return True


def list_command(options: argparse.Namespace) -> Json:
    """`fluxbooth models`: one row a base."""
    room = hardware.room()
    rows = [_row(base, room) for base in registry.BASES.values()]
    which = base_selection.which()
    output.show(options, [*(line for row in rows for line in _lines(row)), *which])
    return {"models": rows, "which": which}


def _lines(row: Json) -> Iterator[str]:
    yield (
        f"{row['name']:19}{row['native']:13}{'here' if row['here'] else 'not here':10}"
        f"{row['licence']}: {row['licence_means']}"
    )
    yield from (f"    {use}: {row[use]}" for use in ("train", "generate"))
    missing = not row["here"]
    if row["trains"] and row["train_source"] != row["source"]:
        missing |= not row["train_here"]
        where = "here" if row["train_here"] else "not here"
        yield f"    trained on: {row['train_source']}, {where}"
    if missing:
        yield f"    fluxbooth models pull {row['name']}"


def pull_command(options: argparse.Namespace) -> Json:
    """`fluxbooth models pull BASE`."""
    row = registry.find(options.base)
    said = notice(row)
    if said:
        print(said, file=sys.stderr)
    else:
        print(f"{row.name}: {row.licence}, {meaning(row)}.", file=sys.stderr)
    pulled = hub.pull(row, lambda text: print(text, file=sys.stderr, flush=True))
    uses = ("", " to train on")
    here = (
        f"{row.name}{use} is here, {one.files} files verified: {one.folder}"
        for use, one in zip(uses, pulled, strict=False)
    )
    output.show(options, here)
    return (
        {"name": row.name}
        | _facts(pulled[0])
        | {"to_train": None if len(pulled) == 1 else _facts(pulled[1])}
    )


def _facts(pulled: hub.Pulled) -> Json:
    return {
        "folder": str(pulled.folder),
        "revision": pulled.revision,
        "files": pulled.files,
        "bytes": pulled.downloaded,
    }


def flags(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=list_command)
    output_flags(parser)
    below = verbs(parser, needed=False)
    help_text = "download a base's weights into the Hugging Face cache, and verify them"
    verb = below.add_parser("pull", help=help_text, description=help_text)
    complete_bases(verb.add_argument("base", metavar="BASE", help="a name from `fluxbooth models`"))
    output_flags(verb)
    kept = "What has arrived is kept. The same command goes on from there."
    verb.set_defaults(run=pull_command, interrupted=kept)


def _row(base: Base, room: Room) -> Json:
    folder, to_train = hub.local(base), hub.local(base.to_train)
    return {
        "name": base.name,
        "licence": base.licence,
        "licence_means": meaning(base),
        "native": f"{base.native_side} x {base.native_side}",
        "trains": base.trains,
        "source": base.source,
        "revision": hub.pinned(base) if folder is None else hub.commit_of(base, folder),
        "here": folder is not None,
        "folder": None if folder is None else str(folder),
        "train_source": base.train_source,
        "train_here": to_train is not None,
        "train_folder": None if to_train is None else str(to_train),
        "train": _fits(base, room, training=True)
        if base.trains
        else f"not possible: its LoRAs come from {registry.trained_instead_of(base).name}",
        "generate": _fits(base, room, training=False),
    }


def _fits(base: Base, room: Room, *, training: bool) -> str:
    """The plan's line for this machine, or why there is none."""
    try:
        if training:
            return planner.training(
                registry.resolve(TrainSpec(class_name="man", base=base.name), 1), room
            ).why
        return planner.generation(GenerateSpec(base=base.name), base.native_side, room).why
    except InputError as error:
        return str(error)
