"""`fluxbooth ARGUMENTS` in processes of their own, forked by a server that has imported what
would take each of them seconds."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fluxbooth.engine import fork_server

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([*fork_server.NEEDED, __name__])


def _main(
    out: Connection,
    errors: str,
    arguments: list[str],
    largest_file: int | None,
    environment: dict[str, str],
) -> None:
    from fluxbooth.cli.main import main

    os.environ.update(environment)
    os.dup2(out.fileno(), 1)
    os.dup2(os.open(errors, os.O_WRONLY), 2)
    out.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.exit(main(arguments))


class Command:
    """A run of the command line.

    With `largest_file`, on a "disk" that takes only so many bytes a file; `environment` is added to
    ours.
    """

    def __init__(
        self, *arguments: object, largest_file: int | None = None, **environment: str
    ) -> None:
        ours, theirs = FORKS.Pipe(duplex=False)
        number, errors = tempfile.mkstemp()
        os.close(number)
        self._errors = Path(errors)
        self._process = FORKS.Process(
            target=_main, args=(theirs, errors, [*map(str, arguments)], largest_file, environment)
        )
        self._process.start()
        theirs.close()
        self._out = os.fdopen(os.dup(ours.fileno()), "r")
        ours.close()

    def rows(self) -> Iterator[dict[str, Any]]:
        """The JSON lines on standard output, as they come."""
        return map(json.loads, self._out)

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def finish(self) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, negative for a signal; the rest of standard output; standard error."""
        rest = [*self.rows()]
        self._process.join()
        self._out.close()
        said = self._errors.read_text()
        self._errors.unlink()
        assert self._process.exitcode is not None
        return self._process.exitcode, rest, said
