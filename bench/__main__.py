"""Training and switching measured on this machine, beside the peers: `make bench`, or `python -m
bench ROW ...`.

A speed here is a ratio within one run: the arms work by turns, so that whatever else the machine
does falls on all of them. bench/README.md says what each row is and where the peers' scripts come
from; without one, its part of a row says "skipped".
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import machine, report
from fluxbooth.hardware import fast_dtype

Arguments = argparse.Namespace


def peer(arguments: Arguments) -> Any:
    from bench.steps import Peer

    return (
        Peer(arguments.diffusers.resolve(), arguments.peer_packages)
        if arguments.diffusers
        else None
    )


def b1n(arguments: Arguments) -> Any:
    from bench import steps

    settings = steps.nano(arguments.work, arguments.dtype)
    count = 2 if arguments.quick else 5
    return steps.compare(
        settings, peer(arguments), slices=arguments.rounds, steps=count, threads=arguments.threads
    )


def curve(arguments: Arguments) -> Any:
    from bench import curve, steps

    settings = steps.nano(arguments.work, arguments.dtype)
    return curve.row(
        settings, peer(arguments), steps=40 if arguments.quick else 200, threads=arguments.threads
    )


def b1(arguments: Arguments) -> Any:
    from bench import steps

    quick, threads = arguments.quick, arguments.threads
    settings = steps.real_width(
        arguments.work, *((128, 64) if quick else (512, 512)), arguments.dtype
    )
    # of one step each: ten losses are compared, and one that takes seconds is as long as the
    # machine makes it
    slices = arguments.rounds if quick else max(9, arguments.rounds)
    row = steps.compare(
        settings, peer(arguments), slices=slices, steps=2 if quick else 1, threads=threads
    )
    needed = steps.flops(1, 2, 3072, settings.text + (settings.side // 16) ** 2)
    peak = max(row["gemm before, GFLOP/s"], row["gemm after, GFLOP/s"]) * 1e9
    return row | {
        "share of the GEMM peak": needed
        * threads
        / row["fluxbooth"]["cpu seconds"]["median"]
        / peak
    }


def b1s(arguments: Arguments) -> Any:
    from bench import steps

    settings = steps.real_encoder(arguments.work, 512, 512, arguments.dtype)
    return steps.compare(settings, peer(arguments), slices=2, steps=1, threads=arguments.threads)


def b2(arguments: Arguments) -> Any:
    from bench import start

    return start.seconds(
        arguments.work,
        peer(arguments),
        2 if arguments.quick else arguments.rounds,
        arguments.threads,
        arguments.dtype,
    )


def b3(arguments: Arguments) -> Any:
    from bench import switch

    quick, work = arguments.quick, arguments.work
    return {
        "switch, cpu ms": switch.switches(work, 20 if quick else 200),
        "pictures per cpu second": switch.pictures(
            work, (1, 8, 64), 6 if quick else 60, 2 if quick else 8
        ),
    }


def b4(arguments: Arguments) -> Any:
    from bench import service

    return service.figures(("idle", "busy"))


def b5(arguments: Arguments) -> Any:
    from bench import jobs

    return jobs.rows([100, 10_000] if arguments.quick else [100, 1_000, 10_000, 100_000])


def b6(arguments: Arguments) -> Any:
    from bench import growth

    if arguments.quick:
        return growth.rows(sides=(128, 256, 384), batches=(1, 2, 4), ranks=(4, 32, 128), rounds=2)
    return growth.rows(
        sides=(256, 512, 768, 1024), batches=(1, 2, 4, 8), ranks=(4, 16, 64, 128), rounds=5
    )


def nano(arguments: Arguments) -> Any:
    from bench import nano

    return nano.rows()


# how each row is measured; torch is loaded only for those that are asked for
ROWS: dict[str, Callable[[Arguments], Any]] = {
    "B1n": b1n, "curve": curve, "B1": b1, "B1s": b1s, "B2": b2, "B3": b3, "B4": b4, "B5": b5,
    "B6": b6, "nano": nano,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all without one"
    )
    parser.add_argument(
        "--diffusers", type=Path, metavar="SCRIPT", help="diffusers' train_dreambooth_lora_flux.py"
    )
    parser.add_argument(
        "--peer-packages",
        type=Path,
        metavar="DIR",
        help="packages that only the peer needs: torchvision",
    )
    parser.add_argument("--threads", type=int, default=2, help="of each arm")
    parser.add_argument(
        "--dtype",
        choices=("bfloat16", "float32"),
        default=fast_dtype(None)[0],
        help="of the training steps (default: bfloat16 where the processor multiplies it; elsewhere it is emulated, thirty times slower)",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="counted slices of each arm (default: 5)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer tokens and repeats, for a busy machine; such rows are marked",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "fluxbooth-bench",
        help="where bases are made and kept",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="keep the numbers here; rows of earlier runs in it stay",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="keep the rows of --json in bench/results, and write docs/benchmarks.md and its plot",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}: use {', '.join(ROWS)}")
    if arguments.page and not arguments.json:
        parser.error("--page needs --json FILE")
    arguments.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = (
        json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    )
    for name in arguments.rows or ([] if arguments.page else ROWS):
        found[name] = {
            "machine": machine.described(arguments.threads),
            "quick": arguments.quick,
            "row": ROWS[name](arguments),
        }
        print(json.dumps({name: found[name]}, indent=1), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.page:
        report.write(found)


if __name__ == "__main__":
    main()
