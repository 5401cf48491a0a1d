"""A real tiny model behind the completions and chat protocols, computed by plain transformers, one text at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from endpoints.server import Answer, Request

CHAT = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


@dataclass
class ModelServer:
    """A script for ``endpoints.server.serve``.

    Attributes:
        echo: whether it can score the text it is sent; where not, ``echo`` is passed over in silence.
        most_listed: most tokens that it lists; None for a server that knows no log-probabilities.
        counts: whether it counts tokens.
        context: most tokens of prompt and completion.
        content_style: log-probabilities of completions in the layout of the chat API.
        bare_pieces: tokens are shown without the space in front.
        first: called before anything else; an answer that it gives is sent instead.
    """

    model: Any
    tokenizer: Any
    echo: bool = True
    most_listed: int | None = 20
    counts: bool = True
    context: int = 2048
    content_style: bool = False
    bare_pieces: bool = False
    first: Callable[[int, Request], Answer | None] = lambda number, request: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, number: int, request: Request) -> Answer:
        odd = self.first(number, request)
        if odd is not None:
            return odd
        body = request.body
        chat = request.path.endswith("/chat/completions")
        if chat:
            text = self.tokenizer.apply_chat_template(body["messages"], chat_template=CHAT, tokenize=False)
        else:
            text = body["prompt"]
        ids = self.tokenizer(text)["input_ids"]
        room = body.get("max_tokens", 16)
        if len(ids) + room > self.context:
            return failure(400, f"This model's maximum context length is {self.context} tokens. You sent {len(ids)}.")
        asked = (body.get("top_logprobs") if chat else body.get("logprobs")) or 0
        if self.most_listed is not None and asked > self.most_listed:
            return failure(400, f"logprobs must be at most {self.most_listed}")
        with self.lock, torch.no_grad():
            before = self.log_probs(ids)
            made, steps = self.greedy(ids, before[-1], room)
        written = self.tokenizer.decode(made, skip_special_tokens=True)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if made[-1:] == [2] else "length"}
        if chat:
            choice["message"] = {"role": "assistant", "content": written}
            if body.get("logprobs") and self.most_listed is not None:
                choice["logprobs"] = self.as_content(made, steps, asked)
        else:
            echoed = body.get("echo") and self.echo
            choice["text"] = (text if echoed else "") + written
            choice["logprobs"] = None
            if asked and self.most_listed is not None:
                choice["logprobs"] = self.as_lists(ids if echoed else [], before, made, steps, asked)
                if self.content_style:
                    choice["logprobs"] = self.as_content(made, steps, asked)
        value: dict[str, Any] = {"id": f"r{number}", "choices": [choice]}
        if self.counts:
            value["usage"] = {"prompt_tokens": len(ids), "completion_tokens": len(made)}
        return Answer(json.dumps(value))

    def greedy(self, ids: list[int], row: torch.Tensor, room: int) -> tuple[list[int], list[torch.Tensor]]:
        """Generated tokens, and the log-probabilities of the whole vocabulary at each of them."""
        made: list[int] = []
        steps = []
        while len(made) < room:
            steps.append(row)
            made.append(int(row.argmax()))
            if made[-1] == self.tokenizer.eos_token_id:
                break
            if len(made) < room:
                row = self.log_probs(ids + made)[-1]
        return made, steps

    def log_probs(self, ids: list[int]) -> torch.Tensor:
        return self.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)

    def piece(self, token: int) -> str:
        text = self.tokenizer.decode([token])
        return text.removeprefix(" ") if self.bare_pieces else text

    def as_lists(
        self, ids: list[int], before: torch.Tensor, made: list[int], steps: list[torch.Tensor], top: int
    ) -> dict[str, Any]:
        values: list[float | None] = [None for _ in ids[:1]]
        values += [float(before[i - 1, ids[i]]) for i in range(1, len(ids))]
        values += [float(row[token]) for row, token in zip(steps, made, strict=True)]
        tops: list[Any] = [None] * len(ids)
        for row in steps:
            best = row.topk(top)
            tops.append({self.piece(int(i)): float(v) for v, i in zip(best.values, best.indices, strict=True)})
        return {"tokens": [self.piece(i) for i in ids + made], "token_logprobs": values, "top_logprobs": tops}

    def as_content(self, made: list[int], steps: list[torch.Tensor], top: int) -> dict[str, Any]:
        rows = []
        for row, token in zip(steps, made, strict=True):
            best = row.topk(top)
            listed = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            rows.append(
                {
                    "token": self.piece(token),
                    "logprob": float(row[token]),
                    "top_logprobs": [{"token": self.piece(i), "logprob": v} for i, v in listed],
                }
            )
        return {"content": rows}


def failure(status: int, message: str, **headers: str) -> Answer:
    """An error as OpenAI writes it."""
    return Answer(json.dumps({"error": {"message": message, "code": status}}), status, headers)
