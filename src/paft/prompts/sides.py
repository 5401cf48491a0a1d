"""The two sides of a split held against each other: what test prompts have in common with training prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rapidfuzz import fuzz, process

from paft.prompts.diversity import BLOCK
from paft.prompts.mmd import KERNEL, Discrepancy, discrepancy
from paft.prompts.prompt_set import PromptSet
from paft.prompts.similarity import comparable


class Nearest(NamedTuple):
    """A test prompt and the training prompt most like it; ``similarity`` is from 0 to 1."""

    test_id: str
    train_id: str
    similarity: float


@dataclass(frozen=True)
class Sides:
    """Train against test.

    Attributes:
        train, test: number of prompts on each side.
        nearest: for every test prompt its nearest training prompt, in the order of the test set.
        discrepancy: the maximum mean discrepancy; None where a side has fewer than two prompts.
    """

    train: int
    test: int
    nearest: tuple[Nearest, ...]
    discrepancy: Discrepancy | None

    @property
    def mean(self) -> float:
        """Mean similarity of a test prompt to its nearest training prompt."""
        return sum(each.similarity for each in self.nearest) / len(self.nearest)

    @property
    def closest(self) -> Nearest:
        """The test prompt that is most like a training prompt; the first of several."""
        return max(self.nearest, key=lambda each: each.similarity)

    def row(self) -> dict[str, Any]:
        """The comparison as a JSON object, with every test prompt under ``nearest``."""
        found = self.discrepancy
        return {
            "train": self.train,
            "test": self.test,
            "nearest_mean": self.mean,
            "nearest_max": self.closest.similarity,
            "mmd2": found.mmd2 if found else None,
            "p_value": found.p_value if found else None,
            "permutations": found.permutations if found else None,
            "kernel": KERNEL,
            "nearest": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One JSON object per test prompt."""
        return [each._asdict() for each in self.nearest]


def sides_of(prompts: PromptSet) -> tuple[PromptSet, PromptSet] | None:
    """The prompts whose ``split`` is train, and those whose is test; None where one of the two is missing."""
    train = [prompt for prompt in prompts if prompt.split == "train"]
    test = [prompt for prompt in prompts if prompt.split == "test"]
    return (PromptSet(train), PromptSet(test)) if train and test else None


def compare_sides(train: PromptSet, test: PromptSet, *, permutations: int = 1000, seed: int = 0) -> Sides:
    """Hold ``test`` against ``train``.

    Args:
        permutations: of the test on the discrepancy.
        seed: decides them.
    """
    lefts = [comparable(prompt.template) for prompt in test]
    rights = [comparable(prompt.template) for prompt in train]
    nearest: list[Nearest] = []
    for start in range(0, len(lefts), BLOCK):
        block = process.cdist(lefts[start : start + BLOCK], rights, scorer=fuzz.ratio, dtype=np.float64) / 100
        best = block.argmax(axis=1)
        for row, column in enumerate(best.tolist()):
            nearest.append(Nearest(test.ids[start + row], train.ids[column], float(block[row, column])))
    found = discrepancy(list(train), list(test), permutations, seed)
    return Sides(len(train), len(test), tuple(nearest), found)
