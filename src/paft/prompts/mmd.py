"""Whether two prompt sets look as if they came from one source: the maximum mean discrepancy.

The kernel is the normalised spectrum kernel: a template, in the form in which similarity compares it (case-folded,
spaces collapsed, every slot one character) and with a space at both ends, is the vector of its counts of character
3-, 4- and 5-grams, and the kernel of two templates is the cosine of their vectors, from 0 to 1. The discrepancy is
then the distance of the two sets' mean vectors; sets with equal means are alike to it.

Sources: Gretton et al., A Kernel Two-Sample Test, JMLR 13 (2012), the unbiased estimate MMD^2_u of Lemma 6 with a
permutation test; Leslie et al., The Spectrum Kernel, PSB 2002.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from paft.prompts.prompt import Prompt
from paft.prompts.similarity import comparable

LENGTHS = (3, 4, 5)
KERNEL = "cosine of counts of character 3- to 5-grams, slots masked"
ROUNDING = 1e-12  # two permutations that part the same templates differ by this much at most


class Discrepancy(NamedTuple):
    """The unbiased squared discrepancy, which may be below 0, and how often chance gives as much.

    ``p_value`` is (1 + permutations with at least this value) / (1 + permutations).
    """

    mmd2: float
    p_value: float
    permutations: int


def discrepancy(
    one: Sequence[Prompt], other: Sequence[Prompt], permutations: int = 1000, seed: int = 0
) -> Discrepancy | None:
    """The discrepancy of two lists of prompts; None where one has fewer than two, for which there is no estimate.

    The test permutes single prompts: near-copies on one side make it say "different" too readily.
    """
    if min(len(one), len(other)) < 2:
        return None
    kernel = spectrum_kernel([*one, *other])
    rng = np.random.default_rng(seed)
    sides = np.zeros((len(kernel), permutations + 1))
    sides[: len(one), 0] = 1
    for column in range(1, permutations + 1):
        sides[rng.permutation(len(kernel))[: len(one)], column] = 1
    values = squared_discrepancies(kernel, sides)
    as_much = int((values[1:] >= values[0] - ROUNDING).sum())
    return Discrepancy(float(values[0]), (1 + as_much) / (1 + permutations), permutations)


def squared_discrepancies(kernel: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """MMD^2_u for every column of ``sides``, ``[n, columns]``: 1 where a template is on the first side, else 0."""
    one = sides.sum(axis=0)
    other = len(kernel) - one
    diagonal = np.diag(kernel)
    within = np.einsum("nc,nc->c", sides, kernel @ sides)
    across = kernel.sum(axis=1) @ sides - within
    rest = kernel.sum() - within - 2 * across
    first = (within - diagonal @ sides) / (one * (one - 1))
    second = (rest - diagonal @ (1 - sides)) / (other * (other - 1))
    return first + second - 2 * across / (one * other)


def spectrum_kernel(prompts: Iterable[Prompt]) -> np.ndarray:
    """The kernel of every two prompts, ``[n, n]`` float64 with ones on the diagonal.

    Row by row through an index from n-gram to templates, so that no matrix of templates x n-grams is made.
    """
    places: dict[str, int] = {}
    columns: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for prompt in prompts:
        counts = _counts(comparable(prompt.template))
        columns.append(np.array([places.setdefault(gram, len(places)) for gram in counts]))
        vector = np.array(list(counts.values()), dtype=np.float64)
        values.append(vector / np.linalg.norm(vector))
    size = len(columns)
    grams = np.concatenate(columns)
    order = np.argsort(grams, kind="stable")
    owner = np.repeat(np.arange(size), [len(column) for column in columns])[order]
    weight = np.concatenate(values)[order]
    count = np.bincount(grams, minlength=len(places))
    first = np.cumsum(count) - count
    kernel = np.empty((size, size))
    for row, (column, value) in enumerate(zip(columns, values, strict=True)):
        lengths = count[column]
        starts = np.repeat(first[column] - np.cumsum(lengths) + lengths, lengths)
        at = starts + np.arange(len(starts))
        kernel[row] = np.bincount(owner[at], weights=np.repeat(value, lengths) * weight[at], minlength=size)
    np.fill_diagonal(kernel, 1.0)
    return kernel


def _counts(text: str) -> Counter[str]:
    padded = f" {text} "
    return Counter(padded[at : at + n] for n in LENGTHS for at in range(len(padded) - n + 1))
