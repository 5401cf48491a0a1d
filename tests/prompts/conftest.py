"""Fixtures for prompt tests."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from paft.tasks.base import Task

WORDS = "choose the best answer option from list below read text carefully and then reply with one word only".split()


@pytest.fixture(scope="session")
def some_texts() -> Callable[..., list[str]]:
    """``(count, seed) -> texts``, of which many are near-copies of another."""
    return make_texts


def make_texts(count: int, seed: int, length: int = 25) -> list[str]:
    """Texts of which many are near-copies: each is a fresh one or an earlier one with a few words changed."""
    rng = random.Random(seed)
    made: list[list[str]] = []
    for _ in range(count):
        if made and rng.random() < 0.5:
            words = list(rng.choice(made))
            for _ in range(rng.randint(1, 5)):
                words[rng.randrange(len(words))] = rng.choice(WORDS)
        else:
            words = [rng.choice(WORDS) + rng.choice(["", "", "ly", "ing"]) for _ in range(rng.randint(3, 2 * length))]
        made.append(words)
    return [" ".join(words) for words in made]


@pytest.fixture(scope="session")
def pairs_task() -> Task:
    """A task of the shape of PIQA: a goal and two options, the answer a letter."""
    return Task("pairs", "choice", dict.fromkeys(("goal", "sol1", "sol2"), ""), ("A", "B"))


@pytest.fixture(scope="session")
def blanks_task() -> Task:
    """A task of the shape of WinoGrande: every slot has a second name."""
    slots = dict.fromkeys(("prompt", "only_option1", "only_option2"), "")
    aliases = {"sentence": "prompt", "option1": "only_option1", "option2": "only_option2"}
    return Task("blanks", "choice", slots, ("A", "B"), aliases=aliases)


@pytest.fixture(scope="session")
def mood_task() -> Task:
    """A label task with one slot."""
    return Task("mood", "label", {"text": ""}, ("negative", "positive"))
