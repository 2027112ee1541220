"""The process of a device, which owns a base: work in over a pipe, progress and files out. The only
door from the service to the tensors.

One JSON object a line. In: `{"id": 7, "work": "train", "photos": [...], "spec": {...}, "out":
DIR}`, `{"id": 8, "work": "generate", "text": "...", "spec": {...}, "out": DIR}`, `{"cancel": 7}`.
Out: events of the work with its id, and at its end one of `{"id": 7, "result": {...}}`, `{"id": 7,
"failed": "one sentence"}`, `{"id": 7, "full": true}` where the disk had no room for what it made,
`{"id": 7, "cancelled": true}`. Every second `{"alive": true}`, whatever the work does meanwhile
(`liveness.py`).

The base stays in memory from one piece of work to the next. A cancel is Ctrl-C: a training writes a
checkpoint and stops after the step under way. It dies with its parent, for nobody else would ever
free the device.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from fluxbooth import events, library_logging, log
from fluxbooth.engine import liveness
from fluxbooth.errors import FluxboothError
from fluxbooth.events import DeviceEvent
from fluxbooth.files import is_full, write_whole
from fluxbooth.process_lifetime import die_with_parent
from fluxbooth.types import Json

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from fluxbooth.events import DrawingEvent, PlainFile
    from fluxbooth.generation.picture import Picture
    from fluxbooth.lora.inference import AdapterCache
    from fluxbooth.models.family import Family
    from fluxbooth.specs import GenerateSpec, TrainSpec

Tell = Callable[[DeviceEvent], None]
RESULT = "result.json"
UNWRITABLE = "The server could not write its files: its operator can see why."


class DeviceProcess:
    def __init__(self, replies: TextIO) -> None:
        self.replies, self.kept, self.to_train = replies, ("", "", "", "", ""), False
        # the pipe has two writers: the work, and what says every second that we live
        self.telling = threading.Lock()
        self.current: int | None = None
        self.family: Family | None = None
        self.cache: AdapterCache | None = None

    def resident(self, spec: TrainSpec | GenerateSpec, *, training: bool = False) -> Family:
        """The base in memory, kept as the spec wants it; another one leaves memory first, for
        there is room for one. Where a base is trained on other weights than it draws with, one
        network takes the other's place, and what is beside it stays."""
        from fluxbooth.models import loader, planner, registry

        kept = (spec.base, spec.dtype, spec.quantisation, spec.encoders, str(spec.offload_blocks))
        to_train = training and registry.find(spec.base).pair
        if self.family is not None and (self.kept, self.to_train) == (kept, to_train):
            return self.family
        if self.family is not None and self.kept == kept:
            choice, parts = self.family.choice, self.family.parts()
            self.family = None  # its network leaves memory before the other comes
            gc.collect()
        else:
            self.family = self.cache = None  # what lies there was made for the base that leaves
            choice, parts = planner.resident(spec), None
        self.family = loader.load(spec.base, training=training, choice=choice, parts=parts)
        self.kept, self.to_train = kept, to_train
        self.family.load_network()
        return self.family

    def serve(self, requests: SimpleQueue[Json]) -> NoReturn:
        while True:
            request = requests.get()
            number = request["id"]
            try:
                with self._interruptible(number):
                    result = WORK[request["work"]](
                        self,
                        request,
                        lambda event, number=number: self.tell({"id": number, **event}),
                    )
                self.tell({"id": number, "result": result})
            except KeyboardInterrupt:
                self.tell({"id": number, "cancelled": True})
            except (FluxboothError, OSError) as error:
                self.tell({"id": number, **_fault(error)})

    @contextlib.contextmanager
    def _interruptible(self, number: int) -> Generator[None, None, None]:
        self.current = number
        try:
            yield
        finally:
            self.current = None

    def interrupt(self, *_: Any) -> None:
        """The handler of SIGINT: ends the work under way, if there is any."""
        if self.current is not None:
            raise KeyboardInterrupt

    def listen(self, requests: SimpleQueue[Json]) -> None:
        """Reads the pipe beside the work, so that a cancel is heard at once.

        Its end is the end of everything.
        """
        for line in sys.stdin:
            request = json.loads(line)
            if "cancel" not in request:
                requests.put(request)
            elif request["cancel"] == self.current:
                os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)

    def tell(self, message: Json) -> None:
        with self.telling:
            self.replies.write(json.dumps(message) + "\n")
            self.replies.flush()


def _fault(error: FluxboothError | OSError) -> Json:
    """What is told of work that could not be done. Raises what is a fault of ours."""
    if is_full(error):
        return {"full": True}
    if isinstance(error, OSError):
        raise error
    if isinstance(error.__cause__, OSError):
        log.error(error.__cause__)
        return {"failed": UNWRITABLE}  # who asked for the work has no part in where it is kept
    return {"failed": str(error)}


