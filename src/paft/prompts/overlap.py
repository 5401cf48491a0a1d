"""Wordings that two prompt sets share: what must not be both trained on and tested with."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

from paft.prompts.prompt import Prompt
from paft.prompts.similarity import collapse, comparable, similar_across, similarity

if TYPE_CHECKING:
    from paft.prompts.prompt_set import PromptSet

Kind = Literal["duplicate", "punctuation", "near"]


class Overlap(NamedTuple):
    """A wording that stands in both sets.

    ``kind``: ``duplicate`` (the same but for case and spaces), ``punctuation`` (the same words in the same
    order) or ``near`` (similarity at or above the threshold). ``similarity`` is from 0 to 1.
    """

    train_id: str
    test_id: str
    similarity: float
    kind: Kind


def overlap(train: PromptSet, test: PromptSet, threshold: float | None = None) -> list[Overlap]:
    """Wordings that stand in both sets, most alike first.

    Without a threshold only duplicates count: the same text but for case and spaces, slot names included.
    With one, every pair at least that alike is found as well.

    Raises:
        InputError: a threshold outside (0, 1].
    """
    by_text: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in train:
        by_text[collapse(prompt.template.plain)].append(prompt)
    found = {
        (a.id, b.id): Overlap(a.id, b.id, similarity(a.template, b.template), "duplicate")
        for b in test
        for a in by_text[collapse(b.template.plain)]
    }
    if threshold is not None:
        lefts, rights = list(train), list(test)
        pairs = similar_across(
            [comparable(p.template) for p in lefts], [comparable(p.template) for p in rights], threshold
        )
        for pair in pairs:
            a, b = lefts[pair.left], rights[pair.right]
            kind: Kind = "punctuation" if _words(a) == _words(b) else "near"
            found.setdefault((a.id, b.id), Overlap(a.id, b.id, pair.similarity, kind))
    return sorted(found.values(), key=lambda o: (-o.similarity, o.test_id, o.train_id))


def _words(prompt: Prompt) -> list[str]:
    """The words and slot names of a prompt, without case, spaces and punctuation."""
    return re.findall(r"\w+", prompt.template.plain.casefold())
