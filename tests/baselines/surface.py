"""A made-up model that answers altered examples as well as a prompt is strong; it can be recomputed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from paft.baselines.base import Scored
from paft.prompts import Prompt
from paft.tasks import Example

GOALS = "keep the old kettle clean,dry a wet pair of boots,light the lamp in a strong wind,fold a large paper map"


def make_examples(count: int = 40) -> list[Example]:
    """PIQA-like examples with ordinary sentences."""
    goals = GOALS.split(",")
    examples = []
    for i in range(count):
        goal = f"How would someone {goals[i % 4]} at house number {i} without any help from a friend?"
        sols = (f"Take it slowly outside and wait for {i} minutes there.", "Put everything under the warm bed at once.")
        slots = {"goal": goal, "sol1": sols[0], "sol2": sols[1]}
        examples.append(Example(f"train:{i}", slots, "AB"[i % 2], i % 2, sols))
    return examples


def damage(example: Example, original: Example) -> float:
    """How many words of an example are not as they were, over all slots."""
    return sum(len(set(example.slots[name].split()) ^ set(original.slots[name].split())) / 2 for name in original.slots)


class Surface:
    """``margin = strength of the prompt - damage``; right where it is above 0. Strength by prompt text.

    Keeps what was asked: ``asked`` holds (prompt id, example) in order.
    """

    def __init__(self, examples: Sequence[Example], strength: Mapping[str, float], fallback: float = 0.5) -> None:
        self.examples = examples
        self.queries = self.calls = 0
        self.asked: list[tuple[str, Example]] = []
        self._strength, self._fallback = strength, fallback
        self._original = {example.id: example for example in examples}

    def margin(self, prompt: Prompt, example: Example) -> float:
        original = self._original[example.id.split("~")[0]]
        return self._strength.get(str(prompt.text), self._fallback) - damage(example, original)

    def __call__(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Scored:
        assert len({example.id for example in examples}) == len(examples)
        self.queries += len(prompts)
        self.calls += len(prompts) * len(examples)
        self.asked += [(prompt.id, example) for prompt in prompts for example in examples]
        margin_pn = np.array([[self.margin(prompt, example) for example in examples] for prompt in prompts])
        return Scored(margin_pn > 0, margin_pn)
