"""What a model is asked for many pairs: every distinct question once, and where its answers belong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from paft.evaluation.pairs import Row, Tokens


@dataclass(frozen=True, slots=True)
class Query:
    """Candidate answers after one context, all as token ids; each candidate has at least one token."""

    context: Row
    candidates: Sequence[Sequence[int]]

    @property
    def longer(self) -> list[int]:
        """Which candidates have more than one token."""
        return [c for c, ids in enumerate(self.candidates) if len(ids) > 1]

    def rest(self, free_masks: bool) -> int:
        """Places that the candidates take beside the context."""
        rest = [len(ids) - 1 for ids in self.candidates if len(ids) > 1]
        if free_masks or not rest:
            return sum(rest)
        return (len(self.context) + max(rest)) * len(rest) - len(self.context)


@dataclass(slots=True)
class Asked:
    """Distinct queries, and the pairs that wait for them.

    Attributes:
        queries: what is to be run.
        owners: for each query, ``(pair, candidates)`` that it answers.
    """

    queries: list[Query]
    owners: list[list[tuple[int, list[int]]]]
    _loglik: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    _open: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tokens: Sequence[Tokens]) -> Asked:
        """The queries of these pairs; pairs with the same tokens share theirs."""
        asked = cls([], [])
        found: dict[tuple[bytes, tuple[tuple[int, ...], ...]], int] = {}
        for pair, t in enumerate(tokens):
            places: dict[bytes, list[int]] = {}
            for place, context in enumerate(t.contexts):
                places.setdefault(context.tobytes(), []).append(place)
            asked._loglik[pair] = np.zeros(len(t.candidates), dtype=np.float32)
            asked._open[pair] = len(places)
            for context_bytes, where in places.items():
                candidates = tuple(t.candidates[place] for place in where)
                query = found.setdefault((context_bytes, candidates), len(asked.queries))
                if query == len(asked.queries):
                    asked.queries.append(Query(t.contexts[where[0]], candidates))
                    asked.owners.append([])
                asked.owners[query].append((pair, where))
        return asked

    def answered(
        self, queries: Sequence[int], values: Sequence[Sequence[float]]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The pairs that have all their log-likelihoods, now that these queries have theirs."""
        for query, row in zip(queries, values, strict=True):
            for pair, where in self.owners[query]:
                self._loglik[pair][where] = row
                self._open[pair] -= 1
                if not self._open[pair]:
                    yield pair, self._loglik.pop(pair)
