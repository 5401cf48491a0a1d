"""Runs what rows share, then hands out the rows in batches that go on from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from paft.evaluation.local.forward import Forward, Rerun, State
from paft.evaluation.local.planning import Plan, parted, plan_starts
from paft.evaluation.pairs import Ids, Row


class Behind(NamedTuple):
    """What rows go on from: these rows of a state, one for each; nothing where there is no state."""

    state: State | None
    places: Sequence[int]

    def take(self, room: int, rows: slice = slice(None)) -> State | None:
        """A copy for these rows, with room for so many tokens more."""
        return None if self.state is None else self.state.picked(self.places[rows], room)


class Batch(NamedTuple):
    """Rows to be run together.

    Attributes:
        members: which rows.
        begins: how many tokens of each are run already.
        behind: what they go on from.
    """

    members: list[int]
    begins: list[int]
    behind: Behind


def start_in_parts(
    forward: Forward, rows: Sequence[Row], behind: Behind, tokens: int, room: int, wanted: bool = True
) -> tuple[Tensor, State | Rerun]:
    """``Forward.start`` for rows in their order, of which about ``tokens`` tokens are run at once.

    A processor runs few tokens faster, as they stay in its cache, but decodes many rows faster, as every step reads
    all weights.

    Args:
        room: tokens that are to follow.
        wanted: whether logits are.
    """
    parts = _cut(list(map(len, rows)), tokens) if forward.free_masks else [slice(0, len(rows))]
    if len(parts) == 1:
        logits_bv, state = forward.start(rows, True, behind.take(room + max(map(len, rows))), wanted, room)
        assert state is not None  # it was asked for
        return logits_bv, state
    made = [forward.start(rows[p], True, behind.take(max(map(len, rows[p])), p), wanted) for p in parts]
    return torch.cat([logits_bv for logits_bv, _ in made]), State.joined(
        [s for _, s in made if isinstance(s, State)], room
    )


def _cut(lengths: Sequence[int], tokens: int) -> list[slice]:
    """Neighbours together as long as they hold at most ``tokens`` tokens, padding included."""
    parts, start, wide = [], 0, 0
    for i, length in enumerate(lengths):
        wide = max(wide, length)
        if i > start and (i + 1 - start) * wide > tokens:
            parts.append(slice(start, i))
            start, wide = i, length
    return [*parts, slice(start, len(lengths))]


class Walk:
    """Every row once, in batches of like length; what rows share is run before them, and kept until they are done.

    At each level at most ``batch_tokens`` tokens are held, so that memory does not grow with the number of rows.

    Args:
        rows: token ids of every row.
        more: tokens that each row will take beside its own.
        batch_tokens: most tokens of a batch, padding included.
        max_logits: most places of a batch with logits at once.
        run_tokens: most tokens run at once; by default ``batch_tokens``.
        logits: how many of those each row has; by default one.
    """

    def __init__(
        self,
        forward: Forward,
        rows: Sequence[Ids],
        more: Sequence[int],
        batch_tokens: int,
        max_logits: int,
        run_tokens: int | None = None,
        logits: Sequence[int] | None = None,
    ) -> None:
        self.forward, self.rows, self.more = forward, rows, more
        self.limits, self.logits = (batch_tokens, max_logits), logits
        self.run_tokens = run_tokens or batch_tokens
        self.plan = plan_starts(rows) if forward.free_masks else Plan([], [-1] * len(rows))
        self.begins = [0 if home < 0 else self.plan.starts[home].end for home in self.plan.home]
        self._leaves: dict[int, list[int]] = {}
        for i, home in enumerate(self.plan.home):
            self._leaves.setdefault(home, []).append(i)
        self._below: dict[int, list[int]] = {}
        for i, start in enumerate(self.plan.starts):
            self._below.setdefault(start.parent, []).append(i)

    def batches(self) -> Iterator[Batch]:
        """The rows in batches. A batch's state is good until the next batch is asked for."""
        yield from self._visit(None, [-1])

    def _visit(self, state: State | None, starts: Sequence[int]) -> Iterator[Batch]:
        """The rows below these starts, which ``state`` has in this order."""
        place = {start: k for k, start in enumerate(starts)}
        plan, new = self.plan, [s.end - s.begin for s in self.plan.starts]
        below = [i for start in starts for i in self._below.get(start, ())]
        for group in parted(below, new, [s.begin for s in plan.starts], *self.limits):
            parents = [place[plan.starts[i].parent] for i in group]
            yield from self._visit(self._run(state, group, parents), group)
        leaves = [i for start in starts for i in self._leaves.get(start, ())]
        for members in self._parted(leaves):
            behind = Behind(state, [] if state is None else [place[plan.home[i]] for i in members])
            yield Batch(members, [self.begins[i] for i in members], behind)

    def _run(self, state: State | None, starts: Sequence[int], parents: Sequence[int]) -> State:
        """The state after these starts."""
        rows = [self.rows[s.row][s.begin : s.end] for s in (self.plan.starts[i] for i in starts)]
        made = start_in_parts(self.forward, rows, Behind(state, parents), self.run_tokens, 0, wanted=False)[1]
        assert isinstance(made, State)  # rows share starts only where there is a cache
        return made

    def _parted(self, leaves: Sequence[int]) -> Iterator[list[int]]:
        new = [len(self.rows[i]) - self.begins[i] + self.more[i] for i in leaves]
        behind = [self.begins[i] for i in leaves]
        logits = None if self.logits is None else [self.logits[i] for i in leaves]
        for batch in parted(range(len(leaves)), new, behind, *self.limits, logits):
            yield [leaves[k] for k in batch]
