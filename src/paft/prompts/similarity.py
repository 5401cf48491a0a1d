"""How alike two templates are, which pairs of a set are near-copies, and the groups they form.

Similarity is ``rapidfuzz.fuzz.ratio / 100`` on casefolded, whitespace-collapsed text in which every slot
is masked to one character: what counts is the wording, not the length of slot names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz import fuzz, process

from paft.errors import InputError
from paft.prompts.template import Template

MASK = "\0"
BINS = 32


class Pair(NamedTuple):
    """Two templates by index, and how alike they are (0 to 1)."""

    left: int
    right: int
    similarity: float


def collapse(text: str) -> str:
    """Casefolded, with every run of whitespace as one space and none at the ends."""
    return " ".join(text.casefold().split())


def comparable(template: Template) -> str:
    """The form in which templates are compared."""
    return collapse(template.mask(MASK))


def similarity(one: Template, other: Template) -> float:
    """How alike two templates are, from 0 to 1."""
    return fuzz.ratio(comparable(one), comparable(other)) / 100


def check_threshold(threshold: float) -> None:
    """Refuse a similarity threshold outside (0, 1]."""
    if not 0 < threshold <= 1:
        raise InputError(f"threshold must be above 0 and at most 1, found {threshold}")


def similar_pairs(texts: Sequence[str], threshold: float) -> Iterator[Pair]:
    """Every pair ``left < right`` of comparable texts that is at least ``threshold`` alike."""
    yield from _pairs(texts, texts, threshold, within=True)


def similar_across(lefts: Sequence[str], rights: Sequence[str], threshold: float) -> Iterator[Pair]:
    """Every pair of one comparable text of ``lefts`` and one of ``rights`` at least ``threshold`` alike."""
    yield from _pairs(lefts, rights, threshold, within=False)


def _pairs(lefts: Sequence[str], rights: Sequence[str], threshold: float, within: bool) -> Iterator[Pair]:
    """Compare only what can reach the threshold; two cheap bounds rule out nearly every other pair.

    With lengths a <= b, the ratio is at most 2a/(a+b); and it is at most 1 - d/(a+b), where d is the L1
    distance of the two texts' character counts (characters may share a bin: that only lowers d).
    """
    check_threshold(threshold)
    stretch = (2 - threshold) / threshold + 1e-9
    left_order, left_lengths, left_counts = _profile(lefts)
    right_order, right_lengths, right_counts = _profile(rights)
    for row, left in enumerate(left_order.tolist()):
        length = left_lengths[row]
        low = row + 1 if within else int(np.searchsorted(right_lengths, length / stretch, "left"))
        high = int(np.searchsorted(right_lengths, length * stretch, "right"))
        distance = np.abs(right_counts[low:high] - left_counts[row]).sum(axis=1, dtype=np.int64)
        possible = distance <= (1 - threshold) * (right_lengths[low:high] + length) + 1e-6
        columns = right_order[low:high][possible]
        if not len(columns):
            continue
        scores = _scores(lefts[left], [rights[i] for i in columns], threshold)
        for right, score in zip(columns.tolist(), scores.tolist(), strict=True):
            if score >= threshold:
                pair = sorted((left, right)) if within else (left, right)
                yield Pair(pair[0], pair[1], score)


def _scores(text: str, others: list[str], threshold: float) -> np.ndarray:
    """Similarities of one text to others; those clearly below the threshold come back as 0."""
    cutoff = max(0.0, 100 * threshold - 1e-6)
    return process.cdist([text], others, scorer=fuzz.ratio, score_cutoff=cutoff, dtype=np.float64)[0] / 100


def _profile(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices by length, the lengths in that order, and the character counts in that order, in 32 bins."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    counts = np.zeros((len(texts), BINS), dtype=np.int16)
    for row, index in enumerate(order.tolist()):
        codes = np.frombuffer(texts[index].encode("utf-32-le"), dtype=np.uint32)
        counts[row] = np.minimum(np.bincount(codes % BINS, minlength=BINS), np.iinfo(np.int16).max)
    return order, lengths[order], counts


def group(size: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Indices ``0..size-1`` in connected groups (union-find), each sorted, in order of their first member."""
    parent = list(range(size))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for one, other in links:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    members: dict[int, list[int]] = defaultdict(list)
    for i in range(size):
        members[root(i)].append(i)
    return list(members.values())
