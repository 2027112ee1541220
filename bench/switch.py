"""Row B3: another LoRA on a base that stays, from its file in the page cache until the next step
could begin.

Ours, read anew (mapped, as the service does, or copied) and from main memory, beside diffusers'
`load_lora_weights` and its hot-swap. The network has FLUX.1's width (1 double and 2 single blocks)
and weights that are never read, for nothing is multiplied here. How pictures a second fall as LoRAs
get more is measured on nano.
"""

from __future__ import annotations

import itertools
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import nn

from bench import bases
from fluxbooth import GenerateSpec, generate
from fluxbooth.lora.inference import AdapterCache, apply_loras
from fluxbooth.models import loader, registry
from fluxbooth.models.flux1.family import Flux1

RANK, SLOTS = 16, 8  # LoRAs that main memory is given room for when pictures are counted


def files(folder: Path, family: Any, count: int, rank: int = RANK) -> list[Path]:
    """LoRA files of one content: what is measured is their change."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.safetensors" for number in range(count)]
    tensors = {}
    for name in family.adapter_targets():
        layer: nn.Linear = family.network.get_submodule(name)
        tensors[f"transformer.{name}.lora_A.weight"] = (
            torch.randn(rank, layer.in_features, dtype=family.stored) * 0.01
        )
        tensors[f"transformer.{name}.lora_B.weight"] = (
            torch.randn(layer.out_features, rank, dtype=family.stored) * 0.01
        )
    save_file(tensors, paths[0], {"format": "pt"})
    for path in paths[1:]:
        shutil.copyfile(paths[0], path)
    return paths


def family_of_real_width(work: Path) -> Flux1:
    with torch.device("meta"):
        network = FluxTransformer2DModel(
            num_layers=1,
            num_single_layers=2,
            attention_head_dim=128,
            num_attention_heads=24,
            guidance_embeds=True,
            joint_attention_dim=192,
            pooled_projection_dim=128,
            axes_dims_rope=(16, 56, 56),
        )
    network = network.to(torch.bfloat16).to_empty(device="cpu").requires_grad_(False)
    folder = bases.nano(work)
    family = Flux1(
        registry.find(str(folder)),
        FluxPipeline.from_pretrained(folder, transformer=network, dtype=torch.bfloat16),
        torch.bfloat16,
    )
    assert family.network is network
    return family


def milliseconds(change: Callable[[Path], object], paths: Sequence[Path]) -> dict[str, float]:
    times = []
    for path in paths:
        began = time.process_time()
        change(path)
        times.append((time.process_time() - began) * 1000)
    times.sort()
    return {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99)]}


def switches(work: Path, count: int) -> dict[str, Any]:
    """Milliseconds of processor time a change; the first of each way is not counted."""
    family = family_of_real_width(work)
    paths = files(work / "switch", family, count + 1)
    for path in paths:
        path.read_bytes()
    pipeline, size = family.pipeline(), paths[0].stat().st_size
    target, source = torch.empty(size, dtype=torch.uint8), torch.ones(size, dtype=torch.uint8)
    rows: dict[str, Any] = {"LoRA, MB": size / 1e6, "loras": count}
    rows["copy in main memory"] = milliseconds(lambda _: target.copy_(source), paths)

    def wear(cache: AdapterCache) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            with apply_loras(family, [(cache.fetch(path, family), 1.0)]):
                pass

        return change

    kept, copied = (
        AdapterCache(2 * size * len(paths), mapped=True),
        AdapterCache(2 * size * len(paths)),
    )
    rows["fluxbooth, read anew"] = milliseconds(wear(kept), paths[1:])
    rows["fluxbooth, read anew into memory of its own"] = milliseconds(wear(copied), paths[1:])
    rows["fluxbooth, from main memory"] = milliseconds(wear(kept), paths[1:])
    pipeline.load_lora_weights(load_file(paths[0]), adapter_name="swapped")
    rows["diffusers hot-swap"] = milliseconds(
        lambda path: pipeline.load_lora_weights(
            load_file(path), adapter_name="swapped", hotswap=True
        ),
        paths[1:],
    )

    def load(path: Path) -> None:
        pipeline.unload_lora_weights()
        pipeline.load_lora_weights(load_file(path))

    rows["diffusers load_lora_weights"] = milliseconds(load, paths[1:])
    ours = rows["fluxbooth, read anew"]["p50"]
    rows["load_lora_weights over ours"] = rows["diffusers load_lora_weights"]["p50"] / ours
    rows["hot-swap over ours"] = rows["diffusers hot-swap"]["p50"] / ours
    return rows


def order(loras: int, pictures: int) -> Iterator[int]:
    """Which LoRA each picture wants: the more popular ones more often (Zipf)."""
    return iter(
        random.Random(0).choices(range(loras), [1 / (n + 1) for n in range(loras)], k=pictures)
    )


def pictures(work: Path, counts: Sequence[int], number: int, steps: int) -> dict[str, Any]:
    """Pictures of nano per second of processor time, of so many LoRAs with room for eight, the
    counts by turns."""
    family = loader.load("nano", dtype="float32")
    paths = files(work / "pictures", family, max(counts))
    shelves = {count: AdapterCache(most_bytes=SLOTS * paths[0].stat().st_size) for count in counts}
    wanted = {count: order(count, number + 1) for count in counts}
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _, count in itertools.product(range(number + 1), counts):
        spec = GenerateSpec(
            base="nano", steps=steps, seed=0, loras=(str(paths[next(wanted[count])]),)
        )
        began = time.process_time()
        generate(["a man at the beach"], spec, family=family, cache=shelves[count])
        times[count].append(time.process_time() - began)
    rows = {f"{count} LoRAs": 1 / statistics.median(times[count][1:]) for count in counts}
    return rows | {"last over first": rows[f"{counts[-1]} LoRAs"] / rows[f"{counts[0]} LoRAs"]}
