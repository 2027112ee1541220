"""What a training, a drawing and a verification tell on their way: a dict per event, which its
`event` names.

`JsonEvent` is what `--progress json` prints and people are shown, `LoggedEvent` a line of a run's
log, `DeviceEvent` what goes from a device process to the engine; `to_json` makes them of what a
drawing tells in memory.
"""

# no postponed annotations: they would hide NotRequired from the types' own lists of keys
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Literal, NotRequired, TypedDict, TypeVar

from fluxbooth.hardware import Dtype
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Encoders, Quantisation
from fluxbooth.prompts.language import Advice
from fluxbooth.types import Json

if TYPE_CHECKING:
    from fluxbooth.generation.picture import Picture

T = TypeVar("T")


class Plan(TypedDict):
    """What is given up to fit the memory there is; fields as of `memory.estimate.Choice`."""

    event: Literal["plan"]
    why: str
    dtype: Dtype
    quantisation: Quantisation
    checkpointed: int
    encoders: Encoders
    offloaded: int
    stored: Dtype | None


class Begun(TypedDict):
    """A device process has begun a piece of work."""

    event: Literal["begun"]


class Prepared(TypedDict):
    """Photos are encoded; steps begin."""

    event: Literal["prepared"]
    pictures: int
    steps: int
    resumed_at: int  # steps done by an interrupted process; 0: none
    captions: dict[str, str]  # written for photos without one, by the photo's file name
    spec: Json


class WarningGiven(TypedDict):
    """A sentence on photos and captions (step 0), or on the losses."""

    event: Literal["warning"]
    step: int
    text: str


class Step(TypedDict):
    event: Literal["step"]
    step: int
    steps: int
    loss: float
    learning_rate: float
    steps_per_second: float
    seconds_left: float


class CheckpointSaved(TypedDict):
    event: Literal["checkpoint"]
    step: int
    path: str
    seconds: float  # that writing it took
    validation_loss: NotRequired[float]  # not of a training that was asked to leave


class StageSaved(TypedDict):
    """The LoRA was written as it is at this step."""

    event: Literal["stage"]
    step: int
    path: str


class SampleDrawn(TypedDict):
    event: Literal["sample"]
    step: int
    path: str
    text: str
    explicit: NotRequired[float]  # how explicit it is, where that is asked


class Choosing(TypedDict):
    """When the pictures are drawn by which the best checkpoint is chosen, or why none are."""

    event: Literal["choosing"]
    step: int
    at: list[int]  # steps; none: the last checkpoint is kept
    pictures: int  # each time
    text: str


class Scored(TypedDict):
    """The pictures of a checkpoint were drawn and scored, each figure 0 to 1; None: it cannot be
    told."""

    event: Literal["scored"]
    step: int
    identity: float
    prompt: float | None
    variety: float
    value: float  # all in one, by which is chosen
    best: int  # step of the best so far
    pictures: list[str]  # their files
    seconds: float  # that this took


class PictureFile(TypedDict):
    """A picture that the command line wrote."""

    path: str
    seed: int
    width: int
    height: int
    text: str


class PlainFile(TypedDict):
    """A picture for the service, in a file that carries no recipe."""

    path: str
    seed: int
    width: int
    height: int
    recipe: Json
    explicit: NotRequired[float]  # how much it looks so, from 0 to 1, if anybody asked


class PictureDone(TypedDict, Generic[T]):
    """`pictures` were drawn just now: `done` of all that are wanted."""

    event: Literal["picture"]
    done: int
    of: int
    pictures: list[T]


class Enhancing(TypedDict):
    """How far a step is that follows a picture and takes long: tiles of it, or windows times
    steps."""

    event: Literal["enhancing"]
    step: str  # as the picture's metadata calls it
    done: int
    of: int
    seconds_left: float


class AdviceGiven(TypedDict, Generic[T]):
    """On the texts, before anything is drawn; once more before pictures of one colour."""

    event: Literal["advice"]
    advice: list[T]


class Phase(TypedDict):
    """What begins now, or how it failed."""

    event: Literal["phase"]
    text: str


LoggedEvent = (  # lines of a run's log.jsonl
    WarningGiven | Step | CheckpointSaved | StageSaved | SampleDrawn | Choosing | Scored
)
TrainingEvent = Plan | Prepared | LoggedEvent
DrawingEvent = Plan | Enhancing | AdviceGiven[Advice] | PictureDone["Picture"]
Event = TrainingEvent | DrawingEvent
JsonEvent = TrainingEvent | Enhancing | AdviceGiven[Json] | PictureDone[PictureFile] | Phase
DeviceEvent = Begun | TrainingEvent | Enhancing | AdviceGiven[Json] | PictureDone[PlainFile]

Report = Callable[[JsonEvent], None]
TrainingReport = Callable[[TrainingEvent], None]
DrawingReport = Callable[[DrawingEvent], None]


def plan(chosen: estimate.Plan) -> Plan:
    """The event that tells of a plan."""
    choice = chosen.choice
    return {
        "event": "plan",
        "why": chosen.why,
        "dtype": choice.dtype,
        "quantisation": choice.quantisation,
        "checkpointed": choice.checkpointed,
        "encoders": choice.encoders,
        "offloaded": choice.offloaded,
        "stored": choice.stored,
    }


def to_json(
    event: DrawingEvent, written: "Callable[[list[Picture]], list[T]]"
) -> Plan | Enhancing | AdviceGiven[Json] | PictureDone[T]:
    """A drawing's event as JSON can hold it; `written` writes pictures and says what became of
    each."""
    if event["event"] == "picture":
        files = written(event["pictures"])
        return {"event": "picture", "done": event["done"], "of": event["of"], "pictures": files}
    if event["event"] == "advice":
        return {"event": "advice", "advice": [advice.to_json() for advice in event["advice"]]}
    return event
