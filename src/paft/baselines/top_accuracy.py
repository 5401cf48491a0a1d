"""``top-accuracy``: the prompt under which the base model is right most often on training examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paft.baselines.base import PromptScore, Score, Selection
from paft.errors import InputError
from paft.prompts import Prompt, PromptSet
from paft.tasks import Example

FEWEST = 8  # examples that the first round of halving has at least, where there are as many


@dataclass(frozen=True)
class TopAccuracy:
    """Scores the prompts on the same training examples and takes the most accurate one.

    Of prompts that are right equally often the one with the larger mean likelihood margin is taken, then the one that
    comes first in the set.

    Args:
        examples: how many; the first so many of a seeded order of the training examples, or all where there are fewer.
        halving: successive halving: all prompts on few examples, then the better half on twice as many, until the last
            ones are scored on all ``examples``. Cheaper, and the pick may be another one.
        seed: decides the order of the examples.

    Raises:
        InputError: ``examples`` below 1, or ``seed`` below 0.
    """

    examples: int = 100
    halving: bool = False
    seed: int = 0

    name = "top-accuracy"

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise InputError(f"--examples must be at least 1, found {self.examples}")
        if self.seed < 0:
            raise InputError(f"--seed must be at least 0, found {self.seed}")

    def select(self, prompts: PromptSet, score: Score) -> Selection:
        order = np.random.default_rng([self.seed, 3]).permutation(len(score.examples))
        drawn = [score.examples[i] for i in order[: self.examples]]
        rounds = ladder(len(drawn)) if self.halving else [len(drawn)]
        going = list(prompts)
        ended: list[_Ranked] = []
        record: list[dict[str, int]] = []
        ranked: list[_Ranked] = []
        for size in rounds:
            ranked = _rank(going, score, drawn[:size])
            record.append({"prompts": len(going), "examples": size})
            if size < len(drawn):
                kept = max(2, -(-len(going) // 2))  # two at least, where there are: the last round is a comparison
                left = {r.prompt.id for r in ranked[:kept]}
                going = [p for p in going if p.id in left]
                ended = ranked[kept:] + ended
        best = ranked[0]
        return Selection(
            method=self.name,
            prompt=best.prompt,
            score=best.accuracy,
            scores=tuple(PromptScore(r.prompt.id, r.accuracy, r.examples) for r in ranked + ended),
            facts=self._facts(ranked, record),
        )

    def _facts(self, ranked: Sequence[_Ranked], record: list[dict[str, int]]) -> dict[str, Any]:
        return {
            "examples": record[-1]["examples"],
            "halving": self.halving,
            "seed": self.seed,
            "rounds": record,
            "margin": ranked[0].margin,
            "equally_accurate": sum(r.accuracy == ranked[0].accuracy for r in ranked),
        }


@dataclass(frozen=True)
class _Ranked:
    """A prompt with its accuracy and its mean margin (nats) over so many examples."""

    prompt: Prompt
    accuracy: float
    margin: float
    examples: int


def ladder(examples: int) -> list[int]:
    """How many examples each round of halving has: the last all, each before it half as many, the first 8 at least."""
    sizes = [examples]
    while -(-sizes[0] // 2) >= FEWEST:
        sizes.insert(0, -(-sizes[0] // 2))
    return sizes


def _rank(prompts: Sequence[Prompt], score: Score, examples: Sequence[Example]) -> list[_Ranked]:
    """The prompts, given in the order of their set, best first; what an earlier round asked costs nothing."""
    scored = score(prompts, examples)
    accuracy_p, margin_p = scored.correct_pn.mean(axis=1), scored.margin_pn.mean(axis=1)
    ranked = [
        _Ranked(prompt, float(accuracy), float(margin), len(examples))
        for prompt, accuracy, margin in zip(prompts, accuracy_p, margin_p, strict=True)
    ]
    return sorted(ranked, key=lambda r: (-r.accuracy, -r.margin))  # what is equal stays in the order of the set
