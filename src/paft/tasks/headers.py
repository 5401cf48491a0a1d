"""Whether the first row of a table names its columns: it is one of data only where its cells look like those below."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from paft.tasks.guess import ANSWER_NAMES, ID_NAMES

Verdict = Literal["header", "data", "unsure"]
TEXT_NAMES: tuple[str, ...] = (
    "text",
    "sentence",
    "review",
    "question",
    "message",
    "comment",
    "title",
    "body",
    "content",
    "context",
)
TEXT_NAMES += ("passage", "article", "prompt", "input", "query", "instruction", "description", "completion", "email")
TEXT_NAMES += ("premise", "hypothesis", "statement", "source", "summary", "subject", "tweet", "utterance", "document")
_KNOWN = {*ANSWER_NAMES, *ID_NAMES, *TEXT_NAMES}
_PLAIN = re.compile(r"[^\W\d][\w .?()/-]{0,39}")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?%?")
MOST = 0.95


def first_row(rows: Sequence[Sequence[str]]) -> Verdict:
    """What the first of ``rows`` is, all of one width; ``unsure`` where it could be either.

    Numbers stand above numbers, labels among the labels below, sentences above sentences. So a cell that is no number
    above numbers, no label that comes again above labels, one word above sentences, or blank above values speaks for
    a header; a number above numbers, or a value that stands below, for data.
    """
    top = [cell.strip() for cell in rows[0]]
    below = [row for row in rows[1:] if [cell.strip() for cell in row] != top]
    if not below or not any(top):
        return "header"
    votes = Counter(_vote(cell, [row[place].strip() for row in below]) for place, cell in enumerate(top))
    named = any(_is_known(cell) and all(cell != row[place].strip() for row in below) for place, cell in enumerate(top))
    names = bool(named or votes["name"])
    if votes["number"]:
        return "unsure" if names else "data"
    if votes["value"]:
        return "header" if named else "unsure" if names else "data"
    plain = all(_PLAIN.fullmatch(cell) and len(cell.split()) <= 4 for cell in top if cell)
    return "header" if names or plain or not votes["alike"] else "unsure"


def _is_known(cell: str) -> bool:
    return re.sub(r"[^a-z]+", "_", cell.lower()).strip("_") in _KNOWN


def _vote(cell: str, below: Sequence[str]) -> str:
    """What one cell says: that it is a ``name``, a ``value``, a ``number`` among numbers, or a text ``alike``."""
    filled = [value for value in below if value]
    numbers = sum(bool(_NUMBER.fullmatch(value)) for value in filled) / max(1, len(filled))
    if not filled or not cell:
        return "name" if filled and len(filled) == len(below) else ""
    if cell in filled:
        return "number" if _NUMBER.fullmatch(cell) and numbers >= MOST else "value"
    if _NUMBER.fullmatch(cell):
        return "number" if numbers >= MOST else ""
    counts = Counter(filled)
    few_labels = len(counts) <= len(filled) // 3 and min(counts.values()) > 1
    if numbers >= MOST or few_labels:
        return "name"
    words = sorted(len(value.split()) for value in filled)
    few = words[round((1 - MOST) * (len(words) - 1))]
    if len(cell.split()) == 1:
        return "name" if few >= 3 else ""
    return "alike" if len(cell.split()) >= max(3, few) else ""
