"""A small OpenAI-compatible server on the loopback that answers as a test says, however oddly."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lamdagent.testing import fake_chat

Body = dict[str, Any]
Answer = Callable[[Body], tuple[int, Any]]
"""The status and what is sent: text as it is, everything else as JSON."""


@dataclass(frozen=True)
class HungUp:
    """What is sent before the connection is cut, in the middle of the answer."""

    sent: str = '{"id": "x", "choices": [{"mess'


@dataclass
class BadServer:
    """What was asked, and how it is answered from now on."""

    answer: Answer
    port: int = 0
    asked: list[Body] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def bad_server(answer: Answer) -> Iterator[BadServer]:
    """A server until the block ends."""
    server = BadServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append(body)
            server.keys.append(self.headers["Authorization"])
            status, sent = server.answer(body) if self.path == "/v1/chat/completions" else (404, "no such page")
            hung_up = isinstance(sent, HungUp)
            sent = sent.sent if isinstance(sent, HungUp) else sent
            data = (sent if isinstance(sent, str) else json.dumps(sent)).encode() + b" " * (100 if hung_up else 0)
            data, announced = (data[:-100] if hung_up else data), len(data)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(sent, str) else "application/json")
            self.send_header("Content-Length", str(announced))
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # nobody may listen any more
                self.wfile.write(data)
            self.close_connection = True

        def log_message(self, *args: Any) -> None:
            """Nothing is printed."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = web.server_address[1]
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()


def completion(content: str | None, *, finish: str | None = "stop", **more: Any) -> Body:
    """A chat completion; `more` replaces its keys, `usage=None` among them."""
    message = {"role": "assistant", "content": content}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320},
        **more,
    }


def fitting(body: Body) -> str:
    """JSON that fits what is asked for, by the schema of a response format or a tool, or as in words."""
    if "response_format" in body:
        schema = body["response_format"]["json_schema"]["schema"]
    elif "tools" in body:
        schema = body["tools"][0]["function"]["parameters"]
    else:
        schema = json.loads(body["messages"][-1]["content"].rpartition("Its JSON schema:\n")[2])
    return json.dumps(fake_chat.fitting(schema, json.dumps(body["messages"])))
