"""Which shortcuts a sweep may take: a few of its own rows are computed with them and in the plainest way first.

Worked example: questions whose answers are `` late`` (one token) and `` not at all`` (three). The longest, the shortest
and one in between become probes. Each is run plainly: its context with one candidate in one pass, no padding, no cache,
no neighbours. Then all are run together as the sweep would run them, once from their beginning and once going on
from the first half of each context. Where the log-likelihoods agree, the sweep goes that way; where not, the next
plainer way is tried, down to one row a pass, which needs no proof. No list of architectures is asked: a window that
counts places, a state that runs through padding, or positions that are no argument all show as other figures.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from paft.errors import PaftError
from paft.evaluation.answers.queries import Query
from paft.evaluation.local.forward import WAYS, Forward, State, Way
from paft.evaluation.local.likelihood import log_likelihoods
from paft.evaluation.local.planning import parted
from paft.evaluation.pairs import Row
from paft.models.causal import refuse_not_causal
from paft.models.memory import is_out_of_memory

logger = logging.getLogger(__name__)
PROBES = 4
COMPARED = 3  # candidates of a probe that are run plainly: the first, the longest, the last
STEPS = 3  # tokens that a generated answer is followed for
TOLERANCE = 1e-4, 1e-3  # of the largest logit; the second where padding alone already changes more
HALF_TOLERANCE = 0.03, 0.1  # the same in half precision
FAILURES = (PaftError, RuntimeError, TypeError, ValueError, LookupError, AttributeError)
PLAINER = {
    "cached": "prompts that begin alike are not run together",
    "padded": "no cache is used, so that this takes longer",
    "single": "rows are run one by one without a cache, so that this takes longer",
}


@dataclass(frozen=True)
class _Probe:
    """A query, and what the plainest way makes of it.

    Attributes:
        compared: which of its candidates were run; none where an answer is generated.
        wanted: their log-likelihoods (nats), or the logits after the context and each of ``followed``.
        followed: the likeliest tokens after the context, one after another.
        size: the largest logit, by its absolute value.
    """

    query: Query
    compared: Sequence[int]
    wanted: Tensor
    followed: Sequence[int]
    size: float


class Shortcuts:
    """Finds out how the rows of a sweep may be run, and holds ``forward`` to it.

    Args:
        forward: its ``way`` and ``last`` are set.
        new_tokens: most tokens of a generated answer; 0 where candidates are compared.
        batch_tokens, max_logits: the sweep's limits of a batch, which the probes keep too.
    """

    def __init__(
        self, forward: Forward, new_tokens: int = 0, batch_tokens: int = 1 << 30, max_logits: int = 1 << 30
    ) -> None:
        self.forward, self.generating = forward, new_tokens > 0
        self._batch = batch_tokens, max_logits
        self._steps = min(STEPS, new_tokens)  # a row has positions for no more
        self._causal = False
        self._longest = -1
        self._found: dict[str, Any] = {}

    def record(self) -> dict[str, Any]:
        """How rows were run; empty where none were.

        ``way``, ``last_layer`` (whether parts of it were left out), the largest ``difference`` to the plainest way as
        a share of the largest logit, the ``tolerance`` for it, and the ``reason`` where a faster way would not do.
        """
        return dict(self._found)

    def refuse_not_causal(self, rows: Sequence[Row]) -> None:
        """Refuse a model that sees tokens that come later, once. Raises ModelError."""
        if not self._causal:
            refuse_not_causal(self.forward.plain, rows, self._limits[1])
            self._causal = True

    @property
    def _limits(self) -> tuple[float, float]:
        return TOLERANCE if self.forward.model.dtype.itemsize >= 4 else HALF_TOLERANCE

    def settle(self, queries: Sequence[Query]) -> None:
        """Choose the way for these queries, or see that the one chosen before still does for longer ones.

        Raises:
            ModelError: the model sees tokens that come later.
        """
        longest = max((_places(query) for query in queries), default=-1)
        if longest <= self._longest:
            return
        least, most = self._limits
        chosen = _chosen(queries) if self._longest < 0 else [max(queries, key=_places)]
        self.refuse_not_causal([query.context for query in chosen])
        self._longest = longest
        probes = [self._plain(query) for query in chosen]
        tolerance = least
        reasons: dict[Way, str] = {}
        apart = 0.0
        for way, last in self._ladder():
            self.forward.way, self.forward.last = way, last
            apart, failure = self._tried(probes)
            if apart > least == tolerance:
                tolerance = max(least, min(3 * self._noise(probes), most))
            if apart <= tolerance or (way == "single" and last is None):  # the plainest needs no proof
                break
            reasons[way] = failure
        reasons.pop(self.forward.way, None)  # the last layer alone did not do, and is recorded by itself
        self._note(apart, tolerance, next(reversed(reasons.values()), ""))

    def _ladder(self) -> Iterator[tuple[Way, Any]]:
        """What to try, from what stands now to the plainest."""
        last = [self.forward.last, None] if self.forward.last is not None else [None]
        yield from product(WAYS[WAYS.index(self.forward.way) :], last)

    def _note(self, apart: float, tolerance: float, reason: str) -> None:
        before, reason_before = self._found.get("way"), self._found.get("reason", "")
        apart = max(apart, self._found.get("difference", 0.0))
        forward = self.forward
        self._found = {"way": forward.way, "last_layer": forward.last is not None, "difference": apart}
        self._found |= {"tolerance": tolerance, "reason": reason or reason_before}
        if reason and forward.way != before and forward.way in PLAINER:
            logger.warning("%s: %s", PLAINER[forward.way], reason)

    def _plain(self, query: Query) -> _Probe:
        begin = len(query.context) - 1
        if self.generating:
            logits, followed = self.forward.plain(query.context, begin), list[int]()
            for _ in range(self._steps):
                followed.append(int(logits[-1].argmax()))
                logits = self.forward.plain([*query.context, *followed], begin)
            return _Probe(query, (), logits, followed, max(float(logits.abs().max()), 1e-12))
        lengths = list(map(len, query.candidates))
        compared = sorted({0, lengths.index(max(lengths)), len(lengths) - 1})[:COMPARED]
        values, size = [], 1e-12
        for candidate in (query.candidates[c] for c in compared):
            logits = self.forward.plain([*query.context, *candidate[:-1]], begin)
            places = torch.tensor(candidate, device=logits.device)[:, None]
            values.append((logits.gather(1, places)[:, 0] - logits.logsumexp(1)).double().sum())
            size = max(size, float(logits.abs().max()))
        return _Probe(query, compared, torch.stack(values), (), size)

    def _tried(self, probes: Sequence[_Probe]) -> tuple[float, str]:
        """How far the way that is set is from the plainest, and why it will not do if that is too far."""
        try:
            apart = self._apart(probes)
        except FAILURES as bad:
            if is_out_of_memory(bad):
                raise
            return math.inf, f"the model cannot run that way ({(str(bad).splitlines() or [repr(bad)])[0][:200]})"
        return apart, f"a few rows differ by {apart:.1e} of the largest logit from the same rows one by one"

    def _noise(self, probes: Sequence[_Probe]) -> float:
        """What padding alone changes: a mixture of experts may send a token elsewhere."""
        way, last = self.forward.way, self.forward.last
        self.forward.way, self.forward.last = "padded", None
        try:
            return self._tried(probes)[0]
        finally:
            self.forward.way, self.forward.last = way, last

    def _apart(self, probes: Sequence[_Probe]) -> float:
        """The largest difference to the plainest way, as a share of the largest logit."""
        rest = [self._steps if self.generating else p.query.rest(self.forward.free_masks) for p in probes]
        new = [len(p.query.context) + more for p, more in zip(probes, rest, strict=True)]
        logits = [max(1, p.query.rest(True)) for p in probes]
        apart = self._apart_generating if self.generating else self._apart_comparing
        groups = parted(range(len(probes)), new, [0] * len(probes), *self._batch, logits)
        found = [x for group in groups for x in apart([probes[i] for i in group])]
        return max(x if math.isfinite(x) else math.inf for x in found)

    def _apart_comparing(self, probes: Sequence[_Probe]) -> Iterator[float]:
        """For each log-likelihood; a sum counts by its tokens."""
        queries = [probe.query for probe in probes]
        every = list(range(len(queries)))
        runs = [(every, log_likelihoods(self.forward, queries))]
        if after := self._after_halves([q.context for q in queries], max(map(_places, queries))):
            rest = [Query(row, q.candidates) for row, q in zip(after[1], queries, strict=True)]
            runs.append((every, log_likelihoods(self.forward, rest, after[0])))
        alone = [k for k, query in enumerate(queries) if not query.longer]
        if 0 < len(alone) < len(queries):  # these take no cache where they have a batch for themselves
            runs.append((alone, log_likelihoods(self.forward, [queries[k] for k in alone])))
        for which, values in runs:
            for k, row in zip(which, values, strict=True):
                for c, wanted in zip(probes[k].compared, probes[k].wanted.tolist(), strict=True):
                    yield abs(row[c] - wanted) / (len(queries[k].candidates[c]) * probes[k].size)

    def _apart_generating(self, probes: Sequence[_Probe]) -> Iterator[float]:
        """For the logits after each context, and after each token that follows."""
        rows = [probe.query.context for probe in probes]
        ways: list[tuple[State | None, Sequence[Row]]] = [(None, rows)]
        if after := self._after_halves(rows, max(map(len, rows)) + self._steps):
            ways.append(after)
        for state, rest in ways:
            order = list(range(len(probes)))
            logits_bv, going = self.forward.start(rest, True, state, room=self._steps)
            assert going is not None  # it was asked for
            for j in range(self._steps + 1):
                for k, logits_v in zip(order, logits_bv, strict=True):
                    yield float((logits_v - probes[k].wanted[j]).abs().max()) / probes[k].size
                if j == self._steps:
                    break
                if j == 1:  # rows that are done will be left out, so that the others move
                    order.reverse()
                    going.select(order)
                logits_bv = self.forward.extend(going, [[probes[k].followed[j]] for k in order])

    def _after_halves(self, rows: Sequence[Row], room: int) -> tuple[State, list[Row]] | None:
        """The state after the first half of each row, and the second halves, where rows go on from what they share."""
        halves = [len(row) // 2 for row in rows]
        if not self.forward.free_masks or not min(halves):
            return None
        _, state = self.forward.start([r[:h] for r, h in zip(rows, halves, strict=True)], True, wanted=False)
        assert isinstance(state, State)  # this way has a cache
        return state.picked(range(len(rows)), room), [r[h:] for r, h in zip(rows, halves, strict=True)]


def _places(query: Query) -> int:
    """Places that a query takes in one row, all candidates beside each other."""
    return len(query.context) + query.rest(True)


def _chosen(queries: Sequence[Query]) -> list[Query]:
    """The longest query, that with the shortest context, that with most candidate tokens, and one in between."""
    order = sorted(range(len(queries)), key=lambda i: (_places(queries[i]), -i))
    shortest = min(order, key=lambda i: len(queries[i].context))
    widest = max(order, key=lambda i: queries[i].rest(True))
    picked = dict.fromkeys([order[-1], shortest, widest, order[len(order) // 2]])
    return [queries[i] for i in list(picked)[:PROBES]]
