"""The process of a device, which owns a base: work in over a pipe, progress and files out. The only
door from the service to the tensors.

One JSON object a line. In: `{"id": 7, "work": "train", "photos": [...], "spec": {...}, "out":
DIR}`, `{"id": 8, "work": "generate", "text": "...", "spec": {...}, "out": DIR}`, `{"cancel": 7}`.
Out: events of the work with its id, the first of them "begun", and at its end one of
`{"id": 7, "result": {...}}`, `{"id": 7, "failed": "one sentence"}`, `{"id": 7, "full": true}` where
the disk had no room for what it made, `{"id": 7, "cancelled": true}`, `{"id": 8, "waits": "one
sentence"}` of a picture that cannot be drawn beside the training under way. Every second
`{"alive": true}`, whatever the work does meanwhile (`liveness.py`).

The base stays in memory from one piece of work to the next. They are done one after another, but
that a training stands aside for pictures that come meanwhile (`sharing.py`). A cancel is Ctrl-C: a
training writes a checkpoint and stops after the step under way. It dies with its parent, for nobody
else would ever free the device.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from fluxbooth import events, hardware, library_logging, log
from fluxbooth.engine import liveness
from fluxbooth.engine.sharing import Share, Waits
from fluxbooth.errors import DoesNotFit, FluxboothError
from fluxbooth.events import DeviceEvent
from fluxbooth.files import is_full, write_whole
from fluxbooth.process_lifetime import KILL, die_with_parent
from fluxbooth.types import Json

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from fluxbooth.events import DrawingEvent, PlainFile
    from fluxbooth.generation.picture import Picture
    from fluxbooth.lora.inference import AdapterCache
    from fluxbooth.models.family import Family
    from fluxbooth.specs import GenerateSpec, TrainSpec

Tell = Callable[[DeviceEvent], None]
NONE = 0  # the number of no work
RESULT = "result.json"
NOTHING = ("", "", "", "", "")  # is in memory
OTHER_BASE = (
    "The device trains with its base kept otherwise than this picture needs it, so the picture is "
    "drawn after that training."
)
NO_ROOM = (
    "The device has no memory for this picture beside the training under way, so the picture is "
    "drawn after it."
)
NO_MEMORY = (
    "The memory of the server's GPU ran out: use smaller pictures, or tell its operator, who can "
    "close other programs on that GPU."
)
UNWRITABLE = "The server could not write its files: its operator can see why."


class DeviceProcess:
    def __init__(self, replies: TextIO) -> None:
        self.replies, self.kept, self.to_train = replies, NOTHING, False
        # the pipe has two writers: the work, and what says every second that we live
        self.telling = threading.Lock()
        self.requests, self.later = SimpleQueue[Json](), deque[Json]()
        # numbers of what is begun, a training before the picture that it stands aside for
        self.under_way: list[int] = []
        self.cancelled, self.interrupted = set[int](), NONE
        self.switching = threading.Lock()  # held while `under_way` changes, and while it is asked
        self.share = Share()
        self.family: Family | None = None
        self.cache: AdapterCache | None = None

    @property
    def beside_a_training(self) -> bool:
        return len(self.under_way) > 1

    def resident(self, spec: TrainSpec | GenerateSpec, *, training: bool = False) -> Family:
        """The base in memory, kept as the spec wants it; another one leaves memory first, for
        there is room for one. Where a base is trained on other weights than it draws with, one
        network takes the other's place, and what is beside it stays.

        Raises Waits where a training is under way that needs it as it is.
        """
        from fluxbooth.models import loader, planner, registry

        kept = (spec.base, spec.dtype, spec.quantisation, spec.encoders, str(spec.offload_blocks))
        to_train = training and registry.find(spec.base).pair
        if self.family is not None and (self.kept, self.to_train) == (kept, to_train):
            return self.family
        if self.beside_a_training:
            raise Waits(OTHER_BASE)
        if self.family is not None and self.kept == kept:
            choice, parts = self.family.choice, self.family.parts()
            self.family = None  # its network leaves memory before the other comes
            hardware.release_memory()
        else:
            self.family = self.cache = None  # what lies there was made for the base that leaves
            hardware.release_memory()
            choice, parts = planner.resident(spec), None
        family = loader.load(spec.base, training=training, choice=choice, parts=parts)
        family.load_network()
        # only what arrived whole is there for the next work
        self.family, self.kept, self.to_train = family, kept, to_train
        return family

    def serve(self) -> NoReturn:
        while True:
            self.do(self.later.popleft() if self.later else self.requests.get())
            hardware.release_card()

    def do(self, request: Json) -> None:
        """Does a piece of work and tells its end."""
        number, depth = request["id"], len(self.under_way)
        before = signal.signal(signal.SIGINT, self.interrupt)
        try:
            try:
                self._begin(number)
                tell: Tell = lambda event: self.tell({"id": number, **event})  # noqa: E731
                end: Json = {"result": WORK[request["work"]](self, request, tell)}
            finally:
                self._leave(depth)
        except KeyboardInterrupt:
            end = {"cancelled": True}
        except Waits as reason:
            end = {"waits": str(reason)}
        except (FluxboothError, OSError) as error:
            end = _fault(error)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if depth == 0:  # part of the base may not have arrived; a training's own stays
                self.family = self.cache = None
                self.kept = NOTHING
            end = {"failed": NO_MEMORY}
        with self.switching:
            del self.under_way[depth:]  # an interrupt may have come before this was done above
            self.tell({"id": number, **end})
            signal.signal(signal.SIGINT, before)
            self.cancelled.discard(number)
            if self.under_way and self.under_way[-1] in self.cancelled:
                self._interrupt()  # its cancel came meanwhile

    def _begin(self, number: int) -> None:
        with self.switching:
            self.under_way.append(number)
            if number in self.cancelled:
                raise KeyboardInterrupt
        self.tell({"id": number, "event": "begun"})

    def _leave(self, depth: int) -> None:
        """From here on nothing interrupts the work that is done."""
        with self.switching:
            del self.under_way[depth:]

    def aside(self) -> None:
        """A training has come to where it can stand aside: what waits is drawn, as far as the
        training's share allows, and the base is the plain one meanwhile."""
        import torch

        from fluxbooth.lora import training as lora_training

        self.share.trained()
        while self.share.is_pictures and (request := self._next_drawing()) is not None:
            assert self.family is not None
            with lora_training.branches_off(self.family), torch.no_grad():
                hardware.release_card()  # what no step needs now counts as free
                self.do(request)
            self.share.drew()

    def _next_drawing(self) -> Json | None:
        while not self.requests.empty():
            self.later.append(self.requests.get())
        found = next((one for one in self.later if one["work"] == "generate"), None)
        if found is not None:
            self.later.remove(found)
        return found

    def cancel(self, number: int) -> None:
        """Ends that work, now or once it would begin; a training that stands aside ends after the
        picture that it stands aside for."""
        with self.switching:
            self.cancelled.add(number)
            if self.under_way and self.under_way[-1] == number:
                self._interrupt()

    def _interrupt(self) -> None:
        self.interrupted = self.under_way[-1]
        _interrupt_main()

    def interrupt(self, *_: Any) -> None:
        """The handler of SIGINT: ends the work that it was meant for, if that is still under
        way."""
        if self.under_way and self.under_way[-1] == self.interrupted:
            raise KeyboardInterrupt

    def listen(self) -> None:
        """Reads the pipe beside the work, so that a cancel is heard at once.

        Its end is the end of everything.
        """
        for line in sys.stdin:
            request = json.loads(line)
            if "cancel" in request:
                self.cancel(request["cancel"])
            else:
                self.requests.put(request)
        os._exit(0)

    def tell(self, message: Json) -> None:
        with self.telling:
            self.replies.write(json.dumps(message) + "\n")
            self.replies.flush()


