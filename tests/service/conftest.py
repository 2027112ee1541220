from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxbooth.service import opening
from fluxbooth.service.db import database
from fluxbooth.service.files.signed_urls import Signer
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.service.transitions import Transitions
from tests.support.claude import Claude
from tests.support.installation import Installation
from tests.support.postgresql import PostgreSQL
from tests.support.server import Receiver, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every test that leaves it in order."""
    with Server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server to be killed."""
    with Server(tmp_path / "data") as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


# what is run once more on PostgreSQL
ON_BOTH = ("test_idempotency", "test_fair")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.module.__name__.rpartition(".")[2]
    if "installation" in metafunc.fixturenames and name in ON_BOTH:
        databases = ["sqlite", "postgresql"]
        metafunc.parametrize("installation", databases, indirect=True, scope="module")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server that is started where a test needs one."""
    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(scope="module")
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The rows half alone, in this process: no server, no engine."""
    elsewhere = getattr(request, "param", "sqlite") == "postgresql"
    settings = read_settings(
        data=tmp_path_factory.mktemp("installation") / "data",
        base="nano",
        private_network=True,
        database_url=request.getfixturevalue("postgresql").new() if elsewhere else None,
    )
    database, sign = opening.opened(settings), Signer(b"secret", settings.url)
    jobs = JobEngine(settings, sign)
    yield Installation(settings, Transitions(settings, database, Store(settings.data), jobs))
    jobs.close()
    database.close()


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of the newest schema, to be copied."""
    settings = Settings(data=tmp_path_factory.mktemp("blank") / "data")
    settings.data.mkdir()
    database.migrate(settings)
    return settings.database


@pytest.fixture(scope="module")
def claude() -> Iterator[Claude]:
    """A local server that speaks the Messages API."""
    claude = Claude()
    yield claude
    claude.close()
