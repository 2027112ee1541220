"""The report of a training as one HTML file in its folder: what was chosen and why, its curves,
what its checkpoints drew, its recipe, and how to use the LoRA. Nothing is fetched."""

from __future__ import annotations

import html
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from fluxbooth.evaluation.contact_sheet import GREY, INK, document, inlined, table
from fluxbooth.evaluation.scoring import PROMPTS
from fluxbooth.events import LoggedEvent, Scored
from fluxbooth.files import write_whole
from fluxbooth.photos.inspection import Photo
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec

NAME = "report.html"
PHOTOS, SIDE = 12, 192  # photos that are shown, and pixels of a picture's longer side
WIDTH, HEIGHT, PAD = 640, 160, 24  # of a curve
POINTS = 100  # of a curve at most, each the mean of its steps
COLOURS = (INK, "#b3541e", "#2f6f4f")
Curve = Sequence[tuple[float, float]]


def write(
    folder: Path,
    photos: Sequence[Photo],
    shown: Callable[[Path], bool] = lambda path: True,
) -> None:
    """Of a training that is done, from its spec and log; pictures that are not to be `shown` are
    left out."""
    spec = ResolvedTrainSpec.read(tomllib.loads((folder / "spec.toml").read_text()))
    events: list[LoggedEvent] = [
        json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()
    ]
    write_whole(folder / NAME, page(events, photos, spec, shown).encode())


def page(
    events: Sequence[LoggedEvent],
    photos: Sequence[Photo],
    spec: ResolvedTrainSpec,
    shown: Callable[[Path], bool],
) -> str:
    scored = [event for event in events if event["event"] == "scored"]
    title = f"Training of {spec.trigger}"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(verdict(events, spec))}</p>",
        _pictures(scored, photos, spec, shown),
        _curves(events, scored),
        f'<div class="wide">{table("Recipe", ("setting", "value"), _recipe(spec))}</div>',
        _use(spec),
    ]
    return document(title, "\n".join(parts))


def verdict(events: Sequence[LoggedEvent], spec: ResolvedTrainSpec) -> str:
    """What came of it, in plain words."""
    done = max((event["step"] for event in events if event["event"] == "step"), default=0)
    scored = [event for event in events if event["event"] == "scored"]
    if not scored:
        planned = [event["text"] for event in events if event["event"] == "choosing"]
        why = planned[-1] if planned else "Its checkpoints were not judged: the last is kept."
        return f"{done} steps were trained. {why}"
    best = next(event for event in scored if event["step"] == scored[-1]["best"])
    seconds = sum(event["seconds"] for event in scored)
    said = [
        f"The LoRA is of step {best['step']}, the best of {len(scored)} checkpoints: its pictures "
        f"are {best['identity']:.0%} like the photos"
        + (f" and show {best['prompt']:.0%} of their prompts" if best["prompt"] is not None else "")
        + "."
    ]
    if done < spec.steps:
        said.append(
            f"Training ended after {done} of {spec.steps} steps, for nothing got better any more."
        )
    elif best["step"] < done:
        said.append(f"All {done} steps were trained; later checkpoints were no better.")
    if best["identity"] < 0.75:
        said.append("That is little: use more, and more different, photos, or train longer.")
    if best["prompt"] is not None and best["prompt"] < 0.75:
        said.append("Prompts are followed poorly: try fewer steps or a lower learning rate.")
    if best["variety"] < 1:
        said.append(f"{1 - best['variety']:.0%} of the pictures copy a photo or one another.")
    return " ".join([*said, f"Judging them took {seconds:.0f} seconds."])


