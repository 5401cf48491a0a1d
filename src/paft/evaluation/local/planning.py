"""Which rows of token ids begin alike, so that what they share is run once; and batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from paft.evaluation.pairs import Ids

WORTH = 0.1  # the share of tokens that a start has to spare: going on from one costs copies and masks
LEAST = 32  # and how many it has to spare in all
PLACES = 8192  # keys and values that a batch may hold in all, or twice its new tokens where that is more


class Start(NamedTuple):
    """Tokens that some rows begin with alike: ``rows[row][begin:end]``, after those of the start ``parent``."""

    row: int
    begin: int
    end: int
    parent: int


@dataclass(slots=True)
class Plan:
    """What is run before what.

    Attributes:
        starts: shared tokens, parents before children.
        home: which start every row goes on from; -1 where it shares nothing.
    """

    starts: list[Start]
    home: list[int]


@dataclass(slots=True)
class _Fork:
    """A node of the tree of rows in dictionary order: rows ``low`` to ``high`` have ``depth`` tokens alike."""

    depth: int
    low: int
    high: int = 0
    below: list[_Fork] = field(default_factory=list)


def plan_starts(rows: Sequence[Ids]) -> Plan:
    """The starts worth sharing, from the shortest on: a start within a start is one more level.

    One is worth it where it spares at least a tenth of the tokens that its rows still have to run. A token of every
    row is left over.
    """
    order = sorted(range(len(rows)), key=[row.astype(">u4").tobytes() for row in rows].__getitem__)
    lengths = np.array([len(rows[i]) for i in order], dtype=np.int64)
    total = np.concatenate([[0], lengths.cumsum()])
    home = np.full(len(rows), -1)
    starts: list[Start] = []
    todo = [(_forks([rows[i] for i in order]), 0, -1)]
    while todo:
        fork, begin, parent = todo.pop()
        count = fork.high - fork.low
        spared = (fork.depth - begin) * (count - 1)
        if spared >= LEAST and spared >= WORTH * (total[fork.high] - total[fork.low] - begin * count):
            starts.append(Start(order[fork.low], begin, fork.depth, parent))
            begin, parent = fork.depth, len(starts) - 1
            home[fork.low : fork.high] = parent  # its own starts come later and overwrite this
        todo += [(other, begin, parent) for other in fork.below]
    return Plan(starts, home[np.argsort(order)].tolist())


def _forks(rows: Sequence[Ids]) -> _Fork:
    """The tree of rows that are in dictionary order."""
    open_ = [_Fork(0, 0)]
    for i in range(1, len(rows) + 1):
        depth = _alike(rows[i - 1], rows[i]) if i < len(rows) else 0
        low = i - 1
        while open_[-1].depth > depth:
            done = open_.pop()
            done.high, low = i, done.low
            if open_[-1].depth < depth:
                open_.append(_Fork(depth, low))
            open_[-1].below.append(done)
        if open_[-1].depth < depth:
            open_.append(_Fork(depth, low))
    open_[0].high = len(rows)
    return open_[0]


def _alike(one: Ids, two: Ids) -> int:
    """How many tokens both begin with; at least one token of each is left over."""
    short = min(len(one), len(two)) - 1
    differ = one[:short] != two[:short]
    return int(differ.argmax()) if short > 0 and differ.any() else max(short, 0)


def parted(
    indices: Sequence[int],
    new: Sequence[int],
    behind: Sequence[int],
    batch_tokens: int,
    max_logits: int,
    logits: Sequence[int] | None = None,
) -> Iterator[list[int]]:
    """``indices`` in batches, those with most new tokens first.

    Args:
        new: tokens that each row runs; a batch has at most ``batch_tokens`` of them, padding included.
        behind: tokens that each row looks back on without running them: they count towards ``PLACES``.
        max_logits: most places of a batch with logits at once.
        logits: how many a row has; by default one.
    """
    batch: list[int] = []
    wide = deep = held = 0
    places = max(PLACES, 2 * batch_tokens)
    for i in sorted(indices, key=lambda i: (-new[i], -behind[i])):
        deeper = max(deep, behind[i])
        many = (len(batch) + 1) * wide > batch_tokens or (len(batch) + 1) * (wide + deeper) > places
        asked = logits[i] if logits is not None else 1
        if batch and (many or held + asked > max_logits):
            yield batch
            batch, held, deeper = [], 0, behind[i]
        if not batch:
            wide = new[i]
        batch.append(i)
        deep, held = deeper, held + asked
    if batch:
        yield batch
