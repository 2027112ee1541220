"""`fluxbooth lora`: what is in a LoRA file, and other formats of it."""

from __future__ import annotations

import argparse
import sys

from fluxbooth.cli import output
from fluxbooth.types import Json


def lora_info(options: argparse.Namespace) -> Json:
    from fluxbooth.lora import file as lora_file

    facts = lora_file.read(options.file).describe()
    groups = ("spec", "metadata")
    lines = [f"{name}: {value}" for name, value in facts.items() if name not in groups]
    lines += [
        f"{group}.{name}: {value}" for group in groups for name, value in facts[group].items()
    ]
    output.show(options, lines)
    return facts


def lora_convert(options: argparse.Namespace) -> Json:
    from fluxbooth.lora.convert import convert  # loads torch

    done = convert(options.file, options.result, options.to)
    for name in done["left_out"]:
        print(f"Left out {name}: LoRAs of text encoders are not converted.", file=sys.stderr)
    facts = f"{done['format']}, rank {done['rank']}, {done['layers']} layers"
    output.show(options, [f"{done['path']}: {facts}"])
    return done
