"""An endpoint without a model behind it, to try ``paft prompts generate`` without a key or money.

    python examples/stand_in_server.py --task piqa --port 8765

It speaks the chat-completions protocol and deals out templates of the grammar, each model its own: most replies are
JSON, some come as a numbered list or in a fence, some are cut short, one request in six is told to wait (429), and
one template in eight lacks a slot or repeats another. What it says about tokens is a count of characters / 4.
"""

from __future__ import annotations

import argparse
import json
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from paft import load_task
from paft.prompts.generation.grammar import grammar_templates


class Model:
    """A stream of templates that is this model's own."""

    def __init__(self, name: str, task: str) -> None:
        self.task = load_task(task)
        self.rng = random.Random(name)
        self.stream = grammar_templates(self.task, self.rng.randrange(10**6))
        self.sent: list[str] = []

    def write(self, count: int) -> str:
        """``count`` templates as this model would write them, faults included."""
        texts = []
        for _ in range(count):
            text = next(self.stream, self.sent[-1] if self.sent else "")
            if self.rng.random() < 1 / 16:
                text = text.replace(f"{{{next(iter(self.task.slots))}}}", "")
            elif self.sent and self.rng.random() < 1 / 16:
                text = self.rng.choice(self.sent)
            texts.append(text)
        self.sent += texts
        manner = self.rng.choice(("json", "json", "fence", "list"))
        if manner == "list":
            return "\n".join(f"{place}. {text}" for place, text in enumerate(texts, start=1))
        written = json.dumps({"templates": texts}, ensure_ascii=False)
        return f"Sure!\n```json\n{written}\n```" if manner == "fence" else written


def serve(task: str, port: int) -> ThreadingHTTPServer:
    """The server, ready for ``serve_forever``."""
    models: dict[str, Model] = {}
    lock, rng = Lock(), random.Random(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = request["messages"][-1]["content"]
            with lock:
                if rng.random() < 1 / 6:
                    self.answer(429, {"error": {"message": "one moment"}}, {"Retry-After": "1"})
                    return
                model = models.setdefault(request["model"], Model(request["model"], task))
                words = asked.rsplit("Write ", 1)[1].split()
                written = model.write(int(words[0]) if words[0].isdigit() else 1)
            limit = 4 * request.get("max_tokens", 4096)
            tokens = {"prompt_tokens": len(asked) // 4, "completion_tokens": min(limit, len(written)) // 4}
            message = {"role": "assistant", "content": written[:limit]}
            finish = "length" if len(written) > limit else "stop"
            choice = {"index": 0, "message": message, "finish_reason": finish}
            self.answer(200, {"id": f"stand-in-{rng.randrange(16**8):08x}", "choices": [choice], "usage": tokens})

        def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            for name, said in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, said)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="piqa", help="catalogue name or task YAML")
    parser.add_argument("--port", type=int, default=8765)
    given = parser.parse_args()
    print(f"http://127.0.0.1:{given.port}/v1", flush=True)
    serve(given.task, given.port).serve_forever()
