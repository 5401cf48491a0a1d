"""Small tasks for the evaluation suite."""

from __future__ import annotations

import random
from collections.abc import Sequence

from paft.tasks import Example, Task

WORDS = "quick brown fox jumps over the lazy dog read text find location person number delivery return".split()


def sentence(rng: random.Random, low: int = 3, high: int = 12) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


def make_task(kind: str, count: int = 9) -> Task:
    """A task of one type with ``count`` examples in each split, the same every time."""

    def read(split: str) -> Sequence[Example]:
        rng = random.Random(f"{kind} {split}")
        out = []
        for i in range(count):
            slots = {"text": sentence(rng), "one": sentence(rng, 1, 4), "two": sentence(rng, 1, 4)}
            gold = i % (3 if kind == "label" else 2)
            options = (slots["one"], slots["two"]) if kind == "choice" else ()
            answer = "42" if kind == "free" else answers[gold]
            out.append(Example(f"{split}:{i}", slots, answer, -1 if kind == "free" else gold, options))
        return out

    answers = {"choice": ("A", "B"), "label": ("location", "description", "quiz"), "free": ()}[kind]
    slots = {"text": "a text", "one": "an option", "two": "another"}
    return Task(kind, kind, slots, answers, read=read)
