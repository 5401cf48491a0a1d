"""A local endpoint that speaks the chat-completions protocol, and misbehaves on request.

A script decides what each request gets: ``script(number, request) -> Answer``; requests are counted by model.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """One response. ``cut_at`` sends that many bytes of the body and closes; ``hang`` waits before the body."""

    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut_at: int | None = None
    hang: float = 0.0
    hang_at: int = 0


@dataclass
class Request:
    """What the server was sent."""

    body: dict[str, Any]
    headers: dict[str, str]
    time: float
    path: str


Script = Callable[[int, Request], Answer]


class Endpoint:
    """The running server: its address and every request it saw."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}/v1"
        self.requests: list[Request] = []
        self.open = 0
        self.most_open = 0

    def of(self, model: str) -> list[Request]:
        return [request for request in self.requests if request.body["model"] == model]


@contextmanager
def serve(script: Script):
    """Run the endpoint until the block ends."""
    counts: dict[str, int] = defaultdict(int)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            request = Request(body, {k.lower(): v for k, v in self.headers.items()}, time.monotonic(), self.path)
            with lock:
                endpoint.requests.append(request)
                number = counts[body["model"]]
                counts[body["model"]] += 1
                endpoint.open += 1
                endpoint.most_open = max(endpoint.open, endpoint.most_open)
            try:
                self._send(script(number, request))
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                with lock:
                    endpoint.open -= 1

        def _send(self, answer: Answer) -> None:
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            if answer.hang and not answer.hang_at:
                time.sleep(answer.hang)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: answer.hang_at or answer.cut_at])
            self.wfile.flush()
            if answer.hang_at:
                time.sleep(answer.hang)
            if answer.cut_at is not None or answer.hang_at:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint = Endpoint(server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def completion(content: str, tokens: tuple[int, int] | None = (100, 50), finish: str = "stop", id: str = "r") -> str:
    """A whole chat completion."""
    value: dict[str, Any] = {
        "id": id,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}],
    }
    if tokens:
        value["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return json.dumps(value)


def templates(texts: list[str]) -> str:
    """What a well-behaved model writes."""
    return json.dumps({"templates": texts})


def stream(content: str, size: int = 40, usage: bool = True) -> str:
    """A completion as server-sent events."""
    events: list[Any] = [{"id": "s1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    events += [
        {"id": "s1", "choices": [{"index": 0, "delta": {"content": content[at : at + size]}}]}
        for at in range(0, len(content), size)
    ]
    events.append({"id": "s1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        events.append({"id": "s1", "choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 50}})
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


FAST = {"retry_wait": 0.02, "strategies": ["zero-shot"]}


def dealing(pool: list[str], size: int = 10):
    """A script that gives ``size`` templates of the pool to each request of a model, one after the other."""

    def script(number, request):
        offset = 40 * (int(request.body["model"][1:]) - 1) + size * number
        return Answer(completion(templates(pool[offset : offset + size])))

    return script


def first_then(first: Answer, pool: list[str], size: int = 10):
    """A script that answers once with ``first``, then behaves."""
    return lambda number, request: first if number == 0 else Answer(completion(templates(pool[:size])))
