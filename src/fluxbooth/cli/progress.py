"""Progress of a command: a bar on a terminal, a line now and then elsewhere, JSON lines for
programs."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Literal, Self

from fluxbooth.events import JsonEvent, Scored

Style = Literal["auto", "json", "none"]
STEPS = {"super_resolution": "Enlarging", "outpaint": "Drawing on"}
LINE_EVERY = 5.0  # seconds between lines where there is no terminal


def _scored(event: Scored) -> str:
    """`likeness 91, prompt 95 at step 150; best so far`, in hundredths."""
    figures = [("likeness", event["identity"]), ("prompt", event["prompt"])]
    said = ", ".join(f"{name} {value * 100:.0f}" for name, value in figures if value is not None)
    best = event["best"]
    rank = "best so far" if best == event["step"] else f"step {best} is kept so far"
    return f"{said} at step {event['step']}; {rank}"


class Display:
    """Called with every event of a training or generation; a context manager, so that the bar
    is always closed."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._bar: Any = None
        self._task: Any = None
        self._last_line = 0.0
        self._losses: list[float] = []
        self._plan = ""

    def __enter__(self) -> Self:
        if self._style == "auto" and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str | None) -> None:
        """Shows a line; None is nothing to say."""
        if text is None or self._style == "none":
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def __call__(self, event: JsonEvent) -> None:
        if self._style == "json":
            print(json.dumps(event), flush=True)
        if event["event"] == "step":
            self._losses = [*self._losses[-49:], event["loss"]]
            loss = sum(self._losses) / len(self._losses)
            self._show(
                "Training",
                event["step"],
                event["steps"],
                f"loss {loss:.4f}, {event['steps_per_second']:.1f} steps/s",
                event["seconds_left"],
            )
        elif event["event"] == "enhancing":
            what = STEPS.get(event["step"], "Drawing anew")
            self._show(what, event["done"], event["of"], "", event["seconds_left"])
        elif event["event"] == "picture":
            self._show("Pictures", event["done"], event["of"], "", None)
        elif event["event"] == "plan" and event["why"] != self._plan:
            self._plan = event["why"]
            self.note(f"Memory: {self._plan}")
        elif event["event"] == "prepared":
            resumed = f", resuming at step {event['resumed_at']}" if event["resumed_at"] else ""
            self.note(f"{event['pictures']} photos, {event['steps']} steps{resumed}.")
        elif event["event"] == "warning":
            self.note(f"Warning: {event['text']}")
        elif event["event"] == "phase":
            self.note(event["text"])
        elif event["event"] == "advice":
            for advice in event["advice"]:
                self.note(f"Advice: {advice['message']}")
        elif event["event"] == "choosing":
            self.note(event["text"])
        elif event["event"] == "scored":
            self.note(_scored(event))
        elif event["event"] == "sample":
            self.note(f"Sample: {event['path']}")

    def _show(self, what: str, done: int, of: int, facts: str, seconds_left: float | None) -> None:
        if self._style == "none":
            return
        if self._bar is not None:
            if self._task is None or self._bar.tasks[self._task].description != what:
                self._task = self._bar.add_task(what, total=of, facts=facts)
            self._bar.update(self._task, completed=done, facts=facts)
        elif time.monotonic() - self._last_line >= LINE_EVERY or done == of:
            self._last_line = time.monotonic()
            left = f", {seconds_left:.0f} s left" if seconds_left else ""
            print(
                f"{what} {done}/{of}{', ' + facts if facts else ''}{left}",
                file=sys.stderr,
                flush=True,
            )
