"""Log-likelihoods of candidate answers: every context is run once, whatever the number of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paft.evaluation.forward import Forward, State


@dataclass(frozen=True, slots=True)
class Query:
    """Candidate answers after one context, all as token ids; each candidate has at least one token."""

    context: Sequence[int]
    candidates: Sequence[Sequence[int]]

    @property
    def longer(self) -> list[int]:
        """Which candidates have more than one token."""
        return [c for c, ids in enumerate(self.candidates) if len(ids) > 1]

    def cost(self, free_masks: bool) -> int:
        """Places that the keys and values of this query take."""
        rest = [len(self.candidates[c]) - 1 for c in self.longer]
        if free_masks:
            return len(self.context) + sum(rest)
        return (len(self.context) + max(rest, default=0)) * max(1, len(rest))


def log_likelihoods(forward: Forward, queries: Sequence[Query], shared: int = 0) -> list[list[float]]:
    """Sum of the log-probabilities (nats) of each candidate's tokens, for one batch of queries.

    The logits after the context give every candidate's first token. Only candidates of several tokens need a
    second pass, which goes on from the keys and values of their context: as branches of one row where the model
    can hide positions from each other, else as rows of their own.

    Args:
        shared: how many tokens all contexts begin with alike; 0 unless ``forward.free_masks``.
    """
    longer = [(q, c) for q, query in enumerate(queries) for c in query.longer]
    logits_bv, state = forward.start([q.context for q in queries], bool(longer), shared)
    rows = [q for q, query in enumerate(queries) for _ in query.candidates]
    firsts = [ids[0] for query in queries for ids in query.candidates]
    flat = iter(_log_probs(logits_bv, rows, firsts).tolist())
    totals = [[next(flat) for _ in query.candidates] for query in queries]
    if longer:
        for (q, c), rest in zip(longer, _rests(forward, state, queries, longer), strict=True):
            totals[q][c] += rest
    return totals


def _rests(forward: Forward, state: State, queries: Sequence[Query], longer: Sequence[tuple[int, int]]) -> list[float]:
    """Sum of the log-probabilities of the tokens after the first, for ``(query, candidate)`` pairs."""
    candidates = [queries[q].candidates[c] for q, c in longer]
    if forward.free_masks:
        logits_bjv = forward.branch(state, [[query.candidates[c][:-1] for c in query.longer] for query in queries])
        rows, starts = [q for q, _ in longer], _starts(queries)
    else:
        state.select([q for q, _ in longer])
        logits_bjv = forward.extend(state, [ids[:-1] for ids in candidates])
        rows, starts = list(range(len(longer))), [0] * len(longer)
    width = logits_bjv.shape[1]
    places = [
        r * width + s + j for r, s, ids in zip(rows, starts, candidates, strict=True) for j in range(len(ids) - 1)
    ]
    targets = [i for ids in candidates for i in ids[1:]]
    owners = [k for k, ids in enumerate(candidates) for _ in ids[1:]]
    values = _log_probs(logits_bjv.flatten(0, 1), places, targets).cpu().double()  # some devices have no float64
    return torch.zeros(len(longer), dtype=torch.float64).index_add(0, torch.tensor(owners), values).tolist()


def _starts(queries: Sequence[Query]) -> list[int]:
    """Where each longer candidate's tokens begin in the row of its query."""
    out = []
    for query in queries:
        start = 0
        for c in query.longer:
            out.append(start)
            start += len(query.candidates[c]) - 1
    return out


def _log_probs(logits_rv: Tensor, rows: Sequence[int], targets: Sequence[int]) -> Tensor:
    """Log-probability of each target after the row named with it."""
    index, wanted = torch.tensor(rows, device=logits_rv.device), torch.tensor(targets, device=logits_rv.device)
    return logits_rv[index, wanted] - logits_rv.logsumexp(dim=1)[index]
