"""What a server's reply says: the text it wrote, or the log-probabilities of tokens. Nothing is guessed.

Two layouts of log-probabilities are in use: parallel lists (``tokens``, ``token_logprobs``, ``top_logprobs``), and a
list ``content`` of tokens; the second is that of the chat API, and some servers use it for completions too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paft.endpoints import Received, Unreadable
from paft.tasks.reasoning import CLOSE, OPEN


class Straddled(Exception):
    """One token covers the end of the prompt and the start of the answer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of so many requests; ``estimated`` where the server did not count them."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False
    requests: int = 1


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote."""

    text: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Scored:
    """The log-likelihood (nats) of an answer that was sent along.

    Attributes:
        tokens: the answer's tokens, as the server writes them.
        before: tokens in front of it.
    """

    loglik: float
    tokens: tuple[str, ...]
    before: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Listed:
    """The likeliest first tokens, likeliest first as the server lists them, with their log-probabilities."""

    tokens: tuple[tuple[str, float], ...]
    usage: Usage


def read_written(got: Received, sent_chars: int) -> Written:
    """The generated text; what a server gives apart as reasoning stands before it, between marks. Raises Unreadable."""
    value, choice = _choice(got)
    text = choice.get("text")
    if text is None and isinstance(choice.get("message"), dict):
        text = _message_text(choice, value)
    if not isinstance(text, str):
        raise Unreadable(f"expected a completion with a text, found {_shown(choice)}")
    text = text.encode("utf-8", "replace").decode()  # halves of surrogate pairs cannot be stored
    return Written(text, _usage(value, sent_chars, len(text)))


def read_echo(got: Received, sent: str, answer: str) -> Scored:
    """The log-likelihood of ``answer``, the end of the text ``sent``, which the server was to echo.

    Raises:
        Unreadable: the reply does not hold the log-probabilities of exactly the text that was sent.
        Straddled: the answer does not begin with a token of its own.
    """
    value, choice = _choice(got)
    found = choice.get("logprobs")
    if not isinstance(found, dict) or not isinstance(choice.get("text"), str):
        raise Unreadable("the reply holds no log-probabilities of the text that was sent")
    if not choice["text"].startswith(sent):
        raise Unreadable("the reply does not begin with the text that was sent")
    tokens: Any = found.get("tokens")
    values: Any = found.get("token_logprobs")
    if not _texts(tokens) or not isinstance(values, list) or len(values) != len(tokens):
        raise Unreadable("the reply has no list of tokens with a log-probability for each")
    usage = _usage(value, len(sent), 0)
    count = len(tokens) if usage.estimated and choice["text"] == sent else usage.prompt_tokens
    if len(tokens) - count not in (0, 1) or (usage.estimated and choice["text"] != sent):
        raise Unreadable(f"the reply holds {len(tokens)} tokens where {count} were sent")
    start = _answer_start(tokens[:count], answer)
    numbers = values[start:count]
    if start == 0 or not all(_number(v) for v in numbers):
        raise Unreadable("a token of the answer has no log-probability")
    return Scored(math.fsum(numbers), tuple(tokens[start:count]), start, usage)


def read_listed(got: Received, sent_chars: int) -> Listed:
    """The likeliest first tokens of the reply. Raises Unreadable where there are none."""
    value, choice = _choice(got)
    found = choice.get("logprobs")
    first: Any = None
    if isinstance(found, dict):
        content, parallel = found.get("content"), found.get("top_logprobs")
        if isinstance(content, list) and content and isinstance(content[0], dict):
            first = _pairs(content[0].get("top_logprobs"))
        elif isinstance(parallel, list) and parallel and isinstance(parallel[0], dict):
            first = list(parallel[0].items())
    listed = [(token, float(v)) for token, v in first or () if isinstance(token, str) and _number(v)]
    if not listed:
        raise Unreadable("the reply lists no tokens with log-probabilities")
    return Listed(tuple(sorted(listed, key=lambda pair: -pair[1])), _usage(value, sent_chars, 0))


def _answer_start(tokens: Sequence[str], answer: str) -> int:
    """Index of the answer's first token: the last tokens, joined, are the answer."""
    bare = answer.removeprefix(" ")
    tokens = [token.replace("▁", " ").replace("Ġ", " ") for token in tokens]  # as some vocabularies write a space
    start, joined = len(tokens), ""
    while start > 0 and len(joined) < len(bare):
        start -= 1
        joined = tokens[start] + joined
    if joined == bare and bare != answer:  # the space is a token of its own, or the server has left it out
        before = tokens[start - 1] if start else ""
        if before in ("", " "):
            return max(start - 1, 0)
        if before[-1:].isspace():
            raise Straddled
        return start
    if joined == answer:
        return start
    if joined.endswith(bare):
        raise Straddled
    raise Unreadable(f"the last tokens of the reply are not the answer {answer!r} but {joined!r}")


def _choice(got: Received) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The reply as an object, and its first choice."""
    if got.cut:
        raise Unreadable("the reply was cut")
    try:
        value = json.loads(got.body)
    except (ValueError, RecursionError):
        raise Unreadable(f"expected a JSON object, found {_shown(got.body)}") from None
    choices = value.get("choices") if isinstance(value, dict) else None
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return value, choices[0]
    error = value.get("error") if isinstance(value, dict) else None
    if error is not None:
        said = error.get("message", error) if isinstance(error, dict) else error
        raise Unreadable(f"the server says: {_shown(said)}")
    raise Unreadable(f"expected a completion with a choice, found {_shown(got.body)}")


def _message_text(choice: Mapping[str, Any], value: Mapping[str, Any]) -> Any:
    """The content of a chat message, its reasoning in front; null, as with a refusal, is an empty text.

    Where reasoning took all tokens, nothing closes it.
    """
    message = choice["message"]
    content, thoughts = message.get("content"), message.get("reasoning_content") or message.get("reasoning")
    thoughts = thoughts if isinstance(thoughts, str) else ""
    if isinstance(content, list):
        content = "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    if not content and choice.get("finish_reason") == "length" and (thoughts or _thought(value)):
        return OPEN + thoughts
    if content is None and ("content" in message or thoughts):
        content = ""
    return OPEN + thoughts + CLOSE + content if thoughts and isinstance(content, str) else content


def _thought(value: Mapping[str, Any]) -> bool:
    """Whether the server counts tokens of reasoning, which it does not show."""
    usage = value.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return isinstance(details, dict) and bool(details.get("reasoning_tokens"))


def _usage(value: Mapping[str, Any], sent_chars: int, written_chars: int) -> Usage:
    found = value.get("usage")
    counts = [found.get(name) if isinstance(found, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (c if isinstance(c, int) and c >= 0 else None for c in counts)
    estimated = prompt is None or completion is None
    return Usage(
        sent_chars * 2 // 7 if prompt is None else prompt,
        written_chars * 2 // 7 if completion is None else completion,
        estimated,
    )


def _pairs(listed: Any) -> list[tuple[Any, Any]]:
    if not isinstance(listed, list):
        return []
    return [(row.get("token"), row.get("logprob")) for row in listed if isinstance(row, dict)]


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 120 else text[:119] + "…")
