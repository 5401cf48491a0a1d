"""How varied a prompt set is: lengths, layouts, pairwise similarity, distinct n-grams, sources.

Tokens are case-folded words and single punctuation marks; a slot is one token, the same whatever its name. N-grams
never cross from one template into the next. Both the share of distinct n-grams and, less so, the similarity depend on
how much text is looked at, so two sets are compared over equal numbers of tokens: templates are drawn in a random
order until the budget is reached, the last one is cut to it, and the figures are the mean of ``DRAWS`` such draws.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rapidfuzz import fuzz, process

from paft.errors import InputError
from paft.prompts.layout import Layout, layout
from paft.prompts.origin import source_counts
from paft.prompts.prompt import Prompt
from paft.prompts.prompt_set import PromptSet
from paft.prompts.similarity import MASK, comparable
from paft.prompts.template import Template
from paft.tasks.base import Task

DRAWS = 20
ORDERS = (1, 2, 3)
BLOCK = 256  # rows of the similarity matrix that are computed at a time
_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


class Spread(NamedTuple):
    """A quantity over the prompts of a set; the 5% and 95% quantiles interpolate linearly."""

    min: float
    q05: float
    median: float
    q95: float
    max: float


@dataclass(frozen=True)
class Diversity:
    """The figures of one prompt set. A figure is None where there is nothing to take it over.

    Attributes:
        size: prompts in the set.
        chat: how many of them are lists of chat messages.
        slots: slot -> number of prompts that use it.
        words, characters: length of the wording besides the slots.
        layouts: every distinct layout with its number of prompts, most common first.
        similarity_mean, similarity_q95: over all pairs of prompts, from 0 to 1.
        distinct: distinct n-grams / n-grams for n = 1, 2, 3.
        tokens: tokens in the whole set.
        budget: the number of tokens that similarity and distinct n-grams were taken over; None: the whole set.
        sources: source field -> value -> number of prompts; empty where no prompt names its source.
    """

    size: int
    chat: int
    slots: dict[str, int]
    words: Spread
    characters: Spread
    layouts: tuple[tuple[Layout, int], ...]
    similarity_mean: float | None
    similarity_q95: float | None
    distinct: tuple[float | None, ...]
    tokens: int
    budget: int | None
    sources: dict[str, dict[str, int]]

    def row(self, top: int = 10) -> dict[str, Any]:
        """The figures as a JSON object; of the layouts, the number and the ``top`` most common."""
        return {
            "size": self.size,
            "chat": self.chat,
            "slots": self.slots,
            "words": self.words._asdict(),
            "characters": self.characters._asdict(),
            "layouts": len(self.layouts),
            "common_layouts": [{**each.row(), "prompts": count} for each, count in self.layouts[:top]],
            "similarity": {"mean": self.similarity_mean, "q95": self.similarity_q95},
            "distinct": {str(n): value for n, value in zip(ORDERS, self.distinct, strict=True)},
            "tokens": self.tokens,
            "budget": self.budget,
            "sources": self.sources,
        }


def diversity(prompts: PromptSet, task: Task | None = None, *, tokens: int | None = None, seed: int = 0) -> Diversity:
    """Measure ``prompts``.

    Args:
        task: tells the layouts which words are labels and which slot names are aliases.
        tokens: take similarity and distinct n-grams over this many tokens; see the module's text.
        seed: decides the draws; without ``tokens`` nothing is drawn.

    Raises:
        InputError: ``tokens`` below 1, or more than the set holds.
    """
    items = list(prompts)
    templates = [prompt.template for prompt in items]
    texts = _numbered([template_tokens(template) for template in templates])
    held = sum(map(len, texts))
    if tokens is not None and not 1 <= tokens <= held:
        raise InputError(f"tokens must be from 1 to {held}, what the set holds; found {tokens}")
    mean, q95, distinct = _taken(pairwise_similarity(templates), texts, tokens, seed)
    found = Counter(layout(template, task) for template in templates)
    return Diversity(
        size=len(items),
        chat=sum(template.is_chat for template in templates),
        slots=dict(Counter(name for template in templates for name in template.slots).most_common()),
        words=_spread(len(template.mask(" ").split()) for template in templates),
        characters=_spread(len(template.mask("")) for template in templates),
        layouts=tuple(sorted(found.items(), key=lambda item: (-item[1], str(item[0])))),
        similarity_mean=mean,
        similarity_q95=q95,
        distinct=distinct,
        tokens=held,
        budget=tokens,
        sources=source_counts(items),
    )


def count_tokens(prompts: Iterable[Prompt]) -> int:
    """The tokens of all templates."""
    return sum(len(template_tokens(prompt.template)) for prompt in prompts)


def template_tokens(template: Template) -> list[str]:
    """Case-folded words, punctuation marks and slots of a template, in reading order."""
    return _TOKEN.findall(template.mask(MASK).casefold())


def pairwise_similarity(templates: Sequence[Template]) -> np.ndarray:
    """The similarity of every two templates as ``paft.prompts.similarity`` has it, ``[n, n]`` float32."""
    texts = [comparable(template) for template in templates]
    matrix = np.empty((len(texts), len(texts)), dtype=np.float32)
    for start in range(0, len(texts), BLOCK):
        stop = start + BLOCK
        block = process.cdist(texts[start:stop], texts[start:], scorer=fuzz.ratio, dtype=np.float32) / 100
        matrix[start:stop, start:] = block
        matrix[start:, start:stop] = block.T
    return matrix


def distinct_ratios(texts: Sequence[np.ndarray]) -> tuple[float | None, ...]:
    """Distinct n-grams / n-grams over texts of token numbers, for n in ``ORDERS`` (Li et al., arXiv 1510.03055)."""
    flat = np.concatenate(texts)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    kinds = int(flat.max(initial=0)) + 1
    ratios: list[float | None] = []
    for n in ORDERS:
        count = max(len(flat) - n + 1, 0)
        grams = np.zeros(count, dtype=np.int64)
        for at in range(n):
            grams = grams * kinds + flat[at : at + count]
        grams = grams[owner[:count] == owner[n - 1 :]]
        ratios.append(len(np.unique(grams)) / len(grams) if len(grams) else None)
    return tuple(ratios)


def _numbered(texts: Sequence[list[str]]) -> list[np.ndarray]:
    """Tokens as numbers, alike tokens the same."""
    numbers: dict[str, int] = {}
    return [np.array([numbers.setdefault(token, len(numbers)) for token in text], dtype=np.int64) for text in texts]


def draw(lengths: Sequence[int], tokens: int, seed: int, number: int) -> list[tuple[int, int]]:
    """``(template, tokens of it)`` of one draw: templates in a random order, the last one cut to the budget."""
    taken: list[tuple[int, int]] = []
    left = tokens
    for index in np.random.default_rng([seed, number]).permutation(len(lengths)).tolist():
        if left == 0:
            break
        taken.append((index, min(lengths[index], left)))
        left -= taken[-1][1]
    return taken


def _taken(
    matrix: np.ndarray, texts: Sequence[np.ndarray], tokens: int | None, seed: int
) -> tuple[float | None, float | None, tuple[float | None, ...]]:
    """Mean and 95% quantile of the similarity and the distinct ratios, over all or as the mean of the draws."""
    if tokens is None:
        return (*_pair_figures(matrix), distinct_ratios(texts))
    rows = []
    for number in range(DRAWS):
        taken = draw([len(text) for text in texts], tokens, seed, number)
        chosen = [index for index, _ in taken]
        ratios = distinct_ratios([texts[index][:length] for index, length in taken])
        rows.append((*_pair_figures(matrix[chosen][:, chosen]), *ratios))
    mean, q95, *distinct = [_mean(column) for column in zip(*rows, strict=True)]
    return mean, q95, tuple(distinct)


def _pair_figures(matrix: np.ndarray) -> tuple[float | None, float | None]:
    """Mean and 95% quantile of what stands below the diagonal."""
    pairs = matrix[np.tri(len(matrix), k=-1, dtype=bool)]
    if not len(pairs):
        return None, None
    return float(pairs.mean(dtype=np.float64)), float(np.quantile(pairs, 0.95))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _spread(values: Iterable[int]) -> Spread:
    return Spread(*np.quantile(list(values), (0, 0.05, 0.5, 0.95, 1)).tolist())
