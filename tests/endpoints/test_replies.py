"""Response bodies, whole and cut."""

from __future__ import annotations

import json

import pytest
from endpoints.server import completion, stream

from paft.endpoints.replies import Reply, read_body

TEXT = 'Say "hello",\nthen\ttell é \\ {goal} 日本 ' * 3


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_body_cut_anywhere(cut: int) -> None:
    body = completion(TEXT)
    reply = read_body(body[: len(body) - cut])
    assert TEXT.startswith(reply.text)
    assert reply.complete == (cut == 0)
    start = body.index("Say")
    if len(body) - cut > start + 80:
        assert len(reply.text) > 20
    if not reply.text:
        assert reply.problem


@pytest.mark.parametrize("cut", range(0, 900, 23))
def test_a_stream_cut_anywhere(cut: int) -> None:
    body = stream(TEXT, size=9)
    reply = read_body(body[: len(body) - cut])
    assert TEXT.startswith(reply.text)
    assert len(reply.text) >= len(TEXT) * (1 - cut / 900) - 20
    if cut == 0:
        assert reply == Reply(TEXT, True, "s1", 100, 50)


def test_content_in_parts() -> None:
    value = json.loads(completion("x"))
    value["choices"][0]["message"]["content"] = [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]
    assert read_body(json.dumps(value)).text == "ab"


def test_the_limit_of_tokens() -> None:
    assert read_body(completion("half", finish="length")) == Reply("half", False, "r", 100, 50)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "an empty reply"),
        ("  \n", "an empty reply"),
        ("null", "expected a chat completion, found None"),
        ('{"choices": []}', "expected a chat completion, found an object with choices"),
        ('{"choices": [{"message": {"content": null, "refusal": "no"}}]}', "the model refused: no"),
        ('{"choices": [null]}', "the model wrote nothing"),
        ('{"error": "busy"}', "the endpoint says: busy"),
        ('data: {"error": {"message": "busy"}}\n\n', "the endpoint says: busy"),
        ("data: [DONE]\n\n", "a stream without any text"),
        ("[" * 100_000, "expected a chat completion"),
    ],
)
def test_no_text(body: str, why: str) -> None:
    reply = read_body(body)
    assert reply.text == ""
    assert why in reply.problem


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": "7"}, {"prompt_tokens": -1, "completion_tokens": None}])
def test_usage_that_makes_no_sense(usage) -> None:
    value = json.loads(completion("x", None))
    reply = read_body(json.dumps({**value, "usage": usage}))
    assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)
