"""What a service does on a card, one thing after another, as plans say and with what it really
allocates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fluxbooth.hardware import Room
from fluxbooth.models import planner, registry
from fluxbooth.specs import GenerateSpec, ResolvedTrainSpec, TrainSpec
from tests.support import recording
from tests.support.card import GIB, Card, Process
from tests.support.recording import Kept

MAIN = 96 * GIB
KEPT_FREE = 0.05


@dataclass
class Life:
    """A process on a card with a base in memory.

    Attributes:
        sides: Of the pictures that are trained at.
        least_free: Of what was free before anything came, the share that was never taken.
    """

    card: Card
    sides: tuple[int, ...] = (512, 768, 1024)
    expandable: bool = True
    base: str = "flux-dev"

    def __post_init__(self) -> None:
        self.began = self.card.free
        self.process = Process(self.card, expandable=self.expandable)
        self.choice: Any = None

    @property
    def least_free(self) -> float:
        taken = self.process.allocator.peak_reserved + (self.began - self._first_free)
        return 1 - taken / self.began

    @property
    def _first_free(self) -> int:
        return self.card.free + self.process.allocator.reserved

    def room(self) -> Room:
        """As `hardware.room` has it: what is not needed is given back before."""
        self.process.allocator.empty_cache()
        return Room(self.process.told_free, MAIN, "bfloat16", "told")

    def load(self) -> None:
        """Raises InputError as a plan does."""
        self.choice = planner.resident(self._training(), self.room())
        self.process.live("base", recording.base(self.kept()))
        self.process.live("autoencoder", recording.autoencoder())
        if self.choice.encoders == "stay":
            self.process.live("encoders", recording.encoders())

    def unload(self) -> None:
        for name in ("base", "autoencoder", "encoders"):
            self.process.forget(name)
        self.choice = None

    def kept(self, checkpointed: int = 0) -> Kept:
        choice = self.choice
        return Kept(choice.quantisation, checkpointed, choice.offloaded, choice.encoders)

    def train(self, *, samples: bool = True) -> int:
        """Two steps at each size by turns, with samples between; how many blocks were recomputed.
        Raises InputError as a plan does."""
        spec = self._resolved(samples)
        plan = planner.training(spec, self.room(), there=self.choice)
        live, kept = self.process.live, self.kept(plan.choice.checkpointed)
        for side in self.sides:
            live("photo", recording.encoding(side))
        self._encoded()
        lora = recording.adapter(spec.rank)
        live("lora", lora[: len(lora) // 3])
        for turn in range(2):
            for side in self.sides:
                live("step", recording.step(side, kept, spec.rank))
                if turn == 0 and side == self.sides[0]:
                    live("lora", lora[len(lora) // 3 :])
            if samples:
                self._drawn()
        self.process.forget("lora")
        self.process.allocator.empty_cache()
        return plan.choice.checkpointed

    def draw(self) -> None:
        """Raises InputError as a plan does."""
        row = registry.find(self.base)
        planner.generation(
            GenerateSpec(base=self.base), row.native_side, self.room(), there=self.choice
        )
        self._encoded()
        self._drawn()
        self.process.allocator.empty_cache()

    def _encoded(self) -> None:
        """Texts, where the encoders come and go."""
        if self.choice.encoders == "leave":
            self.process.live("encoders", recording.encoders())
            self.process.forget("encoders")

    def _drawn(self) -> None:
        self.process.live("drawing", recording.drawing(1024, self.kept()))
        self.process.live("decoding", recording.decoding(1024))

    def _training(self) -> TrainSpec:
        return TrainSpec(class_name="man", base=self.base)

    def _resolved(self, samples: bool) -> ResolvedTrainSpec:
        spec = registry.resolve(self._training(), 10)
        update: dict[str, Any] = {"resolutions": self.sides}
        if samples:
            update["sample_prompts"] = ("ohwx man",)
        return spec.model_copy(update=update)


def story(life: Life) -> dict[str, Any]:
    """All that a service does: the base comes, two trainings and two pictures by turns, another
    base comes in its place. Whatever a plan accepts must fit (OutOfMemory is raised else)."""
    life.load()
    before = replace(life.choice)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("training", life.train),
        ("picture", life.draw),
        ("second training", life.train),
        ("second picture", life.draw),
    ]
    done = {name: work() for name, work in steps}
    life.unload()
    life.load()
    assert life.choice == before, "a base that comes back is kept otherwise"
    done["after a change of base"] = life.train()
    return done
