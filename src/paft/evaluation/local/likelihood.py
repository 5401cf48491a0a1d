"""Log-likelihoods of candidate answers: every context is run once, whatever the number of candidates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from paft.evaluation.answers.queries import Query
from paft.evaluation.local.forward import Forward, Rerun, State


def log_likelihoods(forward: Forward, queries: Sequence[Query], after: State | None = None) -> list[list[float]]:
    """Sum of the log-probabilities (nats) of each candidate's tokens, for one batch of queries.

    The logits after the context give every candidate's first token. Only candidates of several tokens need a
    second pass, which goes on from the keys and values of their context: as branches of one row where the model
    can hide positions from each other, else as rows of their own.

    Args:
        after: what the contexts go on from, a row of it each; None unless ``forward.free_masks``.
    """
    longer = [(q, c) for q, query in enumerate(queries) for c in query.longer]
    room = max(query.rest(True) for query in queries)
    logits_bv, state = forward.start([q.context for q in queries], bool(longer), after, room=room)
    rows = [q for q, query in enumerate(queries) for _ in query.candidates]
    firsts = [ids[0] for query in queries for ids in query.candidates]
    flat = iter(_log_probs(logits_bv, rows, firsts).tolist())
    totals = [[next(flat) for _ in query.candidates] for query in queries]
    if state is not None and longer:
        for (q, c), rest in zip(longer, _rests(forward, state, queries, longer), strict=True):
            totals[q][c] += rest
    return totals


def _rests(
    forward: Forward, state: State | Rerun, queries: Sequence[Query], longer: Sequence[tuple[int, int]]
) -> list[float]:
    """Sum of the log-probabilities of the tokens after the first, for ``(query, candidate)`` pairs."""
    candidates = [queries[q].candidates[c] for q, c in longer]
    if isinstance(state, State) and forward.free_masks:
        logits_jv = forward.branch(state, [[query.candidates[c][:-1] for c in query.longer] for query in queries])
    else:
        state.select([q for q, _ in longer])
        logits_jv = forward.extend(state, [ids[:-1] for ids in candidates])
    targets = [i for ids in candidates for i in ids[1:]]
    owners = [k for k, ids in enumerate(candidates) for _ in ids[1:]]
    values = _log_probs(logits_jv, range(len(targets)), targets).cpu().double()  # some devices have no float64
    return torch.zeros(len(longer), dtype=torch.float64).index_add(0, torch.tensor(owners), values).tolist()


def _log_probs(logits_rv: Tensor, rows: Sequence[int], targets: Sequence[int]) -> Tensor:
    """Log-probability of each target after the row named with it."""
    index, wanted = torch.tensor(rows, device=logits_rv.device), torch.tensor(targets, device=logits_rv.device)
    return logits_rv[index, wanted] - logits_rv.logsumexp(dim=1)[index]