def _pictures(
    scored: Sequence[Scored],
    photos: Sequence[Photo],
    spec: ResolvedTrainSpec,
    shown: Callable[[Path], bool],
) -> str:
    small = "".join(
        f'<img class="photo" src="{inlined(Image.fromarray(photo.pixels), SIDE)}" alt="a photo">'
        for photo in photos[:PHOTOS]
    )
    found = f"<h2>Photos</h2><p>{small}</p>"
    if not scored:
        return found
    heads = "".join(
        f"<th>{html.escape(words)}</th>" for words, _ in PROMPTS[: len(scored[0]["pictures"])]
    )
    rows = "".join(
        f"<tr{' class=best' if event['step'] == scored[-1]['best'] else ''}>"
        f"<th>step {event['step']}<br>{_figures(event)}</th>"
        + "".join(f"<td>{_picture(Path(path), shown)}</td>" for path in event["pictures"])
        + "</tr>"
        for event in scored
    )
    return (
        f"{found}<h2>What each checkpoint drew</h2><p>{html.escape(spec.trigger)} ..., always with "
        "the same seeds; quick sketches, which later pictures are finer than. The one that is kept "
        f'is marked.</p><div class="wide"><table class="grid"><tr><th></th>{heads}</tr>{rows}'
        "</table></div>"
    )


def _figures(event: Scored) -> str:
    prompt = "" if event["prompt"] is None else f", prompt {event['prompt']:.0%}"
    return f"<small>likeness {event['identity']:.0%}{prompt}</small>"


def _picture(path: Path, shown: Callable[[Path], bool]) -> str:
    if not path.exists() or not shown(path):
        return "not shown"
    with Image.open(path) as picture:
        return f'<img src="{inlined(picture, SIDE)}" alt="a picture of this checkpoint">'


def _curves(events: Sequence[LoggedEvent], scored: Sequence[Scored]) -> str:
    losses = [(float(event["step"]), event["loss"]) for event in events if event["event"] == "step"]
    found = f"<h2>Loss</h2>{_svg({'loss': _thinned(losses)})}" if losses else ""
    if len(scored) > 1:
        curves = {
            "likeness": [(float(event["step"]), event["identity"]) for event in scored],
            "prompt": [
                (float(event["step"]), event["prompt"])
                for event in scored
                if event["prompt"] is not None
            ],
        }
        found += f"<h2>Likeness and prompt</h2>{_svg(curves)}"
    return found


def _thinned(points: Curve) -> Curve:
    size = -(-len(points) // POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _svg(curves: Mapping[str, Curve]) -> str:
    """Lines over steps, with the least and the largest value beside them."""
    every = [point for curve in curves.values() for point in curve]
    low, high = min(y for _, y in every), max(y for _, y in every)
    first, last = min(x for x, _ in every), max(x for x, _ in every)

    def place(x: float, y: float) -> str:
        across = (x - first) / ((last - first) or 1)
        up = (y - low) / ((high - low) or 1)
        return (
            f"{PAD + across * (WIDTH - 2 * PAD):.1f},{HEIGHT - PAD - up * (HEIGHT - 2 * PAD):.1f}"
        )

    lines = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
        f'points="{" ".join(place(x, y) for x, y in curve)}"/>'
        for colour, curve in zip(COLOURS, curves.values(), strict=False)
        if curve
    )
    key = " ".join(
        f'<span style="color:{colour}">&#9632; {name}</span>'
        for colour, name in zip(COLOURS, curves, strict=False)
    )
    label = html.escape(f"{', '.join(curves)} by step, from {low:.3g} to {high:.3g}")
    return (
        f'<p>{key}</p><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" '
        f'style="width:100%;max-width:{WIDTH}px">{lines}<g font-size="12" fill="{GREY}">'
        f'<text x="0" y="14">{high:.3g}</text><text x="0" y="{HEIGHT - 4}">{low:.3g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">step {last:.0f}</text></g></svg>'
    )


def _recipe(spec: ResolvedTrainSpec) -> list[tuple[str, str]]:
    """What makes the weights; where files lie is nobody's business."""
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for name, value in spec.model_dump().items()
        if name in TrainSpec.model_fields and name not in ("continue_from", "trackers", "base")
        if value not in (None, ())
    ]


def _use(spec: ResolvedTrainSpec) -> str:
    command = f'fluxbooth generate "{spec.trigger} at the beach" --lora ohwx.safetensors'
    return (
        f"<h2>How to use it</h2><p>Say “{html.escape(spec.trigger)}” for the subject.</p>"
        f"<pre>{html.escape(command)}</pre><p>In diffusers: "
        '<code>pipeline.load_lora_weights("ohwx.safetensors")</code>. For ComfyUI: '
        "<code>fluxbooth lora convert</code>. Other checkpoints lie in <code>stages</code>.</p>"
    )
