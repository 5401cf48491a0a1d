"""What picks one prompt, what it may ask, and what it leaves behind.

A selector is an object with one method, ``select(prompts, score)``. It knows prompts and accuracies, never a model; to
add one, write such an object in a file of your own and hand it to ``select_prompt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from paft.prompts import Prompt, PromptSet
from paft.tasks import Example


class Scored(NamedTuple):
    """Answers of the base model, prompts x examples.

    Attributes:
        correct_pn: whether each answer is right, bool.
        margin_pn: log-likelihood of the right answer minus that of the best wrong one; 0 where there are no candidates.
    """

    correct_pn: np.ndarray
    margin_pn: np.ndarray


class Score(Protocol):
    """Asks the base model, on training examples alone. Answers are kept: asking for one again costs nothing.

    Attributes:
        examples: the training examples that may be asked about.
        queries: prompts scored so far, one for each call and prompt, as ZOPO counts them.
        calls: cells (prompt x example) the model has answered so far.
    """

    examples: Sequence[Example]
    queries: int
    calls: int

    def __call__(self, prompts: Sequence[Prompt], examples: Sequence[Example]) -> Scored:
        """Answers for every pair. An example may be an altered copy of one of ``examples``, with an id of its own."""
        ...


class PromptScore(NamedTuple):
    """The accuracy of one prompt, and over how many examples."""

    prompt_id: str
    score: float
    examples: int


@dataclass(frozen=True)
class Selection:
    """A pick and how it came about.

    Attributes:
        method: the selector's name.
        prompt: what was picked; BATprompt may write one that is in no set.
        score: its accuracy on the examples it was last scored on, from 0 to 1.
        scores: every prompt that was scored, with its last score, best first.
        facts: settings and whatever else explains the pick; JSON values.
    """

    method: str
    prompt: Prompt
    score: float
    scores: tuple[PromptScore, ...]
    facts: dict[str, Any] = field(default_factory=dict)


class Selector(Protocol):
    """Picks one prompt."""

    name: str

    def select(self, prompts: PromptSet, score: Score) -> Selection:
        """Pick one, asking ``score`` as often as the method does."""
        ...