def train(process: DeviceProcess, request: Json, tell: Tell) -> Json:
    """Trains, or goes on where an earlier attempt stopped; a finished one answers again without
    work. With `look`, each sample is looked at for how explicit it is."""
    from fluxbooth.evaluation import likeness, run_report
    from fluxbooth.models import registry
    from fluxbooth.photos import inspection
    from fluxbooth.specs import TrainSpec
    from fluxbooth.training.loop import train

    out, spec = Path(request["out"]), TrainSpec.read(request["spec"])
    finished = out / RESULT
    if finished.exists():
        return json.loads(finished.read_text())
    # written, but not recorded: made again from the last checkpoint
    (out / "run" / "ohwx.safetensors").unlink(missing_ok=True)
    row = registry.find(spec.base)
    family = process.resident(spec, training=True)

    def report(event: Any) -> None:
        if event["event"] == "sample" and request.get("look"):
            event = event | {"explicit": explicitness_of(Path(event["path"]))}
        tell(event)

    result = train(request["photos"], spec, out / "run", report, family=family).to_json()
    if (most := request.get("hidden_from")) is not None:
        run_report.write(
            out / "run",
            inspection.read(request["photos"]),
            lambda path: explicitness_of(path) < most,
        )
    # of a training without stages looks alone have left some, and nobody asked for them
    kept = (out / "run" / "stages").glob("*.safetensors") if spec.stages else ()
    result["stages"] = [str(path) for path in sorted(kept)]
    if row.reader and spec.sample_prompts:
        samples = out / "run" / "samples"
        result["likeness"] = likeness.report(request["photos"], samples, row.reader)
    write_whole(finished, json.dumps(result).encode())
    return result


def generate(process: DeviceProcess, request: Json, tell: Tell) -> Json:
    """Draws, and writes the pictures as JPEG files `0.jpg`, `1.jpg`, ... in the folder `out`, or as
    PNG where some of it is transparent; each event "picture" tells of those written.

    `soon` names the LoRA files of the work that will probably be next: they are read meanwhile.
    With `look`, each picture is looked at for how explicit it is. The answer also has the `advice`
    that drawing alone could give.
    """
    from fluxbooth.generation.generate import PLAIN, WHILE_DRAWN, generate
    from fluxbooth.lora.inference import AdapterCache
    from fluxbooth.specs import GenerateSpec

    spec, out = GenerateSpec.read(request["spec"]), Path(request["out"])
    out.mkdir(parents=True, exist_ok=True)
    family = None if request.get("apart") else process.resident(spec)
    # the store puts whole files into place, and removes them
    cache = process.cache = process.cache or AdapterCache(mapped=True)
    rows: list[PlainFile] = []
    said: list[Json] = []

    def report(event: DrawingEvent) -> None:
        if event["event"] == "advice":  # this work has its own LoRAs by now
            for advice in event["advice"]:
                if advice.code == PLAIN:  # it is no picture, so nobody pays for it
                    raise FluxboothError(advice.message)
                if advice.code in WHILE_DRAWN:
                    said.append(advice.to_json())
            for path in request.get("soon", ()):
                with contextlib.suppress(FluxboothError):  # the work that needs it says so itself
                    if family is not None:
                        cache.expect(path, family)
        tell(
            events.to_json(
                event,
                lambda pictures: [
                    written(p, rows, out, request.get("look", False)) for p in pictures
                ],
            )
        )

    generate([request["text"]], spec, report, family=family, cache=cache)
    return {"pictures": rows, "advice": said}


def written(picture: Picture, rows: list[PlainFile], out: Path, look: bool) -> PlainFile:
    """Writes the next picture, and adds what is told of it to `rows`."""
    from fluxbooth import picture_files

    clear = picture.image.has_transparency_data
    path = out / f"{len(rows)}.{'png' if clear else 'jpg'}"
    how: Json = {} if clear else {"quality": 95, "subsampling": 0}
    how["base"] = picture_files.base_of(picture.metadata)
    picture_files.save(picture.image, path, picture_files.source_of(picture.metadata), **how)
    rows.append(
        {
            "path": str(path),
            "seed": picture.seed,
            "width": picture.width,
            "height": picture.height,
            "recipe": picture.metadata,
        }
    )
    if look:
        rows[-1]["explicit"] = explicitness(picture.image)
    return rows[-1]


def explicitness_of(path: Path) -> float:
    from PIL import Image

    with Image.open(path) as picture:
        return explicitness(picture)


def explicitness(image: PillowImage) -> float:
    import numpy as np

    from fluxbooth.photos import explicit

    return explicit.score(np.asarray(image.convert("RGB")))


WORK: dict[str, Callable[[DeviceProcess, Json, Tell], Json]] = {
    "train": train,
    "generate": generate,
}


def pipe() -> TextIO:
    """Standard output as the pipe to the engine; whatever a library prints there belongs to the
    log."""
    library_logging.quieten(whatever_was_asked=True)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def work(replies: TextIO) -> NoReturn:
    """Serves what comes over standard input until its end."""
    die_with_parent(signal.SIGKILL)
    process, requests = DeviceProcess(replies), SimpleQueue[Json]()
    signal.signal(signal.SIGINT, process.interrupt)
    threading.Thread(target=process.listen, args=(requests,), daemon=True).start()
    liveness.tell(lambda: process.tell({"alive": True}))
    process.serve(requests)


if __name__ == "__main__":
    work(pipe())
