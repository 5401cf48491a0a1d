"""Two prompts that are worded almost alike and what each method makes of them, found in the results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import Indel, Levenshtein
from rapidfuzz.process import cdist

from paft.experiments.records import UNSEEN
from paft.experiments.summary import over_seeds
from paft.prompts import Prompt, Template, similarity
from paft.prompts.similarity import comparable
from paft.report.comparison import Comparison
from paft.report.sweeps import with_sweep

FEW = 3  # prompts that differ in at most so many words count as a few words apart
CLOSEST = 10  # where no pair does: the number of most similar pairs to choose from
LONG, CHARACTERS = 20_000, 4_000  # words of a prompt that are compared; characters where only the rank counts
JUDGES = ("user", "base")
SLOT = "\0"
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # scripts without spaces: every character is a word
_WORD = re.compile(rf"\n|[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """A part of a prompt's text, and whether the other prompt of the pair has something else there."""

    text: str
    changed: bool


@dataclass(frozen=True)
class NearestPair:
    """Two prompts; the one with the higher accuracy under ``judge`` comes first.

    Attributes:
        ids, texts: of the two prompts; of a chat template, its turns on lines of their own.
        words: words, marks and line breaks to insert, delete or replace to make one of the other; slots are alike.
        similarity: as ``paft.prompts.similarity`` has it, 0 to 1.
        judge: the method by whose accuracies the pair was chosen.
        accuracies: method -> accuracy under each of the two, fractions, means over seeds.
        pieces: the two texts in pieces, those that differ marked.
        pairs: how many pairs it was chosen from, near or not.
    """

    ids: tuple[str, str]
    texts: tuple[str, str]
    words: int
    similarity: float
    judge: str
    accuracies: Mapping[str, tuple[float, float]]
    pieces: tuple[tuple[Piece, ...], tuple[Piece, ...]]
    pairs: int

    @property
    def near(self) -> bool:
        """Whether the two are only a few words apart."""
        return self.words <= FEW


def nearest_pair(comparison: Comparison, task: str, sweep: str = UNSEEN) -> NearestPair | None:
    """Of all pairs of prompts that are a few words apart, the one whose accuracies differ most.

    Accuracies are those of the model fine-tuned on the user's prompt, or of the base model without one. Where no
    pair differs in at most ``FEW`` words, the choice is from the ``CLOSEST`` most similar pairs. Prompts that differ
    in spaces alone are no pair. Of pairs that differ alike, the more similar one counts, then the earlier one.

    Returns:
        None without texts, without two prompts that differ in words, or without one of ``JUDGES``.
    """
    known = with_sweep(comparison, task, sweep)
    judge = next((name for name in JUDGES if name in known), None)
    texts = comparison.tasks[task].prompts.get(sweep)
    if judge is None or texts is None:
        return None
    accuracy = {name: over_seeds(records, sweep)["per_prompt"] for name, records in known.items()}
    prompts = [prompt for prompt in texts if prompt.id in accuracy[judge]]
    words = [_words(prompt.template)[:LONG] for prompt in prompts]
    distance = _distances([[word for word, _, _ in each] for each in words])
    everything = [(i, j) for i, j in combinations(range(len(prompts)), 2) if distance[i, j] > 0]
    if not everything:
        return None
    alike = _similarities(prompts)
    near = [pair for pair in everything if distance[pair] <= FEW]
    near = near or sorted(everything, key=lambda pair: -alike[pair])[:CLOSEST]
    score = [accuracy[judge][prompt.id] for prompt in prompts]
    one, other = min(near, key=lambda pair: (-round(abs(score[pair[0]] - score[pair[1]]), 9), -alike[pair]))
    first, second = (one, other) if score[one] >= score[other] else (other, one)
    return _pair((prompts[first], prompts[second]), accuracy, judge, len(everything))


def _pair(
    both: tuple[Prompt, Prompt], accuracy: Mapping[str, Mapping[str, float]], judge: str, pairs: int
) -> NearestPair:
    first, second = both
    pieces = compare(first.template, second.template)
    return NearestPair(
        ids=(first.id, second.id),
        texts=(shown(first.template), shown(second.template)),
        words=Levenshtein.distance(*([word for word, _, _ in _words(p.template)[:LONG]] for p in both)),
        similarity=similarity(first.template, second.template),
        judge=judge,
        accuracies={name: (by_id[first.id], by_id[second.id]) for name, by_id in accuracy.items()},
        pieces=pieces,
        pairs=pairs,
    )


def compare(one: Template, other: Template) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts in pieces; what is not of the longest run of words that both have in order is marked."""
    words = _words(one)[:LONG], _words(other)[:LONG]
    steps = Indel.opcodes([w for w, _, _ in words[0]], [w for w, _, _ in words[1]])
    changed = [step for step in steps if step.tag != "equal"]
    left = {i for step in changed for i in range(step.src_start, step.src_end)}
    right = {i for step in changed for i in range(step.dest_start, step.dest_end)}
    return _pieces(shown(one), words[0], left), _pieces(shown(other), words[1], right)


def shown(template: Template) -> str:
    """A template as a reader sees it: slots in braces, literal braces single, turns on lines of their own."""
    return "\n".join(
        "".join(f"{{{part}}}" if i % 2 else part for i, part in enumerate(turn.pieces)) for turn in template.parsed
    )


def _words(template: Template) -> list[tuple[str, int, int]]:
    """The words of ``shown(template)`` and where each starts and ends; all slots are one and the same word."""
    words: list[tuple[str, int, int]] = []
    at = 0
    for number, turn in enumerate(template.parsed):
        if number:
            words.append(("\n", at, at + 1))
            at += 1
        for i, part in enumerate(turn.pieces):
            if i % 2:
                words.append((SLOT, at, at + len(part) + 2))
                at += len(part) + 2
                continue
            words += [(found.group(), at + found.start(), at + found.end()) for found in _WORD.finditer(part)]
            at += len(part)
    return words


def _distances(texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Word-level edit distances of all pairs, ``FEW + 1`` where there are more; words become characters, for speed."""
    code = {word: chr(i) for i, word in enumerate(dict.fromkeys(w for text in texts for w in text), start=0xE000)}
    coded = ["".join(code[word] for word in text) for text in texts]
    return cdist(coded, coded, scorer=Levenshtein.distance, score_cutoff=FEW, dtype=np.int32)


def _similarities(prompts: Sequence[Prompt]) -> np.ndarray:
    """``paft.prompts.similarity`` of all pairs, of their first ``CHARACTERS`` alone."""
    texts = [comparable(prompt.template)[:CHARACTERS] for prompt in prompts]
    return cdist(texts, texts, scorer=fuzz.ratio, dtype=np.float64) / 100


def _pieces(text: str, words: Sequence[tuple[str, int, int]], changed: set[int]) -> tuple[Piece, ...]:
    """The text cut where words begin or stop to be changed; spaces between two changed words are changed too."""
    cuts: list[tuple[str, bool]] = []
    end, before = 0, False
    for i, (_, start, stop) in enumerate(words):
        cuts += [(text[end:start], before and i in changed), (text[start:stop], i in changed)]
        end, before = stop, i in changed
    cuts.append((text[end:], False))
    joined: list[Piece] = []
    for part, mark in cuts:
        if joined and joined[-1].changed == mark:
            joined[-1] = Piece(joined[-1].text + part, mark)
        elif part:
            joined.append(Piece(part, mark))
    return tuple(joined)
