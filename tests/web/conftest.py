from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.service.conftest import own_server, receiver
from tests.support.server import Json, Server
from tests.support.visitors import browser, link

__all__ = ["own_server", "receiver"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for every test of the web app that leaves it in order; themes are put together
    by the composer."""
    server = Server(
        tmp_path_factory.mktemp("web") / "data",
        theme_composer="true",
        lora_download="true",
        checkpoints="2",
    )
    server.environment["HF_HUB_OFFLINE"] = "1"
    with server:
        yield server


@pytest.fixture(scope="session")
def drawn(server: Server) -> Json:
    """A trained tune of the owner, for all tests that only look: one prompt of two pictures,
    another of one."""
    tune = server.new_tune("Robin", prompts=2, callback="http://127.0.0.1:9/nobody-listens")
    server.finished_tune(tune["id"])
    for prompt in tune["prompts"]:
        server.finished_prompt(prompt["id"])
    return tune


@pytest.fixture
def owner(server: Server) -> httpx.Client:
    client = browser(server)
    assert client.get(link(server)).headers["location"] == "/app"
    return client


@pytest.fixture
def stranger(server: Server) -> httpx.Client:
    """Somebody else, with an account of his own."""
    client = browser(server)
    assert client.get(link(server, "stranger")).status_code == 303
    return client
