"""Reasoning that a model writes before its answer, between marks such as ``<think>`` and ``</think>``: taken off."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = r"(?:\w+:)?(?:think|thinking|thought|reasoning)"
_MARK = re.compile(rf"<(/?){_NAME}>|\[(/?)THINK\]")
OPEN, CLOSE = "<think>", "</think>"


class Read(NamedTuple):
    """A generated text as it is read.

    Attributes:
        text: what is left without reasoning.
        reasoned: whether there was any.
        open: whether the text ends within it, so that the answer is still to come.
    """

    text: str
    reasoned: bool = False
    open: bool = False


def without_reasoning(text: str) -> Read:
    """``text`` without what stands between marks of reasoning.

    A text whose first mark closes began within reasoning, as where the prompt ends with the opening mark. What an
    opening mark begins and nothing closes is reasoning to the end of the text.
    """
    kept: list[str] = []
    start, inside, met = 0, False, False
    for mark in _MARK.finditer(text):
        met = True
        if is_closing(mark):
            if not inside:  # what stands before it belongs to the reasoning
                kept.clear()
            start, inside = mark.end(), False
        elif not inside:
            kept.append(text[start : mark.start()])
            inside = True
    if not met:
        return Read(text)
    return Read("".join(kept) + ("" if inside else text[start:]), True, inside)


def is_mark(token: str) -> bool:
    """Whether a token is such a mark and nothing else."""
    return _MARK.fullmatch(token.strip()) is not None


def left_open(prompt: str) -> str:
    """The opening mark that a prompt ends with, so that the reply begins within reasoning; "" where there is none."""
    tail = prompt.rstrip()
    marks = [mark for mark in _MARK.finditer(tail, max(0, len(tail) - 40)) if mark.end() == len(tail)]
    return marks[0][0] if marks and not is_closing(marks[0]) else ""


def is_closing(mark: re.Match[str]) -> bool:
    """Whether a mark ends reasoning."""
    return bool(mark[1] or mark[2])
