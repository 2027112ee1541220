"""`fluxbooth compare`: what the folders of several trainings hold, side by side: settings that
differ, curves, and the samples of the same text and seed."""

from __future__ import annotations

import html
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fluxbooth.errors import InputError
from fluxbooth.evaluation import contact_sheet
from fluxbooth.types import Json

Curve = list[tuple[int, float]]  # step and value
# of the log: the event, and which of its numbers are curves
CURVES = {
    "step": ("loss",),
    "checkpoint": ("validation_loss",),
    "scored": ("identity", "prompt", "variety", "value"),
}
POINTS = 60  # of a curve in the page and in JSON: the means of so many stretches
COLOURS = ("#1c7ed6", "#e8590c", "#2f9e44", "#9c36b5", "#c2255c", "#5c940d")
WIDTH, HEIGHT = 420, 160  # of a curve's drawing


@dataclass(frozen=True)
class Run:
    name: str
    spec: Json
    curves: Mapping[str, Curve]
    samples: Mapping[int, Mapping[int, Path]]  # by step and number
    texts: Mapping[int, str]  # by number

    @property
    def last(self) -> Mapping[int, Path]:
        """The samples of the last step that has any."""
        return self.samples[max(self.samples)] if self.samples else {}


# of a run, its pictures and their texts
Scores = Callable[[Run, Sequence[Image.Image], Sequence[str]], Json]


def read(folder: Path) -> Run:
    """Raises InputError for what is no folder of a training."""
    log, spec = folder / "log.jsonl", folder / "spec.toml"
    if not log.is_file() or not spec.is_file():
        raise InputError(f"{folder} holds no training: name the folder that train wrote.")
    curves, texts = dict[str, Curve](), dict[int, str]()
    for event in map(json.loads, filter(None, log.read_text().splitlines())):
        for name in CURVES.get(event["event"], ()):
            if event.get(name) is not None:
                curves.setdefault(name, []).append((event["step"], event[name]))
        if event["event"] == "sample":
            texts[_number(Path(event["path"]))] = event["text"]
    samples = dict[int, dict[int, Path]]()
    for path in sorted(
        (folder / "samples").glob("step-*-*.png"), key=lambda p: (_step(p), _number(p))
    ):
        samples.setdefault(_step(path), {})[_number(path)] = path
    return Run(
        folder.name or str(folder.resolve().name),
        tomllib.loads(spec.read_text()),
        {name: _thinned(curve) for name, curve in curves.items()},
        samples,
        texts,
    )


def _step(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _number(path: Path) -> int:
    return int(path.stem.split("-")[2])


def _thinned(curve: Curve) -> Curve:
    size = -(-len(curve) // POINTS)
    parts = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def compare(runs: Sequence[Run], scores: Scores | None = None) -> Json:
    """`scores` is asked about the last samples of each run."""
    names = sorted({name for run in runs for name in run.spec})
    return {
        "differs": {
            name: [run.spec.get(name) for run in runs]
            for name in names
            if any(run.spec.get(name) != runs[0].spec.get(name) for run in runs)
        },
        "runs": [_told(run, scores) for run in runs],
    }


def _told(run: Run, scores: Scores | None) -> Json:
    told: Json = {"name": run.name, "curves": run.curves, "samples_at": list(run.samples)}
    if scores and run.last:
        pictures = [Image.open(path).convert("RGB") for path in run.last.values()]
        told["score"] = scores(run, pictures, [run.texts.get(number, "") for number in run.last])
    return told


def lines(report: Json) -> list[str]:
    """For people."""
    said = [
        f"{name}: {', '.join(str(value) for value in values)}"
        for name, values in report["differs"].items()
    ]
    for run in report["runs"]:
        ends = [f"{name} {curve[-1][1]:.4f}" for name, curve in run["curves"].items()]
        said.append(f"{run['name']}: {', '.join(ends)}")
    return said


def page(runs: Sequence[Run], report: Json, scored: Sequence[Sequence[str]] = ()) -> str:
    """One HTML file, pictures inlined; `scored` are lines on each run."""
    names = [name for kind in CURVES.values() for name in kind]
    drawn = "".join(
        f"<figure><figcaption>{name.replace('_', ' ')}</figcaption>{_plot(runs, name)}</figure>"
        for name in names
        if any(name in run.curves for run in runs)
    )
    legend = ", ".join(
        f'<span style="color:{_colour(i)}">{html.escape(run.name)}</span>'
        for i, run in enumerate(runs)
    )
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(f"<td>{html.escape(str(value))}</td>" for value in values)
        + "</tr>"
        for name, values in report["differs"].items()
    )
    heads = "".join(f"<th>{html.escape(run.name)}</th>" for run in runs)
    told = "".join(f"<td>{'<br>'.join(map(html.escape, each))}</td>" for each in scored)
    body = (
        f"<h1>{len(runs)} trainings</h1><p>{legend}</p>{drawn}<h2>Settings that differ</h2>"
        f"<table><tr><th></th>{heads}</tr>{rows}"
        + (f"<tr><th>the last samples</th>{told}</tr>" if told else "")
        + f"</table>{_samples(runs)}"
    )
    return contact_sheet.document("Trainings compared", body)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _plot(runs: Sequence[Run], name: str) -> str:
    curves = [run.curves.get(name, []) for run in runs]
    points = [point for curve in curves for point in curve]
    steps, values = [step for step, _ in points], [value for _, value in points]
    low, high = min(values), max(values)
    span, last = (high - low) or 1.0, max(*steps, 1)

    def line(number: int, curve: Curve) -> str:
        at = " ".join(
            f"{WIDTH * step / last:.1f},{HEIGHT * (1 - (value - low) / span):.1f}"
            for step, value in curve
        )
        return f'<polyline points="{at}" fill="none" stroke="{_colour(number)}" stroke-width="2"/>'

    return (
        f'<svg viewBox="-2 -2 {WIDTH + 4} {HEIGHT + 4}" role="img" aria-label="{name}">'
        + "".join(line(i, curve) for i, curve in enumerate(curves) if curve)
        + f"</svg><small>{low:.4f} to {high:.4f}, {last} steps</small>"
    )


def _samples(runs: Sequence[Run]) -> str:
    """A row a text, a picture a run: the last of each."""
    found = []
    for text in dict.fromkeys(text for run in runs for text in run.texts.values()):
        pictures = "".join(
            f'<img class="photo" src="{contact_sheet.inlined(Image.open(path))}" '
            f'alt="{html.escape(run.name)}">'
            for run in runs
            for number, path in run.last.items()
            if run.texts.get(number) == text
        )
        found.append(f"<p>{html.escape(text)}</p><p>{pictures}</p>")
    return f"<h2>Samples</h2>{''.join(found)}" if found else ""
