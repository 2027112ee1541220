"""Something that speaks the Messages API on a socket of its own, and says what tests tell it to."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], Json]


def said(answer: Any, stop: str = "end_turn") -> Answer:
    """Text, or an object as the JSON that it is asked for."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    usage = {"input_tokens": 1, "output_tokens": 1}
    content = [{"type": "text", "text": text}] if text else []
    return (
        200,
        {},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage,
        },
    )


class Claude:
    """Gives the answers it was told to, in turn; one that is None never comes."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.asked: list[tuple[dict[str, str], Json]] = []
        self.over = threading.Event()
        claude = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                claude.asked.append(
                    ({k.lower(): v for k, v in self.headers.items()} | {"path": self.path}, body)
                )
                answer = claude.answers.pop(0)
                if answer is None:
                    claude.over.wait()
                    return
                status, headers, said = answer
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tell(self, *answers: Answer | None) -> None:
        self.answers, self.asked = list(answers), []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
