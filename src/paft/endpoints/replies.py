"""What an endpoint sent back, whole or cut: the model's text, its tokens, the id of the request.

Bodies are read here and not by the client library, because a reply that was cut in the middle has been paid for as
well, and what stands in it is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_CONTENT = re.compile(r'"(?:content|text)"\s*:\s*"((?:[^"\\]|\\.)*)', re.DOTALL)
_DANGLING = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?$")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply.

    Attributes:
        text: what the model wrote; "" where nothing can be read.
        complete: False where it was cut: by the connection or by the limit of tokens.
        request_id: the endpoint's id of it.
        prompt_tokens, completion_tokens: as the endpoint counted them; None where it did not.
        problem: why there is no text, for people; "" where there is.
    """

    text: str
    complete: bool = True
    request_id: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    problem: str = ""


def read_body(body: str) -> Reply:
    """The reply in a response body: one JSON object, server-sent events, or what is left of either."""
    text = body.strip()
    if not text:
        return Reply("", False, problem="an empty reply")
    if text.startswith(("data:", "event:", ":")):
        return _of_events(text)
    try:
        return _of_object(json.loads(text))
    except (ValueError, RecursionError):
        return _of_rest(text)


def _of_object(value: Any) -> Reply:
    choices = _field(value, "choices", list)
    if not choices:
        return Reply("", False, problem=_no_choices(value))
    message = _field(choices[0], "message", dict) or _field(choices[0], "delta", dict) or {}
    text = _text(message.get("content")) or _text(_field(choices[0], "text", str))
    finish = _field(choices[0], "finish_reason", str)
    problem = "" if text else _no_text(message, finish)
    return Reply(text, finish != "length", _field(value, "id", str), *_usage(value), problem)


def _of_events(body: str) -> Reply:
    pieces: list[str] = []
    complete, request_id, problem = False, None, ""
    tokens: tuple[int | None, int | None] = (None, None)
    for value in _events(body):
        if value is None:  # the closing mark
            complete = True
            continue
        request_id = request_id or _field(value, "id", str)
        if _usage(value) != (None, None):
            tokens = _usage(value)
        for choice in (_field(value, "choices", list) or [])[:1]:
            delta = _field(choice, "delta", dict) or _field(choice, "message", dict) or {}
            pieces.append(_text(delta.get("content")))
            finish = _field(choice, "finish_reason", str)
            complete = complete or finish == "stop"
            if finish == "length":
                return Reply("".join(pieces), False, request_id, *tokens)
        if isinstance(value, dict) and "error" in value:
            problem = _no_choices(value)
    text = "".join(pieces)
    if not text:
        return Reply("", False, request_id, *tokens, problem or "a stream without any text")
    return Reply(text, complete, request_id, *tokens)


def _events(body: str) -> Iterator[Any]:
    """The object of every ``data:`` line; None for ``[DONE]``; a line that was cut is left out."""
    for line in body.splitlines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            yield None
            continue
        try:
            yield json.loads(data)
        except (ValueError, RecursionError):
            continue


def _of_rest(text: str) -> Reply:
    """The start of a JSON object that was cut: the text in it so far."""
    match = _CONTENT.search(text) if text.startswith("{") else None
    if match is None:
        shown = " ".join(text[:80].split())
        return Reply("", False, problem=f"expected a chat completion, found {shown!r}")
    content = _DANGLING.sub("", match[1])
    try:
        written = json.loads(f'"{content}"', strict=False)
    except ValueError:
        written = content
    problem = "" if written else "the reply was cut before any text"
    identifier = re.search(r'"id"\s*:\s*"([^"\\]+)"', text[: match.start()])
    return Reply(written, False, identifier[1] if identifier else None, problem=problem)


def _field(value: Any, key: str, kind: type) -> Any:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, kind) else None


def _text(content: Any) -> str:
    """A message's content: text, or a list of parts of which some are text."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(_field(part, "text", str), str))
    return content if isinstance(content, str) else ""


def _usage(value: Any) -> tuple[int | None, int | None]:
    usage = _field(value, "usage", dict) or {}
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _no_choices(value: Any) -> str:
    error = value.get("error") if isinstance(value, dict) else None
    if error is not None:
        said = error.get("message", error) if isinstance(error, dict) else error
        return f"the endpoint says: {' '.join(str(said).split())[:200]}"
    found = f"an object with {', '.join(map(str, value)) or 'nothing'}" if isinstance(value, dict) else repr(value)
    return f"expected a chat completion, found {found[:120]}"


def _no_text(message: dict[str, Any], finish: str | None) -> str:
    if refusal := _text(message.get("refusal")):
        return f"the model refused: {' '.join(refusal.split())[:200]}"
    if finish == "length":
        return "the model spent all its tokens before it wrote anything; raise max_tokens"
    return f"the model wrote nothing{f' (finish_reason {finish})' if finish else ''}"
