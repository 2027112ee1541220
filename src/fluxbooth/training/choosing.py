"""The best checkpoint, in time: at some steps the same prompts and seeds are drawn with few steps
of sampling and scored, the checkpoint that scores best is what is kept, and training ends when
nothing gets better.

When to look follows from seconds that are measured once, and is noted in the run's folder, so that
a run that goes on looks when it would have. All else follows from the scores, which the log has.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from fluxbooth.evaluation import scoring
from fluxbooth.evaluation.scoring import Score, Scorer
from fluxbooth.generation.sampling import BATCH, draw
from fluxbooth.models.family import Conditioning, Family, moved, stack

DRAWN_IN = 8  # steps of sampling: the order of checkpoints is that of pictures drawn in 28
# pictures a look, as many as the time is there for
PICTURES = (8, 4)
FEWEST = 2  # looks, fewer leave nothing to choose from
MANY = 8  # where more pictures a look would leave fewer looks, training would go on for too long
# training steps from one look to the next are at least the first of these that there is time for:
# few numbers, so that a moment's load seldom changes which
SPACINGS = (50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200)
MEASURED = slice(5, 20)  # steps of a process: the first ones are slower
NOISE = 0.085  # of the score of one picture; eight tell three points apart, four tell four
PATIENCE = 2  # looks that find nothing better, and training ends
SEED = 1_000  # of the pictures, and one more for each: no seed of samples


@dataclass(frozen=True)
class Plan:
    """The steps after which to look, and at how many pictures each time; none of either if the
    last checkpoint is what is kept."""

    steps: tuple[int, ...]
    pictures: int

    @property
    def why(self) -> str:
        if not self.steps:
            return (
                "There is too little time for pictures to choose the best checkpoint by, so the "
                "last is kept."
            )
        return (
            f"The best of up to {len(self.steps)} checkpoints is kept, by {self.pictures} pictures "
            "of each."
        )


class Look(NamedTuple):
    """What was found after a step, each 0 to 1 as in `scoring.Score`."""

    step: int
    value: float
    identity: float
    prompt: float | None


def possible(steps: int, share: float) -> bool:
    """Whether so many training steps, of whose time pictures may take a share, can have looks."""
    return share > 0 and steps >= FEWEST * SPACINGS[0]


def planned(steps: int, share: float, step: float, picture: float) -> Plan:
    """When to look, from the seconds that a training step and a picture with its score take: evenly
    apart, the last step among them, so that at every moment pictures have taken at most `share` of
    the training's time."""
    for enough in (MANY, FEWEST):
        for pictures in PICTURES:
            least = pictures * picture / (share * step)
            spacing = next((one for one in SPACINGS if one >= least), steps + 1)
            count = steps // spacing
            if count >= enough:
                at = tuple(round(steps * i / count) for i in range(1, count + 1))
                return Plan(at, pictures)
    return Plan((), 0)


def best(looks: Sequence[Look], pictures: int) -> Look | None:
    """The first that no later one is better than by more than the noise of so many pictures: a
    later one is less sharp, and the best of many looks owes some of its score to luck."""
    found, better = None, NOISE / math.sqrt(pictures)
    for look in looks:
        if found is None or look.value > found.value + better:
            found = look
    return found


def is_over(looks: Sequence[Look], pictures: int) -> bool:
    """Whether the last `PATIENCE` looks found nothing better."""
    found = best(looks, pictures)
    return found is not None and len(looks) - 1 - looks.index(found) >= PATIENCE


class Chooser:
    """What a run draws and scores on its way."""

    def __init__(
        self, family: Family, scorer: Scorer, texts: Sequence[Conditioning], note: Path
    ) -> None:
        """`texts` are those of `texts_of`, encoded; `note` is the file that keeps the plan."""
        self.family, self.scorer, self.texts, self.note = family, scorer, texts, note
        self.plan: Plan | None = None
        self.looks, self._seconds = list[Look](), list[float]()

    def took(self, seconds: float) -> bool:
        """Notes what a training step took; whether that was the last to be measured."""
        self._seconds.append(seconds)
        return len(self._seconds) == MEASURED.stop

    def measure(self, steps: int, share: float) -> None:
        """Draws a first time, in half the steps, scores that, and plans by it."""
        count = min(PICTURES[0], self._together)
        self._draw(count, 1)  # what a first picture alone takes is no measure
        began = time.monotonic()
        pictures = self._draw(count, DRAWN_IN // 2)
        drawn = time.monotonic()
        self.scorer.score(pictures, range(count))
        picture = (2 * (drawn - began) + time.monotonic() - drawn) / count
        step = statistics.median(self._seconds[MEASURED])
        plan = planned(steps, share, step, picture)
        self.note.write_text(json.dumps(asdict(plan)))

    def read_plan(self) -> Plan | None:
        """The plan that was noted, if one was."""
        if self.note.exists():
            plan = json.loads(self.note.read_text())
            self.plan = Plan(tuple(plan["steps"]), plan["pictures"])
        return self.plan

    def is_due(self, step: int) -> bool:
        return self.plan is not None and step in self.plan.steps

    @property
    def best(self) -> Look | None:
        return best(self.looks, self.plan.pictures) if self.plan and self.looks else None

    @property
    def is_over(self) -> bool:
        return self.plan is not None and is_over(self.looks, self.plan.pictures)

    def look(
        self, step: int, aside: Callable[[], None], leave: Callable[[], None]
    ) -> tuple[list[Image.Image], Score]:
        """What the first prompts look like now, and how good that is. `leave` is called between
        steps of drawing, and may raise to end it."""
        assert self.plan is not None
        count = self.plan.pictures
        pictures = self._draw(count, DRAWN_IN, aside, leave)
        score = self.scorer.score(pictures, range(count))
        self.looks.append(Look(step, score.value, score.identity, score.prompt))
        return pictures, score

    @property
    def _together(self) -> int:
        """How many pictures are denoised at once."""
        return BATCH if self.family.row.small else 1

    def _draw(
        self,
        count: int,
        steps: int,
        aside: Callable[[], None] = lambda: None,
        leave: Callable[[], None] = lambda: None,
    ) -> list[Image.Image]:
        """The first so many prompts, one picture each; `aside` is called before those that are
        drawn together."""
        row, found = self.family.row, list[Image.Image]()
        for start in range(0, count, self._together):
            aside()
            numbers = range(start, min(count, start + self._together))
            texts = stack([self.texts[number] for number in numbers])
            found += draw(
                self.family,
                moved(texts, self.family.device),
                [SEED + number for number in numbers],
                (row.native_side, row.native_side),
                steps,
                row.guidance or 0.0,
                look=leave,
            )
        return found


def texts_of(trigger: str) -> list[str]:
    """What is drawn, as many as a look takes at most."""
    return scoring.texts(trigger)[: PICTURES[0]]