def _interrupt_main() -> None:
    """Ctrl-C for the thread that works."""
    if sys.platform == "win32":  # where a signal to a process ends it
        _thread.interrupt_main()
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _is_out_of_memory(error: RuntimeError) -> bool:
    from fluxbooth.models import out_of_memory

    return out_of_memory.is_out_of_memory(error)


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
    work, and one that an earlier version began with settings of its own begins anew. With `look`,
    each sample is looked at for how explicit it is."""
    from fluxbooth.evaluation import likeness, run_report
    from fluxbooth.models import registry
    from fluxbooth.photos import inspection
    from fluxbooth.specs import TrainSpec
    from fluxbooth.training import run_folder
    from fluxbooth.training.loop import train

    out, spec = Path(request["out"]), TrainSpec.read(request["spec"])
    finished = out / RESULT
    if finished.exists():
        return json.loads(finished.read_text())
    # written, but not recorded: made again from the last checkpoint
    (out / "run" / "ohwx.safetensors").unlink(missing_ok=True)
    row = registry.find(spec.base)
    family = process.resident(spec, training=True)
    process.share = Share()

    def report(event: Any) -> None:
        if event["event"] == "sample" and request.get("look"):
            event = event | {"explicit": explicitness_of(Path(event["path"]))}
        tell(event)

    def done_of_run() -> Any:
        folder = out / "run"
        return train(request["photos"], spec, folder, report, family=family, aside=process.aside)

    try:
        done = done_of_run()
    except run_folder.OtherRun:  # the spec is the row's, so the defaults changed under it
        log.write("begun anew", reason="an earlier version began it with other settings")
        run_folder.forget_checkpoints(out / "run")
        done = done_of_run()
    result = done.to_json()
    process.aside()
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

    try:
        generate([request["text"]], spec, report, family=family, cache=cache)
    except DoesNotFit as error:
        if process.beside_a_training:
            raise Waits(NO_ROOM) from error
        raise
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
    die_with_parent(KILL)
    process = DeviceProcess(replies)
    signal.signal(signal.SIGINT, process.interrupt)
    threading.Thread(target=process.listen, daemon=True).start()
    liveness.tell(lambda: process.tell({"alive": True}))
    process.serve()


if __name__ == "__main__":
    work(pipe())
