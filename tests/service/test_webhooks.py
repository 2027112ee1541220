"""Callbacks as a receiver sees them, over real sockets."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from fluxbooth import retry_after
from fluxbooth.errors import InputError
from fluxbooth.service.outgoing.fetch import FetchRules
from fluxbooth.service.outgoing.webhooks import ATTEMPTS, delay, deliver, new_secret, signed_headers
from tests.service.test_fetch import Internet, no_connection
from tests.support.servers import Server, response, serving

BODY = b'{"tune":{"id":1,"title":"Zo\xc3\xab"}}'


def own(server: Server, **rules: Any) -> FetchRules:
    return FetchRules(**{"allow_private": True, "ports": frozenset({server.port}), **rules})


def test_signatures_are_those_of_the_published_vector() -> None:
    headers = signed_headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_new_secrets_sign() -> None:
    secret = new_secret()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(key) == 32
    assert secret != new_secret()
    expected = hmac.new(key, b"msg_1.7." + BODY, hashlib.sha256).digest()
    assert (
        signed_headers([secret], "msg_1", 7, BODY)["webhook-signature"]
        == "v1," + base64.b64encode(expected).decode()
    )


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_not base64", "whsec_abc", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_é"],
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(InputError, match="whsec_"):
        signed_headers([secret], "msg_1", 7, BODY)


def test_ten_attempts_spread_over_three_days() -> None:
    for seed in range(50):
        waits = [delay(attempt, random.Random(seed)) for attempt in range(1, ATTEMPTS + 1)]
        assert waits[0] == 0
        assert waits == sorted(waits)
        assert 0.9 * 72 * 3600 < sum(waits) < 1.1 * 76 * 3600
    rng = random.Random(0)
    assert len({delay(5, rng) for _ in range(50)}) == 50
    for attempt in (0, ATTEMPTS + 1):
        with pytest.raises(ValueError, match="no attempt"):
            delay(attempt, rng)


def test_a_callback_arrives_as_it_was_signed() -> None:
    headers = signed_headers([new_secret()], "msg_1", 1700000000, BODY)
    with serving(response(200, b"thanks")) as server:
        delivery = deliver(f"{server.url}/hook", BODY, headers, own(server))
    assert (delivery.delivered, delivery.status, delivery.error, delivery.answer) == (
        True,
        200,
        None,
        "thanks",
    )
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert body == BODY
    assert lines[0] == "POST /hook HTTP/1.1"
    assert {
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
        *(f"{k}: {v}" for k, v in headers.items()),
    } <= set(lines)


@pytest.mark.parametrize(
    "query",
    [
        "?user_id=1&webhook_secret=a%2Bb%7e",
        '?a="x"|{y}[0]\'&&=;%zz+~/:@!$?b',
        "?",
        "?next=http://a/b?c",
        "",
    ],
)
def test_query_strings_are_untouched(query: str) -> None:
    with serving(response(204)) as server:
        assert deliver(f"{server.url}{query}", BODY, {}, own(server)).delivered
    assert server.requests[0].split(b" ")[1].decode() == f"/{query}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_failures(status: int) -> None:
    with serving(response(200)) as other, serving(response(status, location=other.url)) as server:
        delivery = deliver(
            server.url, BODY, {}, own(server, ports=frozenset({server.port, other.port}))
        )
    assert (delivery.delivered, delivery.status) == (False, status)
    assert "redirects" in str(delivery.error)
    assert other.connections == 0


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
def test_a_refusal_is_told(status: int) -> None:
    with serving(response(status, b"no \xff", retry_after="120")) as server:
        delivery = deliver(server.url, BODY, {}, own(server))
    assert (delivery.delivered, delivery.status, delivery.answer, delivery.retry_after) == (
        False,
        status,
        "no \ufffd",
        120,
    )
    assert str(status) in str(delivery.error)


@pytest.mark.parametrize("value", ["-1", "9" * 30, "soon", "Fri, 99 Dec 1999", ""])
def test_other_forms_of_retry_after_are_left_alone(value: str) -> None:
    with serving(response(503, retry_after=value)) as server:
        assert deliver(server.url, BODY, {}, own(server)).retry_after is None


def test_retry_after_may_be_a_date() -> None:
    noon = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
    assert retry_after.seconds("Tue, 24 Nov 2026 12:02:00 GMT", noon) == 120
    assert retry_after.seconds("Tue, 24 Nov 2026 14:02:00 +0200", noon) == 120
    assert retry_after.seconds("Fri, 31 Dec 1999 23:59:59 GMT", noon) == 0
    with serving(response(503, retry_after="Fri, 31 Dec 2100 23:59:59 GMT")) as server:
        told = deliver(server.url, BODY, {}, own(server)).retry_after
    assert told is not None and told > 365 * 86_400


def test_an_endless_answer_is_read_to_four_kilobytes() -> None:
    def endless(server: Server, connection: socket.socket) -> None:
        connection.sendall(response(200, transfer_encoding="chunked"))
        server.drip(connection, b"5dc\r\n" + b"y" * 1500 + b"\r\n", every=0)

    with serving(endless) as server:
        delivery = deliver(server.url, BODY, {}, own(server))
    assert delivery.delivered
    assert delivery.answer == "y" * 4096


def test_a_status_counts_even_if_the_answer_never_ends() -> None:
    def hang(server: Server, connection: socket.socket) -> None:
        connection.sendall(response(200, b"ok", content_length="100"))
        server.over.wait()

    def hang_up(server: Server, connection: socket.socket) -> None:
        connection.sendall(response(200, b"ok", content_length="100"))

    for answer in (hang, hang_up):
        with serving(answer) as server:
            delivery = deliver(server.url, BODY, {}, own(server, seconds=0.5))
        assert (delivery.delivered, delivery.answer) == (True, "ok")


def test_a_receiver_that_never_answers_ends_at_the_deadline() -> None:
    def silence(server: Server, connection: socket.socket) -> None:
        server.over.wait()

    with serving(silence) as server:
        delivery = deliver(server.url, BODY, {}, own(server, seconds=0.3))
    assert (delivery.status, delivery.delivered) == (None, False)
    assert "took longer than 0.3 seconds" in str(delivery.error)


def test_fifteen_seconds_are_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(response(500)) as server:
        internet = Internet(server)
        given: list[float] = []

        def note(address: tuple[str, int], timeout: float) -> socket.socket:
            given.append(timeout)
            return internet(address, timeout)

        monkeypatch.setattr(socket, "create_connection", note)
        deliver(server.url, BODY, {}, own(server, seconds=3600.0))
    assert 0 < given[0] <= 15


@pytest.mark.parametrize("answer", [b"", b"what?", b"HTTP/1.1 999"])
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    with serving(answer) as server:
        delivery = deliver(server.url, BODY, {}, own(server))
    assert (delivery.status, delivery.delivered) == (None, False)
    assert "broke off" in str(delivery.error)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest",
        "http://x.test:25/",
        "file:///etc/passwd",
        "nonsense",
    ],
)
def test_callbacks_go_to_public_addresses_only(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(socket, "create_connection", no_connection)
    delivery = deliver(url, BODY, {})
    assert delivery.status is None
    assert delivery.error
    assert delivery.reason


def test_a_receiver_that_reads_slowly_ends_at_the_deadline(tmp_path: Path) -> None:
    # accepts into its backlog and never reads
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rules = FetchRules(
            allow_private=True, ports=frozenset({listener.getsockname()[1]}), seconds=0.3
        )
        delivery = deliver(
            f"http://127.0.0.1:{listener.getsockname()[1]}/", b"x" * 50_000_000, {}, rules
        )
    assert "took longer" in str(delivery.error)
