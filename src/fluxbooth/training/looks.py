"""Looks on the way of a training: where `choosing.py` planned one, the LoRA is kept, drawn with and
scored; the best becomes the result, and the training ends when nothing gets better."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path

from fluxbooth import picture_files
from fluxbooth.evaluation.scoring import Scorer
from fluxbooth.events import LoggedEvent
from fluxbooth.files import write_whole
from fluxbooth.training import choosing, run_folder
from fluxbooth.training.choosing import Chooser, Look
from fluxbooth.training.run import Run


class Looks:
    """Those of a run; without a scorer nothing is scored, and the last checkpoint is the result."""

    def __init__(self, run: Run, scorer: Scorer | None) -> None:
        self.run, self.chooser = run, None
        self.over = False  # whether more steps would do no good
        if scorer is not None:
            texts = [run.dataset.conditioning(text) for text in choosing.texts_of(run.spec.trigger)]
            self.chooser = Chooser(run.family, scorer, texts, run.folder.path / run_folder.LOOKS)

    def took(self, seconds: float) -> None:
        """Notes what a step took; once enough of them were measured, the looks are planned."""
        if self.chooser and self.chooser.took(seconds):
            self.plan()

    @property
    def measuring(self) -> bool:
        return self.chooser is not None and self.chooser.plan is None

    def is_due(self, step: int) -> bool:
        return self.chooser is not None and self.chooser.is_due(step)

    def resume(self, done: int, events: Sequence[LoggedEvent]) -> None:
        """Goes on choosing where a process before stopped, by what it told."""
        if self.chooser is None:
            return
        scored = [event for event in events if event["event"] == "scored"]
        self.chooser.looks += [
            Look(event["step"], event["value"], event["identity"], event["prompt"])
            for event in scored
        ]
        if done:
            self.read_plan()
        if self.run.group.any(any(look.step == done for look in self.chooser.looks)):
            self.over = self.is_over()
        else:  # a kill came between checkpoint and look
            self.around(done, staged=False)

    def read_plan(self) -> choosing.Plan | None:
        """The plan that was noted; samples, if stages have any, are drawn at each look, too."""
        plan = self.chooser.read_plan() if self.chooser else None
        if plan and self.run.stages:
            self.run.stages = sorted({*self.run.stages, *plan.steps})
        return plan

    def plan(self) -> None:
        chooser = self.chooser
        assert chooser is not None

        def measure() -> None:
            with self.run.averaged():
                chooser.measure(self.run.spec.steps, self.run.spec.choose_within)

        self.run.group.on_main(measure)
        plan = self.read_plan()
        assert plan is not None
        self.run.tell(
            {
                "event": "choosing",
                "step": self.run.done,
                "at": list(plan.steps),
                "pictures": plan.pictures,
                "text": plan.why,
            }
        )

    def around(self, step: int, *, staged: bool = True) -> None:
        """Keeps the LoRA of a stage, and of a checkpoint that is scored; `staged`: not again."""
        looks = self.is_due(step)
        if (step in self.run.stages and staged) or looks:
            self.run.group.on_main(functools.partial(self.run.keep_stage, step))
        if looks:
            self.run.group.on_main(functools.partial(self.score, step))
            self.over = self.is_over()

    def is_over(self) -> bool:
        """Whether to end before the last step; all processes must ask."""
        over = self.chooser is not None and self.chooser.is_over
        return self.run.spec.stop_early and self.run.group.any(over)

    def score(self, step: int) -> None:
        """Draws and scores the pictures by which the LoRA of this step is chosen or not."""
        assert self.chooser is not None
        began = time.monotonic()
        with self.run.averaged():
            pictures, score = self.run.fitting(
                step, functools.partial(self.chooser.look, step, self.run.aside, self.run.look)
            )
        paths = list[str]()
        for number, picture in enumerate(pictures):
            paths.append(str(self.run.folder.scored(step, number)))
            picture_files.save(picture, Path(paths[-1]))
        assert self.best is not None
        self.run.tell(
            {
                "event": "scored",
                "step": step,
                "identity": score.identity,
                "prompt": score.prompt,
                "variety": score.variety,
                "value": score.value,
                "best": self.best.step,
                "pictures": paths,
                "seconds": round(time.monotonic() - began, 3),
            }
        )

    @property
    def best(self) -> Look | None:
        return choosing.best(self.chooser.looks) if self.chooser else None

    def write(self, path: Path) -> None:
        if self.best is None:
            self.run.write(path, self.run.done)
        else:
            write_whole(path, self.run.folder.stage(self.best.step).read_bytes())
