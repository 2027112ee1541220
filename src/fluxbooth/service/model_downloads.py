"""Bases for a person who never saw a terminal: what this machine can do with each, and their
download, by the very commands of the command line, in processes of their own: the application
itself loads no torch.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass

from fluxbooth import base_selection, process_lifetime
from fluxbooth.models import hub, licences, registry
from fluxbooth.service import commands
from fluxbooth.service.errors import NotFound
from fluxbooth.types import Json


@dataclass(frozen=True)
class BaseHere:
    """A base as it is on this machine.

    Sizes are bytes; `said` is the last that its download said.
    """

    name: str
    licence: str
    means: str
    trains: bool
    here: bool
    size: int
    arrived: int
    running: bool
    failed: bool
    said: str
    limited: bool
    """Whether its licence must be stated, and asks for a filter."""
    references: int
    address: str | None  # of its page, with the licence in full


class Pulls:
    """The downloads that this process started; they end with it, and go on from what arrived
    when they are started again."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.said: dict[str, str] = {}
        self.lock = threading.Lock()

    def start(self, name: str) -> None:
        """Begins to download a base, unless that is under way.

        NotFound for what is no base of the hub.
        """
        row = registry.BASES.get(name)
        if row is None or not row.from_hub:
            raise NotFound
        with self.lock:
            if name in self.processes and self.processes[name].poll() is None:
                return
            self.said[name] = ""
            command = [sys.executable, "-m", "fluxbooth", "models", "pull", name]
            process = subprocess.Popen(
                command,
                env=process_lifetime.environment(),
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            self.processes[name] = process
        threading.Thread(target=self._listen, args=(name, process), daemon=True).start()

    def _listen(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process:  # waits for its end
            for line in process.stderr:
                if words := line.rpartition("\r")[2].strip():
                    self.said[name] = words.removeprefix("fluxbooth: ")

    def rows(self) -> list[BaseHere]:
        shown: list[BaseHere] = []
        for row in registry.BASES.values():
            process = self.processes.get(row.name)
            code = process.poll() if process else None
            here = all(hub.local(one) for one in row.sets)
            size = base_selection.download_bytes(row)
            shown.append(
                BaseHere(
                    row.name,
                    row.licence,
                    licences.meaning(row),
                    row.trains,
                    here,
                    size,
                    size if here else min(size, hub.arrived(row)),
                    process is not None and code is None,
                    bool(code),
                    self.said.get(row.name, ""),
                    licences.is_limited(row),
                    row.references,
                    f"https://huggingface.co/{row.source}" if row.from_hub else None,
                )
            )
        return shown

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()


def machine() -> Json:
    """What `fluxbooth doctor` and `fluxbooth models` find; takes seconds, for they load torch."""
    models = commands.asked("models")
    return {"findings": commands.asked("doctor")["findings"], **models}
