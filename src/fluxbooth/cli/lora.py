"""`fluxbooth lora`: what is in a LoRA file, and other formats of it."""

from __future__ import annotations

import argparse
import sys

from fluxbooth.types import Json


def lora_info(options: argparse.Namespace) -> Json:
    from fluxbooth.lora import file as lora_file

    facts = lora_file.read(options.file).describe()
    if not options.json:
        for name, value in facts.items():
            if name not in ("spec", "metadata"):
                print(f"{name}: {value}")
        for group in ("spec", "metadata"):
            for name, value in facts[group].items():
                print(f"{group}.{name}: {value}")
    return facts


def lora_convert(options: argparse.Namespace) -> Json:
    from fluxbooth.lora.convert import convert  # loads torch

    done = convert(options.file, options.result, options.to)
    for name in done["left_out"]:
        print(f"Left out {name}: LoRAs of text encoders are not converted.", file=sys.stderr)
    if not options.json:
        print(f"{done['path']}: {done['format']}, rank {done['rank']}, {done['layers']} layers")
    return done
